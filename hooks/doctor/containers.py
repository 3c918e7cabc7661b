"""Pods that have a node and are not well there: images, mounts, crashes, nodes that don't answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hooks import kube
from hooks.doctor import database, lost
from hooks.doctor.finding import Finding, Weight, count
from hooks.doctor.lastwords import last_words
from hooks.doctor.scheduler import World
from hooks.doctor.scheduler.volumes import claim_names
from hooks.doctor.scheduler.world import is_true
from hooks.doctor.snapshot import Snapshot
from hooks.engine import Subject
from hooks.kube.kinds import Obj

_EPOCH = "1970-01-01T00:00:00+00:00"
_SETTLING = timedelta(minutes=2)
_PULL = frozenset(
    {"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "ErrImageInspect"}
)


def of(pods: Sequence[Obj], snapshot: Snapshot, world: World) -> list[Finding]:
    found: list[Finding] = []
    away = stranded(pods, snapshot, world)
    for pod in pods:
        home = pod["spec"].get("nodeName")
        if home and home not in away and (pod.get("status") or {}).get("phase") != "Succeeded":
            found += _of_pod(pod, snapshot, world)
    return [*found, *(_lost_node(node, there, snapshot, world) for node, there in away.items())]


def stranded(pods: Sequence[Obj], snapshot: Snapshot, world: World) -> dict[str, list[Obj]]:
    """Node → the pods that were there when it stopped answering, or was deleted."""
    found: dict[str, list[Obj]] = {}
    for pod in pods:
        home = pod["spec"].get("nodeName")
        if not home or (pod.get("status") or {}).get("phase") == "Succeeded":
            continue
        node = world.nodes.get(home)
        if (node is None or not node.ready) and not snapshot.missing("nodes"):
            found.setdefault(home, []).append(pod)
    return found


def _of_pod(pod: Obj, snapshot: Snapshot, world: World) -> Iterator[Finding]:
    subject = Subject("Pod", kube.name(pod), kube.namespace(pod), kube.uid(pod))
    status = pod.get("status") or {}
    if status.get("phase") == "Failed":
        if not _of_job(pod):
            yield Finding(
                code="pod-failed", subject=subject, weight=Weight.PROBLEM,
                why=f"it ended: {status.get('reason') or 'Failed'}: {status.get('message') or 'no message'}",
                remedy=f"kubectl delete pod -n {kube.namespace(pod)} {kube.name(pod)}; its controller makes it anew",
            )  # fmt: skip
        return
    if is_terminating(pod):
        return  # it is stopping, on a node that answers
    if not _young(pod, snapshot):
        for name in claim_names(pod):
            claim = world.claims.get((kube.namespace(pod), name))
            if claim is not None and not claim["spec"].get("volumeName"):
                yield _without_volume(pod, subject, name)
                return
    told = False
    for one in [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]:
        finding = _of_container(pod, subject, one, snapshot)
        if finding is not None:
            told = True
            yield finding
    if not told and not is_true(status.get("conditions") or (), "Ready"):
        mount = _event(snapshot, pod, ("FailedMount", "FailedAttachVolume", "FailedMapVolume"))
        if mount:
            yield _mount(pod, subject, mount, snapshot)
        elif not _of_job(pod):
            yield _not_ready(pod, subject, snapshot)


def _without_volume(pod: Obj, subject: Subject, claim: str) -> Finding:
    """Its claim was deleted and made anew in the moment that the scheduler chose: nobody looks for a volume again."""
    ours = _component(pod) in ("pd", "tikv")
    delete = f"kubectl delete pod -n {kube.namespace(pod)} {kube.name(pod)}"
    return Finding(
        code="no-volume", subject=subject, weight=Weight.WAITING if ours else Weight.PROBLEM,
        why=f"it was scheduled to node {pod['spec']['nodeName']} while its claim {claim} had no volume, and will get "
        "none there: a volume is found only while a pod is being scheduled",
        remedy=f"failover deletes it at its next run, and it is made anew; at once: {delete}" if ours else delete,
    )  # fmt: skip


def _of_container(
    pod: Obj, subject: Subject, one: Mapping[str, Any], snapshot: Snapshot
) -> Finding | None:
    name, state = one["name"], one.get("state") or {}
    waiting: Mapping[str, str] = state.get("waiting") or {}
    reason, said = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _PULL:
        return _pull(pod, subject, name, said or reason)
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return Finding(
            code="container-config", subject=subject, weight=Weight.PROBLEM,
            why=f"container {name} can't be made on node {pod['spec']['nodeName']}: {said or reason}",
            remedy="create what the message names (a Secret or ConfigMap of the chart's values), or correct the value",
        )  # fmt: skip
    ended = (one.get("lastState") or {}).get("terminated") or state.get("terminated") or {}
    crashed = reason == "CrashLoopBackOff" or (
        one.get("restartCount", 0) > 0 and not one.get("ready") and bool(ended.get("exitCode"))
    )
    if not crashed:
        return _init_waits(pod, subject, one, snapshot)
    if _of_job(pod):
        return None  # told with its Job
    if ended.get("reason") == "OOMKilled":
        limit = _limit(pod, name)
        return Finding(
            code="out-of-memory", subject=subject, weight=Weight.PROBLEM,
            why=f"container {name} was killed for using more than its {limit} of memory "
            f"({count(one.get('restartCount', 0), 'restart')})",
            remedy=f"raise {_component(pod)}.resources.memory, or lower what it caches",
        )  # fmt: skip
    lines = snapshot.logs.get(f"{kube.name(pod)}/{name}", ())
    words = last_words(lines, ended.get("message") or "", snapshot, pod)
    how = f"exit code {ended.get('exitCode', '?')}, {count(one.get('restartCount', 0), 'restart')}"
    return Finding(
        code=words.code, subject=subject, weight=words.weight,
        why=f"container {name} keeps ending ({how}): {words.why}",
        remedy=words.remedy, details=tuple(f"  log: {line}" for line in words.lines),
    )  # fmt: skip


def _init_waits(
    pod: Obj, subject: Subject, one: Mapping[str, Any], snapshot: Snapshot
) -> Finding | None:
    """The boot container waits on purpose, and says for what in its log."""
    running = "running" in (one.get("state") or {})
    inits = {
        c["name"]
        for c in pod["spec"].get("initContainers") or ()
        if c.get("restartPolicy") != "Always"
    }
    if not running or one["name"] not in inits:
        return None
    lines = snapshot.logs.get(f"{kube.name(pod)}/{one['name']}", ())
    said = lines[-1] if lines else "it has not said why yet"
    return Finding(
        code="starting", subject=subject, weight=Weight.WAITING,
        why=f"init container {one['name']} has not finished: {said}",
        remedy="it goes on by itself when that has happened; "
        f"kubectl logs -n {kube.namespace(pod)} {kube.name(pod)} -c {one['name']} -f",
    )  # fmt: skip


def _pull(pod: Obj, subject: Subject, name: str, said: str) -> Finding:
    image = next((c["image"] for c in _all_containers(pod) if c["name"] == name), "?")
    remedy = "check imageRegistry and the image's tag in the chart's values"
    if re.search(r"(?i)unauthori|denied|forbidden|credential", said):
        remedy = "name a pull Secret under imagePullSecrets that may read this registry"
    elif re.search(r"(?i)no such host|dial tcp|timeout|connection refused|i/o timeout", said):
        remedy = (
            f"node {pod['spec']['nodeName']} does not reach the registry: set imageRegistry to a mirror, or load the "
            "image on the nodes"
        )
    return Finding(
        code="image-pull", subject=subject, weight=Weight.PROBLEM,
        why=f"node {pod['spec']['nodeName']} can't pull image {image} for container {name}: {_short(said)}",
        remedy=remedy,
    )  # fmt: skip


def _mount(pod: Obj, subject: Subject, said: str, snapshot: Snapshot) -> Finding:
    node = pod["spec"]["nodeName"]
    if re.search(r"(?i)does not exist|no such file", said):
        return Finding(
            code="folder-missing", subject=subject, weight=Weight.PROBLEM,
            why=f"the folder of its volume is not there on node {node}: the disk is not mounted, or another disk sits "
            f"in its place ({_short(said)})",
            remedy="mount the right disk again and it starts by itself; if the disk is gone for good: "
            + ("; ".join(lost.plan_of(snapshot, pod)) or "`kubectl tidb plan failover` says what happens and when"),
        )  # fmt: skip
    # A volume that was bound a moment ago is refused to the kubelet until the API server has noticed.
    young = _young(pod, snapshot)
    return Finding(
        code="mount", subject=subject, weight=Weight.WAITING if young else Weight.PROBLEM,
        why=f"node {node} can't mount its volumes: {_short(said)}",
        remedy="mend what the message names; the kubelet tries again by itself",
    )  # fmt: skip


def _young(pod: Obj, snapshot: Snapshot) -> bool:
    """Whether its kubelet has seen it for so short a time that its volumes may still come."""
    started = (pod.get("status") or {}).get("startTime") or _EPOCH
    return snapshot.taken - datetime.fromisoformat(started) < _SETTLING


def _lost_node(node: str, pods: Sequence[Obj], snapshot: Snapshot, world: World) -> Finding:
    """One finding for a node that doesn't answer, with what becomes of each pod that was there."""
    gone = node not in world.nodes
    how = "does not exist any more" if gone else "is not Ready" + _since(node, snapshot)
    names = [kube.name(pod) for pod in pods]
    held = [pod for pod in pods if _component(pod) in ("pd", "tikv")]
    free = [pod for pod in pods if pod not in held]
    details = [f"  {kube.name(pod)}{_in_pd(pod, snapshot)}: {_fate(pod, snapshot)}" for pod in held]
    if free:
        others = ", ".join(kube.name(pod) for pod in free)
        then = "is made elsewhere" if gone else "stays as it is until the node is back or deleted"
        details.append(f"  {others}: no data there; each {then}")
    back = "" if gone else f"bring {node} back, which loses nothing; else "
    due = (
        "failover replaces what had its disk there"
        if held
        else f"kubectl delete node {node}, then the pods move"
    )
    return Finding(
        code="node-lost", subject=Subject("Node", node), weight=Weight.WAITING,
        why=f"it {how}; {', '.join(names)} {'was' if len(names) == 1 else 'were'} there, and nobody knows whether "
        "they still run",
        remedy=back + due, details=tuple(details), numbers={"node": node, "pods": len(names)},
    )  # fmt: skip


def _in_pd(pod: Obj, snapshot: Snapshot) -> str:
    """What PD says of the store that lived there."""
    for store in database.stores(snapshot) or ():
        if database.pod_name(store) == kube.name(pod) and not store.retired:
            return f" (PD calls store {store.id} {store.state_name}, {count(store.region_count, 'region')})"
    return ""


def _fate(pod: Obj, snapshot: Snapshot) -> str:
    plan = "; ".join(lost.plan_of(snapshot, pod))
    return plan or "failover replaces it once PD confirms the loss: kubectl tidb plan failover"


def _since(node: str, snapshot: Snapshot) -> str:
    for obj in snapshot.all("Node"):
        for one in (obj.get("status") or {}).get("conditions") or ():
            if (
                kube.name(obj) == node
                and one.get("type") == "Ready"
                and one.get("lastTransitionTime")
            ):
                away = snapshot.taken - datetime.fromisoformat(one["lastTransitionTime"])
                return f" for {max(0, int(away.total_seconds()))} s"
    return ""


def _not_ready(pod: Obj, subject: Subject, snapshot: Snapshot) -> Finding:
    probe = _event(snapshot, pod, ("Unhealthy",))
    said = f": {_short(probe)}" if probe else ", and nothing has complained yet"
    return Finding(
        code="not-ready", subject=subject, weight=Weight.WAITING,
        why=f"it runs on node {pod['spec']['nodeName']} and is not ready{said}",
        remedy="its probe succeeds; to see what it does: "
        f"kubectl logs -n {kube.namespace(pod)} {kube.name(pod)} --all-containers --tail=20",
    )  # fmt: skip


def _event(snapshot: Snapshot, pod: Obj, reasons: Sequence[str]) -> str:
    """The latest complaint of these kinds about the pod."""
    found = [
        (
            str(one.get("eventTime") or one.get("deprecatedLastTimestamp") or ""),
            str(one.get("note", "")),
        )
        for one in snapshot.all("Event")
        if one.get("reason") in reasons and (one.get("regarding") or {}).get("uid") == kube.uid(pod)
    ]
    return max(found)[1] if found else ""


def _all_containers(pod: Obj) -> Sequence[Mapping[str, Any]]:
    return [*(pod["spec"].get("initContainers") or ()), *(pod["spec"].get("containers") or ())]


def _limit(pod: Obj, container: str) -> str:
    for one in _all_containers(pod):
        if one["name"] == container:
            return str(((one.get("resources") or {}).get("limits") or {}).get("memory", "limit"))
    return "limit"


def is_terminating(pod: Obj) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _of_job(pod: Obj) -> bool:
    return any(one.get("kind") == "Job" for one in pod["metadata"].get("ownerReferences") or ())


def _component(pod: Obj) -> str:
    return str(
        (pod["metadata"].get("labels") or {}).get("app.kubernetes.io/component", "the pod's")
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:299] + "…"
