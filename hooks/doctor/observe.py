"""Read a release's world through the API server into a Snapshot. What may not be read becomes a Gap, never an error.

Reads go out side by side, PD's answers among them: a full look takes as long as its slowest list. All pods of the
cluster are read (what is free on a node depends on them), in pages that are pruned as they come.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from hooks import kube
from hooks.doctor.proxy import Recording, pd_of
from hooks.doctor.snapshot import Gap, Snapshot, labels_of, prune, redact
from hooks.engine import EngineError
from hooks.kube.kinds import Kind, Obj
from hooks.kube.wire import Request
from hooks.pd import PdError
from schema import names

QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")
CHART = "app.kubernetes.io/name=tidb"
_LOG_LINES = 40
_LOGS_AT_MOST = 8
_THREADS = 8
# Seconds for one of PD's answers: `doctor` can wait for a hanging member's ping, `status` promises its screen in 1.5.
_PATIENT = 5.0
_HASTY = 1.0


class ReleaseError(EngineError):
    """Which release is meant can't be told, or it isn't one of this chart."""


# What is lost without each list: for the Gap's sentence.
_WORTH = {
    "nodes": "no reason can be given node by node",
    "pods": "what other namespaces take from the nodes is not counted",
    "persistentvolumes": "where data is, and which disks are free, is not known",
    "persistentvolumeclaims": "claims can't be explained",
    "storageclasses": "a misspelt class can't be named",
    "namespaces": "namespace selectors of pod affinity are judged by names only",
    "tidbvolumes": "the disks can't be listed",
    "resourcequotas": "quotas are known from events only",
    "events": "what controllers and kubelets complained about is not known",
    "configmaps": "the jobs' last plans are not known",
    "leases": "who works on the release is not known",
    "statefulsets": "how many pods there should be is not known",
}


@dataclass
class Observer:
    """`whole` false: only what `status` shows; nothing of other releases, of nodes or volumes, no logs.

    first: the release need not be there yet, and PD is not asked (preflight).
    """

    client: kube.Client
    namespace: str
    whole: bool = True
    first: bool = False
    gaps: list[Gap] = field(default_factory=list)

    def observe(self, release: str) -> Snapshot:
        """Raises KubeError when the API server can't be reached, ReleaseError when there is no such release."""
        with _growing():
            return self._observe(release)

    def _observe(self, release: str) -> Snapshot:
        # The first read tells whether there is anybody to ask at all, and which release is meant.
        sets = self._list(kube.STATEFUL_SET, self.namespace)
        if not self.first:
            release = self._choose(release, sets)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self._ask_pd, release) if not self.first else None
            found = {"StatefulSet": sets, **self._objects(release)}
            answers, said = asked.result() if asked is not None else ({}, "")
        taken = self.client.clocks().earlier
        logs = self._logs(found["Pod"], release) if self.whole and not self.first else {}
        return Snapshot(
            taken=taken,
            namespace=self.namespace,
            release=release,
            objects=found,
            pd=answers,
            pd_said=said,
            logs=logs,
            gaps=tuple(sorted(set(self.gaps))),
        )

    def _choose(self, release: str, sets: Sequence[Obj]) -> str:
        if not any(gap.resource == kube.STATEFUL_SET.plural for gap in self.gaps):
            return choose(release, self.namespace, sets)
        if release:
            return release  # its name is enough to go on with what may be read
        raise ReleaseError(
            f"which release is meant can't be told: the StatefulSets of namespace {self.namespace} could not be "
            "listed (see above); name it with -l RELEASE"
        )

    def _objects(self, release: str) -> dict[str, Sequence[Obj]]:
        """All but the StatefulSets."""
        here = self.namespace
        wanted: list[tuple[Kind, str]] = [(kube.CLAIM, here), (kube.TIDB_VOLUME, "")]
        if self.whole:
            wanted += [(kube.NODE, ""), (kube.VOLUME, ""), (kube.STORAGE_CLASS, "")]
            wanted += [(QUOTA, here), (kube.NAMESPACE, "")]
        if not self.first:
            wanted += [(kind, here) for kind in (kube.JOB, kube.CONFIG_MAP, kube.LEASE)]
        if self.whole and not self.first:
            wanted += [
                (kind, here)
                for kind in (kube.DAEMON_SET, kube.DEPLOYMENT, kube.CRON_JOB, kube.EVENT)
            ]
        with ThreadPoolExecutor(_THREADS) as pool:
            pods = pool.submit(self._pods, release)
            lists = pool.map(lambda one: self._list(*one), wanted)
            found: dict[str, Sequence[Obj]] = {
                kind.kind: items for (kind, _), items in zip(wanted, lists, strict=True)
            }
            found["Pod"] = pods.result()
        found["ConfigMap"] = [one for one in found.get("ConfigMap", ()) if _is_contract(one)]
        return found

    def _pods(self, release: str) -> list[Obj]:
        if not self.whole:
            return self._list(kube.POD, self.namespace, f"app.kubernetes.io/instance={release}")
        try:
            return self._read(kube.POD, "")
        except kube.ForbiddenError as error:
            self._gap(kube.POD, "", error)
            return self._list(kube.POD, self.namespace)

    def _list(self, kind: Kind, namespace: str, labels: str = "") -> list[Obj]:
        try:
            return self._read(kind, namespace, labels)
        except kube.ForbiddenError as error:
            self._gap(kind, namespace, error)
        except kube.NotFoundError as error:
            # The kind itself is unknown: its CRD is not installed.
            self._gap(kind, namespace, error)
        return []

    def _read(self, kind: Kind, namespace: str, labels: str = "") -> list[Obj]:
        guests = kind is kube.POD and not namespace
        return [
            prune(one, guest=guests and kube.namespace(one) != self.namespace)
            for page in self.client.pages(kind, namespace, labels=labels)
            for one in page.items
        ]

    def _gap(self, kind: Kind, namespace: str, error: kube.KubeError) -> None:
        group = kind.api_version.rpartition("/")[0]
        self.gaps.append(
            Gap(
                resource=kind.plural,
                group=group,
                namespace=namespace,
                missing=_WORTH.get(kind.plural, "what depends on it is not judged"),
                said=str(error),
                forbidden=isinstance(error, kube.ForbiddenError),
            )
        )

    def _ask_pd(self, release: str) -> tuple[dict[str, str], str]:
        """PD's answers, and why there are none. The peer Service reaches members that are not ready too: its word
        counts when the other one has none.
        """
        services = (f"{release}-pd", f"{release}-pd-peer")
        said = ""
        with ThreadPoolExecutor(len(services)) as pool:
            for answers, words in pool.map(self._ask, services):
                said = said or words
                if answers:
                    return answers, said
        if "proxy says 403" in said:
            missing = "what PD says is not known"
            self.gaps.append(Gap("services/proxy", "", self.namespace, missing, said, verb="get"))
        return {}, said

    def _ask(self, service: str) -> tuple[dict[str, str], str]:
        """/health pings every member and takes 3 s when one hangs: `status` does not wait for it, and shows members
        without that word.
        """
        recording = Recording(
            self.client, self.namespace, service, _PATIENT if self.whole else _HASTY
        )
        pd = pd_of(recording)
        with ThreadPoolExecutor(3) as pool:
            questions: tuple[Callable[[], object], ...] = (pd.members, pd.stores, pd.health)
            members, stores, health = [pool.submit(ask) for ask in questions]
        _said(health)
        return recording.answers, _said(members) or _said(stores)

    def _logs(self, pods: Sequence[Obj], release: str) -> dict[str, Sequence[str]]:
        failing = [
            (pod, name, previous)
            for pod in pods
            if kube.namespace(pod) == self.namespace
            and labels_of(pod).get("app.kubernetes.io/instance") == release
            for name, previous in _failing(pod)
        ][:_LOGS_AT_MOST]
        # A kubelet that hangs holds up no other one's log.
        with ThreadPoolExecutor(_LOGS_AT_MOST) as pool:
            logs = pool.map(lambda one: self._log(one[0], one[1], previous=one[2]), failing)
            return {
                f"{kube.name(p)}/{c}": log for (p, c, _), log in zip(failing, logs, strict=True)
            }

    def _log(self, pod: Obj, container: str, *, previous: bool) -> list[str]:
        query: tuple[tuple[str, str], ...] = (
            ("container", container),
            ("tailLines", str(_LOG_LINES)),
        )
        if previous:
            query += (("previous", "true"),)
        path = kube.POD.path(kube.name(pod), self.namespace, "log")
        try:
            body = self.client.raw(Request("GET", path, query)).body
        except kube.ForbiddenError as error:
            gap = Gap(
                "pods/log", "", self.namespace, "crashes can't be explained", str(error), verb="get"
            )
            self.gaps.append(gap)
            return []
        except kube.KubeError:
            return []  # the container, or its node, is gone meanwhile
        return [redact(line) for line in body.decode(errors="replace").splitlines() if line.strip()]


@contextmanager
def _growing() -> Iterator[None]:
    """While millions of values come that are kept, have no cycles and only grow, the cyclic collector would go
    through all of them again and again: 40 % of the CPU of `status` on 3,000 pods. Afterwards it passes them over.
    """
    gc.unfreeze()  # what the look before kept
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _said(asked: Future[object]) -> str:
    """PD's refusal as a sentence; any other error is a defect and raised."""
    error = asked.exception()
    if error is None or isinstance(error, PdError):
        return str(error or "")
    raise error


def choose(release: str, namespace: str, sets: Sequence[Obj]) -> str:
    """The release that is meant: the named one, or the only one of the namespace."""
    ours = {
        labels_of(one).get("app.kubernetes.io/instance", "")
        for one in sets
        if labels_of(one).get("app.kubernetes.io/name") == "tidb"
        and labels_of(one).get("app.kubernetes.io/part-of") == "tidb"
    } - {""}
    if release in ours or (not release and len(ours) == 1):
        return release or next(iter(ours))
    listed = ", ".join(sorted(ours)) or "none"
    if release:
        foreign = [
            one for one in sets if labels_of(one).get("app.kubernetes.io/instance") == release
        ]
        if foreign:
            manager = labels_of(foreign[0]).get("app.kubernetes.io/managed-by", "somebody else")
            raise ReleaseError(
                f"release {release} in namespace {namespace} is not of this chart: its StatefulSet "
                f"{kube.name(foreign[0])} is managed by {manager}; releases of the chart here: {listed}"
            )
        raise ReleaseError(
            f"there is no release {release} of the chart tidb in namespace {namespace}; there are: {listed}. "
            "Name another namespace with -n, or look at all with `helm list -A`"
        )
    if ours:
        raise ReleaseError(
            f"namespace {namespace} has several releases of the chart tidb: {listed}; choose one with -l RELEASE"
        )
    raise ReleaseError(
        f"namespace {namespace} has no release of the chart tidb; name another namespace with -n, or install "
        f"one: helm install demo ./chart -n {namespace}"
    )


def _is_contract(config: Obj) -> bool:
    """The ConfigMaps whose contents are helm-tidb's own words; no other is kept."""
    name = kube.name(config)
    return (
        "-plan-" in name
        or name == names.FINISHED_VOLUMES
        or name.endswith("-cluster")
        or labels_of(config).get(names.EXCHANGE_LABEL) == names.INVENTORY
    )


def _failing(pod: Obj) -> list[tuple[str, bool]]:
    """Containers whose last lines are worth reading, and whether of the run before the present one."""
    status = pod.get("status") or {}
    found = []
    for key in ("initContainerStatuses", "containerStatuses"):
        for one in status.get(key) or ():
            state, last = one.get("state") or {}, one.get("lastState") or {}
            waiting = (state.get("waiting") or {}).get("reason", "")
            if waiting == "CrashLoopBackOff" or (
                last.get("terminated") and not one.get("ready") and "running" in state
            ):
                found.append((one["name"], True))
            elif (state.get("terminated") or {}).get("exitCode") or (
                "running" in state and not one.get("ready")
            ):
                found.append((one["name"], False))
    return found
