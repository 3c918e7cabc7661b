"""`python -m hooks preflight`: before install and upgrade, would the release find what it needs? (hook Job)

Pure at its heart: `check(wanted, snapshot)`. The pods that the new values ask for and that are not there yet are placed
one after the other on the nodes as they are now, by the scheduler's own filters (hooks/doctor/scheduler); what finds no
place is told before anything is changed.

`--mode warn` ends well whatever it found, `--mode refuse` with 4 when a person must act first. It changes nothing.
Deliberately not done: disks on a first install (no agent has looked at them yet; the scan hook tells after it), and the
best packing of pods: the largest goes first to the node with most room, which is what the scheduler tends to do too.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hooks import commandline, kube
from hooks.doctor import gaps, pending
from hooks.doctor.disks import rows
from hooks.doctor.finding import Finding, Weight, count, some
from hooks.doctor.observe import Observer
from hooks.doctor.scheduler import World, judge
from hooks.doctor.scheduler.requests import amounts, of_pod, show
from hooks.doctor.scheduler.volumes import claims_of, smallest_match
from hooks.doctor.snapshot import Snapshot
from hooks.engine import EngineError, Exit, Subject
from hooks.kube.kinds import Obj
from hooks.kube.wire import Request, decode
from hooks.volumes.builders import MANAGER_LABEL

OLDEST = (1, 30)


class WantedError(EngineError):
    """What the chart hands over is not what this program expects."""


@dataclass(frozen=True)
class Component:
    """One StatefulSet as the new values want it. `pod` is its pods' labels and spec as far as placing them goes."""

    name: str
    replicas: int
    pod: Mapping[str, Any]
    storage_class: str = ""
    storage: str = ""


@dataclass(frozen=True)
class Wanted:
    """`classes`: StorageClasses that the release itself makes; `manages`: it manages the cluster's disks."""

    release: str
    namespace: str
    version: str
    components: tuple[Component, ...]
    classes: tuple[str, ...] = ()
    manages: bool = False
    takes_over: str = ""
    server: tuple[int, int] = field(default=OLDEST)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--release", required=True, help="prefix of the release's objects")
    parser.add_argument("--namespace", required=True, help="namespace of the release")
    parser.add_argument("--mode", choices=("warn", "refuse"), default="warn")
    parser.add_argument(
        "--want", required=True, help="what the new values ask for (JSON, from the chart)"
    )
    commandline.api_server(parser)


def run(args: argparse.Namespace) -> int:
    client = kube.Client.connect("preflight", kubeconfig=args.kubeconfig, context=args.context)
    wanted = parse(args.want, args.release, args.namespace, _server(client))
    snapshot = Observer(client, args.namespace, first=True).observe(args.release)
    found = check(wanted, snapshot)
    for line in report(wanted, found, args.mode):
        print(line)
    refused = args.mode == "refuse" and any(one.weight is Weight.PROBLEM for one in found)
    return Exit.REFUSED if refused else Exit.DONE


def parse(text: str, release: str, namespace: str, server: tuple[int, int] = OLDEST) -> Wanted:
    """From the chart's JSON: {version, components: [...], classes, manages, takeOver}. Raises WantedError."""
    try:
        said = json.loads(text)
        components = tuple(
            Component(
                name=one["name"],
                replicas=int(one["replicas"]),
                pod=one["pod"],
                storage_class=one.get("storageClass", ""),
                storage=one.get("storage", ""),
            )
            for one in said["components"]
        )
        return Wanted(
            release, namespace, said["version"], components, tuple(said["classes"]), said["manages"],
            said.get("takeOver", ""), server,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise WantedError(
            f"--want is not what the chart writes: {error!r}; this is a defect of the chart"
        ) from error


def _server(client: kube.Client) -> tuple[int, int]:
    said = decode("GET /version", client.raw(Request("GET", "/version")).body)
    numbers = [int(re.sub(r"\D", "", said[key]) or 0) for key in ("major", "minor")]
    return numbers[0], numbers[1]


def report(wanted: Wanted, found: Sequence[Finding], mode: str) -> list[str]:
    """The verdict as one line that says it all, then what to do."""
    problems = [one for one in found if one.weight is Weight.PROBLEM]
    if not problems:
        lines = [f"preflight: {wanted.release} would find what it needs"]
    else:
        verb = "refused" if mode == "refuse" else "goes on (preflight.mode=warn)"
        first = problems[0]
        lines = [
            f"preflight: {verb}; {count(len(problems), 'problem')}, first: {first.why}; to mend it: {first.remedy}"
        ]
    for one in found:
        mark = "problem" if one.weight is Weight.PROBLEM else "note"
        lines.append(f"  {mark}: {one.subject}: {one.why}; to mend it: {one.remedy}")
        lines += [f"  {line}" for line in one.details]
    return lines


def check(wanted: Wanted, snapshot: Snapshot) -> tuple[Finding, ...]:
    """Pure. Problems first."""
    found = [
        *_kubernetes(wanted),
        *_rights(wanted, snapshot),
        *_version(wanted, snapshot),
        *_classes(wanted, snapshot),
        *_manager(wanted, snapshot),
        *_quota(wanted, snapshot),
        *_places(wanted, snapshot),
    ]
    return tuple(sorted(found, key=lambda one: one.weight))


def _kubernetes(wanted: Wanted) -> Iterator[Finding]:
    if wanted.server < OLDEST:
        yield _problem(
            "kubernetes", Subject("Kubernetes", "server"),
            f"the API server is {wanted.server[0]}.{wanted.server[1]}, and the chart needs {OLDEST[0]}.{OLDEST[1]}",
            "upgrade Kubernetes first: the guards of replicas and disks are ValidatingAdmissionPolicies",
        )  # fmt: skip


def _rights(wanted: Wanted, snapshot: Snapshot) -> Iterator[Finding]:
    """What can't be looked at is not taken for well. Without the CRD there are no disks to know of: that is a first
    install, and no gap.
    """
    for gap in sorted(gap for gap in snapshot.gaps if gap.forbidden):
        (said,) = gaps.sentences([gap])
        what = "ClusterRole" if not gap.namespace else "Role"
        yield _problem(
            "rights", Subject("ServiceAccount", f"{wanted.release}-preflight", wanted.namespace),
            f"its account {said}",
            f"give it the {what} that the chart renders for it (chart/templates/preflight), or preflight.mode=off",
        )  # fmt: skip


def _version(wanted: Wanted, snapshot: Snapshot) -> Iterator[Finding]:
    """TiDB has no way back to an older minor version: its metadata is upgraded at the first start."""
    new = _minor(wanted.version)
    for workload in snapshot.released("StatefulSet"):
        image = str(workload["spec"]["template"]["spec"]["containers"][0].get("image", ""))
        old = _minor(image.rpartition(":")[2])
        if old and new and new < old:
            yield _problem(
                "downgrade", Subject("StatefulSet", kube.name(workload), wanted.namespace),
                f"it runs {image.rpartition(':')[2]}, and version {wanted.version} is older: TiDB can't go back",
                "keep the version; to go back, restore a backup into a new release",
            )  # fmt: skip
            return


def _minor(version: str) -> tuple[int, int] | None:
    match = re.match(r"v(\d+)\.(\d+)\.", version)
    return (int(match[1]), int(match[2])) if match else None


def _classes(wanted: Wanted, snapshot: Snapshot) -> Iterator[Finding]:
    there = {kube.name(one) for one in snapshot.all("StorageClass")}
    if snapshot.missing("storageclasses"):
        return
    for one in wanted.components:
        name = one.storage_class
        if not name or name in there or name in wanted.classes:
            continue
        known = sorted(there | set(wanted.classes))
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        yield _problem(
            "class-missing", Subject("StorageClass", name),
            f"{one.name}.storageClassName is {name}, which does not exist and which this release does not make",
            f"{hint}there are: {some(known) or 'none'}; a claim keeps its class for life, so mend it before installing",
        )  # fmt: skip


def _manager(wanted: Wanted, snapshot: Snapshot) -> Iterator[Finding]:
    if not wanted.manages:
        return
    own = f"{wanted.namespace}.{wanted.release}"
    managers = {
        (one["metadata"].get("labels") or {}).get(MANAGER_LABEL, "")
        for one in snapshot.all("TidbVolume")
    }
    for other in sorted(managers - {"", own, wanted.takes_over}):
        yield _problem(
            "second-manager", Subject("TidbVolume", "all"),
            f"release {other} manages this cluster's disks already",
            "disks.enabled=false here: its disks serve every namespace; if it is gone for good: "
            f"disks.takeOver={other}",
        )  # fmt: skip


def _quota(wanted: Wanted, snapshot: Snapshot) -> Iterator[Finding]:
    asked: dict[str, int] = {"pods": 0}
    for one in wanted.components:
        missing = _missing(one, wanted, snapshot)
        asked["pods"] += len(missing)
        for key, value in of_pod(_pod(one, wanted, 0)).items():
            for name in (key, f"requests.{key}", f"limits.{key}"):
                asked[name] = asked.get(name, 0) + value * len(missing)
    for quota in snapshot.own("ResourceQuota"):
        status = quota.get("status") or {}
        hard, used = _limits(status.get("hard")), _limits(status.get("used"))
        for name, most in sorted(hard.items()):
            left = most - used.get(name, 0)
            if asked.get(name, 0) > left:
                unit = name.rpartition(".")[2]
                yield _problem(
                    "quota", Subject("ResourceQuota", kube.name(quota), wanted.namespace),
                    f"it leaves {show(unit, left)} {name}, and the pods that are still to come ask "
                    f"{show(unit, asked[name])}",
                    f"raise it (kubectl edit resourcequota -n {wanted.namespace} {kube.name(quota)}), or ask for less",
                )  # fmt: skip


def _limits(listed: Mapping[str, Any] | None) -> dict[str, int]:
    """A quota's amounts; `requests.cpu` is read as cpu is."""
    return {
        key: amounts({key.rpartition(".")[2]: value})[key.rpartition(".")[2]]
        for key, value in (listed or {}).items()
    }


def _places(wanted: Wanted, snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.missing("nodes"):
        return
    world = World.of(snapshot.objects)
    # The release's own class, before its first volume is there.
    known = bool(rows(snapshot)) or any(
        one.storage_class not in wanted.classes for one in wanted.components
    )
    for name in wanted.classes:
        world.classes.setdefault(
            name,
            {
                "volumeBindingMode": "WaitForFirstConsumer",
                "provisioner": "kubernetes.io/no-provisioner",
            },
        )
    largest = sorted(
        wanted.components, key=lambda one: -of_pod(_pod(one, wanted, 0)).get("memory", 0)
    )
    for one in largest:
        for ordinal in _missing(one, wanted, snapshot):
            pod = _pod(one, wanted, ordinal)
            if one.storage_class and (known or one.storage_class not in wanted.classes):
                _give_claim(pod, one, world)
            finding = _place(pod, snapshot, world)
            if finding is not None:
                yield finding
                break  # the others of this component fare alike
    if not known and any(one.storage_class in wanted.classes for one in wanted.components):
        yield Finding(
            code="disks-unknown", subject=Subject("TidbVolume", "all"), weight=Weight.NOTE,
            why="no disk agent has looked at the nodes' disks yet",
            remedy="nothing: the scan hook prints the table of disks at the end of the install",
        )  # fmt: skip


def _missing(one: Component, wanted: Wanted, snapshot: Snapshot) -> list[int]:
    """Ordinals whose pod is not on a node yet."""
    there = {kube.name(pod) for pod in snapshot.own("Pod") if pod["spec"].get("nodeName")}
    return [n for n in range(one.replicas) if f"{wanted.release}-{one.name}-{n}" not in there]


def _pod(one: Component, wanted: Wanted, ordinal: int) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{wanted.release}-{one.name}-{ordinal}",
            "namespace": wanted.namespace,
            "labels": dict(one.pod.get("labels") or {}),
        },
        "spec": json.loads(json.dumps(one.pod["spec"])),
        "status": {"phase": "Pending"},
    }


def _give_claim(pod: Obj, one: Component, world: World) -> None:
    """The claim that the StatefulSet would make; one that is there (and perhaps bound) is the one it would take."""
    name = f"{one.name}-{kube.name(pod)}"
    pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]
    world.claims.setdefault(
        (kube.namespace(pod), name),
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": kube.namespace(pod)},
            "spec": {
                "storageClassName": one.storage_class,
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": one.storage}},
            },
        },
    )


def _place(pod: Obj, snapshot: Snapshot, world: World) -> Finding | None:
    """Put the pod on the roomiest node that takes it, with its volumes; a finding when none does."""
    verdict = judge(pod, world)
    if not verdict.fits or verdict.refused:
        return pending.explain(pod, snapshot, world)
    best = world.nodes[max(verdict.fits, key=lambda name: (world.nodes[name].free("memory"), name))]
    for claim in claims_of(pod, world).delayed:
        volume = smallest_match(claim, best, world, set())
        if volume is not None:
            volume["spec"]["claimRef"] = {
                "namespace": kube.namespace(pod),
                "name": kube.name(claim),
            }
    pod["spec"]["nodeName"] = best.name
    world.place(pod)
    return None


def _problem(code: str, subject: Subject, why: str, remedy: str) -> Finding:
    return Finding(code=code, subject=subject, weight=Weight.PROBLEM, why=why, remedy=remedy)
