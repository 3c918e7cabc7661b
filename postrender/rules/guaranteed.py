"""guaranteed: every container of every pod has limits equal to requests, so that the kubelet evicts and throttles none.

One container without them takes the Guaranteed class from its whole pod; init containers, sidecars, Jobs and hooks
count. The class looks at CPU and memory alone and ignores zeros (k8s.io/component-helpers, resource/qos); other
resources that a container names on one side only are filled alike. What a LimitRange in the cluster would add is not
known here, and not counted on.

Second job: count what the release asks of the cluster, by the scheduler's own formula for a pod (KEP-753: sidecars
that started before an init container run beside it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from postrender.findings import Amount, Finding, Severity, Totals
from postrender.manifest import Container, Manifest, PodSpec, Selection
from postrender.values import Mapping, Value, mapping, text
from schema import quantity

_NEEDED = ("cpu", "memory")


@dataclass(slots=True)
class Guaranteed:
    name: ClassVar[str] = "guaranteed"
    summary: ClassVar[str] = (
        "limits = requests for every container of every pod; counts CPU and memory"
    )

    missing: str = "fill"
    absent: str = "refuse"
    different: str = "refuse"
    set: dict[str, str] = field(default_factory=dict)
    exclude: tuple[Selection, ...] = ()
    totals: Totals = field(default_factory=Totals)

    def visit(self, manifest: Manifest) -> None:
        for pod in manifest.pod_specs():
            whole_pod = self._pod_level(manifest, pod)
            for container in pod.containers():
                if container.list_name == "ephemeralContainers":
                    continue  # they may have no resources; the class does not count them
                if any(
                    each.matches(manifest.subject, container=container.name)
                    for each in self.exclude
                ):
                    continue
                self._container(manifest, container, needed=() if whole_pod else _NEEDED)
            _count(self.totals, manifest, pod)

    def finish(self) -> Iterator[Finding]:
        return iter(())

    def _pod_level(self, manifest: Manifest, pod: PodSpec) -> bool:
        """Whether the pod's own resources (KEP-2837) make it Guaranteed whatever its containers say; mends them."""
        resources = pod.body.get("resources")
        if not isinstance(resources, dict) or not resources:
            return False
        self._pair(manifest, pod.body, pod.path, "the pod")
        limits = mapping(resources.get("limits"))
        return all(_amount(limits.get(name)) for name in _NEEDED)

    def _container(self, manifest: Manifest, container: Container, needed: tuple[str, ...]) -> None:
        who = f"container {container.name!r}"
        self._pair(manifest, container.body, container.path, who)
        resources = mapping(container.body.get("resources"))
        sides = [mapping(resources.get(side)) for side in ("limits", "requests")]
        for name in needed:
            values = [side.get(name) for side in sides]
            if any(_amount(value) or _unreadable(value) for value in values):
                continue  # there, or `_pair` has said what is wrong with it
            if self.absent == "set":
                self._set(manifest, container, name, who)
            else:
                manifest.say(
                    Severity.REFUSAL,
                    self.name,
                    "absent",
                    f"{container.path}.resources",
                    f"{who} has neither a limit nor a request for {name}",
                    f"name it in the chart's values, or set rules.guaranteed.set.{name} and absent: set",
                )

    def _set(self, manifest: Manifest, container: Container, name: str, who: str) -> None:
        why = f"{who} named no {name}; the configuration sets it"
        for side in ("limits", "requests"):
            target = manifest.child(manifest.child(container.body, "resources"), side)
            path = f"{container.path}.resources.{side}"
            manifest.set(self.name, "set", target, path, name, self.set[name], why)

    def _pair(self, manifest: Manifest, owner: Mapping, path: str, who: str) -> None:
        """Make limits and requests of one container (or pod) the same, as far as the policy lets."""
        resources = mapping(owner.get("resources"))
        limits, requests = mapping(resources.get("limits")), mapping(resources.get("requests"))
        for name in dict.fromkeys([*limits, *requests]):
            limit, request = limits.get(name), requests.get(name)
            for side, value in (("limits", limit), ("requests", request)):
                if _unreadable(value):
                    manifest.say(
                        Severity.REFUSAL,
                        self.name,
                        "quantity",
                        f"{path}.resources.{side}.{name}",
                        f"{value!r} is no quantity",
                        "write one such as 500m, 2 or 4Gi",
                    )
                    return
            if not _amount(limit) and not _amount(request):
                continue  # both missing or zero: for `absent` to say
            if name not in limits or name not in requests or limit is None or request is None:
                self._fill(manifest, owner, path, who, str(name))
            elif _amount(limit) != _amount(request):
                self._differ(manifest, owner, path, who, str(name))

    def _fill(self, manifest: Manifest, owner: Mapping, path: str, who: str, name: str) -> None:
        resources = manifest.child(owner, "resources")
        given = mapping(resources.get("limits")).get(name)
        side, there = ("requests", "limit") if given is not None else ("limits", "request")
        if given is None:
            given = mapping(resources.get("requests")).get(name)
        if self.missing == "fill":
            target = manifest.child(resources, side)
            why = f"{who} named only a {there} for {name}"
            manifest.set(self.name, "fill", target, f"{path}.resources.{side}", name, given, why)
        else:
            manifest.say(
                Severity.REFUSAL,
                self.name,
                "missing",
                f"{path}.resources.{side}.{name}",
                f"{who} has a {there} of {text(given)} for {name} and no {side[:-1]}",
                f"set {side}.{name} to {text(given)}, or rules.guaranteed.missing: fill",
            )

    def _differ(self, manifest: Manifest, owner: Mapping, path: str, who: str, name: str) -> None:
        resources = mapping(owner.get("resources"))
        limits, requests = mapping(resources.get("limits")), mapping(resources.get("requests"))
        limit, request = text(limits[name]), text(requests[name])
        if self.different == "refuse":
            manifest.say(
                Severity.REFUSAL,
                self.name,
                "different",
                f"{path}.resources",
                f"{who} has limit {limit} and request {request} for {name}",
                "make them the same, or set rules.guaranteed.different to limits or requests",
            )
            return
        side, value = (
            ("requests", limits[name]) if self.different == "limits" else ("limits", requests[name])
        )
        target = requests if side == "requests" else limits
        why = f"{who} had limit {limit} and request {request} for {name}"
        manifest.set(self.name, "equal", target, f"{path}.resources.{side}", name, value, why)


def _amount(value: Value) -> int:
    """A quantity in billionths (CPU's finest unit), 0 for none; what is no quantity counts as none."""
    if not isinstance(value, str):
        return 0
    try:
        return int(quantity.parse(value) * 10**9)
    except quantity.QuantityError:
        return 0


def _unreadable(value: Value) -> bool:
    if value is None:
        return False
    if not isinstance(value, str):
        return True
    try:
        quantity.parse(value)
    except quantity.QuantityError:
        return True
    return False


def _request(resources: Mapping) -> Amount:
    """What one `resources` asks for; a limit alone counts as the request, as the API server defaults it."""
    limits, requests = mapping(resources.get("limits")), mapping(resources.get("requests"))
    return Amount(
        _amount(requests.get("cpu") or limits.get("cpu")) // 10**6,
        _amount(requests.get("memory") or limits.get("memory")) // 10**9,
    )


def _pod_amount(pod: PodSpec) -> Amount:
    """What one pod asks for: the larger of its start-up and its running, as the scheduler counts."""
    whole = mapping(pod.body.get("resources"))
    if whole:
        return _request(whole)
    sidecars, running, peak = Amount(), Amount(), Amount()
    for container in pod.containers():
        asked = _request(mapping(container.body.get("resources")))
        if container.is_sidecar:
            sidecars.add(asked)
            peak.at_least(sidecars)
        elif container.list_name == "initContainers":
            asked.add(sidecars)
            peak.at_least(asked)
        elif container.list_name == "containers":
            running.add(asked)
    running.add(sidecars)
    peak.at_least(running)
    return peak


def _count(totals: Totals, manifest: Manifest, pod: PodSpec) -> None:
    asked = _pod_amount(pod)
    spec = mapping(manifest.body.get("spec"))
    if manifest.is_hook or manifest.kind in ("Job", "CronJob"):
        job = mapping(mapping(spec.get("jobTemplate")).get("spec")) or spec
        totals.jobs.add(asked, _whole(job.get("parallelism")))
    elif manifest.kind == "DaemonSet":
        totals.per_node.add(asked)
    elif manifest.kind != "PodTemplate":
        totals.running.add(asked, _whole(spec.get("replicas")))


def _whole(value: Value) -> int:
    """A count of pods; 1 where the field is missing, as the API server defaults it."""
    return int(value) if isinstance(value, str) and value.isdecimal() else 1
