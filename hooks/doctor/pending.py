"""Pods that have no node: which node lacks what, and which of the remedies is a person's."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hooks import kube
from hooks.doctor import disks, lost
from hooks.doctor.finding import Finding, Weight, count, some
from hooks.doctor.scheduler import Reason, Verdict, World, judge
from hooks.doctor.scheduler.requests import show
from hooks.doctor.scheduler.volumes import claim_names, is_bound, request_bytes
from hooks.doctor.scheduler.world import class_of
from hooks.doctor.snapshot import Snapshot
from hooks.engine import Subject
from hooks.kube.kinds import Obj, View

_NODES_SHOWN = 12
_DISKS_SHOWN = 24


def explain(pod: Obj, snapshot: Snapshot, world: World) -> Finding:
    """One finding for a pod without a node."""
    subject = Subject("Pod", kube.name(pod), kube.namespace(pod), kube.uid(pod))
    gates = pod["spec"].get("schedulingGates") or ()
    if gates:
        listed = ", ".join(gate["name"] for gate in gates)
        return Finding(
            code="gated", subject=subject, weight=Weight.WAITING,
            why=f"the scheduler may not look at it yet: gates {listed}",
            remedy=f"whoever set {listed} takes it off",
        )  # fmt: skip
    if not world.nodes:
        why = "no Node could be read" if snapshot.missing("nodes") else "the cluster has no Node"
        return Finding(
            code="no-nodes", subject=subject, weight=Weight.PROBLEM, why=f"it has no node: {why}",
            remedy="grant the rights listed below" if snapshot.missing("nodes") else "join a node to the cluster",
        )  # fmt: skip
    verdict = judge(pod, world)
    if verdict.refused:
        return _claim_refused(pod, subject, verdict.refused, snapshot, world)
    if verdict.fits:
        return Finding(
            code="about-to-run", subject=subject, weight=Weight.WAITING,
            why=f"it has no node yet, and {some(list(verdict.fits))} would take it",
            remedy="the scheduler places it at its next look; if it stays so, kube-scheduler is down: "
            "kubectl get pods -n kube-system",
        )  # fmt: skip
    away = lost.volume_finding(pod, subject, verdict, snapshot, world)
    return away or _nowhere(pod, subject, verdict, snapshot, world)


def _nowhere(
    pod: Obj, subject: Subject, verdict: Verdict, snapshot: Snapshot, world: World
) -> Finding:
    groups = grouped(verdict)
    lifted = without_barriers(pod, world) if {"cordoned", "taint"} & set(dict(groups)) else verdict
    remedies = [_remedy(code, pod, found, lifted) for code, found in groups]
    parts = [_group(code, found) for code, found in groups]
    details = [f"  {line}" for line in node_lines(verdict)]
    if "no-volume" in dict(groups):
        details += ["  disks:", *(f"    {line}" for line in disk_lines(pod, snapshot, world))]
    return Finding(
        code=f"unschedulable-{groups[0][0].partition(':')[0]}",
        subject=subject,
        weight=Weight.PROBLEM,
        why=f"none of {count(len(verdict.nodes), 'node')} takes it: {'; '.join(parts)}",
        remedy="; or ".join(dict.fromkeys(one for one in remedies if one)) or _MORE,
        details=tuple(details),
        numbers={"nodes": len(verdict.nodes), **{code: len(found) for code, found in groups}},
    )


_MORE = "add a node that takes it"


def without_barriers(pod: View, world: World) -> Verdict:
    """As if no node were cordoned or tainted: taking that away helps only where nothing else is in the way."""
    nodes = {
        name: replace(node, unschedulable=False, taints=()) for name, node in world.nodes.items()
    }
    return judge(pod, replace(world, nodes=nodes))


def grouped(verdict: Verdict) -> list[tuple[str, dict[str, Reason]]]:
    """code → node → reason; what can be mended nearest to the pod first: storage, resources, then placement."""
    found: dict[str, dict[str, Reason]] = {}
    for node, reasons in sorted(verdict.nodes.items()):
        for reason in reasons:
            found.setdefault(reason.code, {})[node] = reason
    return sorted(found.items(), key=lambda item: (_RANK.get(item[0], 2), -len(item[1]), item[0]))


# A taint on the control plane is no news while another node lacks memory.
_RANK = {
    "no-volume": 0,
    "volume-elsewhere": 0,
    "volume-gone": 0,
    "taint": 4,
    "cordoned": 3,
    "selector": 3,
}


def _group(code: str, found: Mapping[str, Reason]) -> str:
    nodes = list(found)
    if code.startswith("resource:"):
        key = code.partition(":")[2]
        best = max(nodes, key=lambda name: found[name].numbers["free"])
        numbers = found[best].numbers
        return (
            f"{count(len(nodes), 'node')} with too little {key} (asked {show(key, numbers['asked'])}, most free "
            f"{show(key, numbers['free'])} on {best})"
        )
    texts = {str(reason) for reason in found.values()}
    said = texts.pop() if len(texts) == 1 else found[nodes[0]].phrase.removeprefix("node(s) ")
    return f"{count(len(nodes), 'node')}: {said}"


def node_lines(verdict: Verdict) -> list[str]:
    """`n1: cpu: asks 2, 500m free of 4`, alike ones together, at most a screen."""
    by_text: dict[str, list[str]] = {}
    for node, reasons in sorted(verdict.nodes.items()):
        by_text.setdefault("; ".join(str(one) for one in reasons), []).append(node)
    lines = [f"{some(nodes)}: {text}" for text, nodes in by_text.items()]
    if len(lines) > _NODES_SHOWN:
        left = len(lines) - _NODES_SHOWN
        lines = [*lines[:_NODES_SHOWN], f"… {count(left, 'line')} more: -o json has all nodes"]
    return lines


def disk_lines(pod: View, snapshot: Snapshot, world: World) -> list[str]:
    """For each claim that waits for a volume: every disk, and why it isn't one."""
    lines = []
    for name in claim_names(pod):
        claim = world.claims.get((kube.namespace(pod), name))
        if claim is None or is_bound(claim):
            continue
        asked, wanted = request_bytes(claim), class_of(claim)
        known = disks.rows(snapshot)
        lines.append(f"claim {name} asks {show('storage', asked)} of class {wanted}:")
        lines += [
            f"{disk.node} {disk.path} {disk.size}: {_disk_verdict(disk, wanted, asked, pod, world)}"
            for disk in known[:_DISKS_SHOWN]
        ]
        if len(known) > _DISKS_SHOWN:
            lines.append(f"… {len(known) - _DISKS_SHOWN} more: kubectl tidb disks")
        if not known:
            lines.append(_no_disks(snapshot, wanted, world))
    return lines


def _disk_verdict(disk: disks.Disk, wanted: str, asked: int, pod: View, world: World) -> str:
    why = disks.why_not(disk, wanted, asked)
    if why:
        return why
    # Free and large enough: then it is the node that doesn't take the pod.
    reasons = judge(pod, world).nodes.get(disk.node, ())
    if not reasons:
        return "free, and would do"
    return f"free, but the node {'; '.join(str(one) for one in reasons)}"


def _no_disks(snapshot: Snapshot, wanted: str, world: World) -> str:
    volumes = world.volumes_of_class.get(wanted, [])
    if snapshot.missing("tidbvolumes"):
        return "no TidbVolume could be read (see below)"
    if not volumes:
        return "no disk was found on any node: mount one below the discovery directory (/mnt/disks/NAME)"
    return f"{count(len(volumes), 'volume')} of the class, none of them made by helm-tidb and none free"


def _remedy(code: str, pod: View, found: Mapping[str, Reason], lifted: Verdict) -> str:
    """What would help against this reason; "" when it alone does not stand in the way."""
    if code.startswith("resource:"):
        key = code.partition(":")[2]
        asked = next(iter(found.values())).numbers["asked"]
        everywhere = [
            one for reasons in lifted.nodes.values() for one in reasons if one.code == code
        ]
        most = max(one.numbers["allocatable"] for one in (*found.values(), *everywhere))
        if asked > most and not lifted.fits:
            return f"ask for less than {show(key, most)} {key} (no node is larger), or add a larger node"
        return f"free {key} on a node, add a node, or ask for less"
    component = (pod["metadata"].get("labels") or {}).get(
        "app.kubernetes.io/component", "COMPONENT"
    )
    helped = [node for node in found if not lifted.nodes[node]]
    if code in ("cordoned", "taint") and not helped:
        return ""
    remedies = {
        "no-volume": "mount another disk on a node that may run the pod, or free one (kubectl tidb disks)",
        "taint": f"add the toleration under {component}.tolerations, or take the taint off {some(helped)}",
        "cordoned": f"kubectl uncordon {next(iter(helped), '')}",
        "selector": f"label a node as {component}.nodeSelector and affinity ask, or change them",
        "anti-affinity": "add a node: each may run one of these pods",
        "existing-anti-affinity": "add a node: each may run one of these pods",
        "affinity": f"change {component}.affinity, or start the pods it wants to be near",
        "spread": f"add a node in the emptiest domain, or change {component}.topologySpreadConstraints",
        "spread-label": "label the nodes with the topology key",
        "too-many-pods": "add a node, or raise the kubelet's maxPods",
        "ports": "free the host port, or use another one",
    }
    return remedies.get(code, _MORE)


def _claim_refused(
    pod: Obj, subject: Subject, refused: str, snapshot: Snapshot, world: World
) -> Finding:
    for name in claim_names(pod):
        claim = world.claims.get((kube.namespace(pod), name))
        if claim is None:
            return Finding(
                code="claim-missing", subject=subject, weight=Weight.WAITING,
                why=f"its claim {name} does not exist",
                remedy="the StatefulSet controller makes it anew when the pod is made anew: "
                f"kubectl delete pod -n {kube.namespace(pod)} {kube.name(pod)}",
            )  # fmt: skip
        if claim["metadata"].get("deletionTimestamp"):
            return Finding(
                code="claim-deleting", subject=subject, weight=Weight.WAITING,
                why=f"its claim {name} is being deleted",
                remedy="it ends when no pod uses the claim any more: delete this pod too, and both are made anew",
            )  # fmt: skip
        if (claim.get("status") or {}).get("phase") == "Lost":
            return lost.volume_gone(pod, subject, claim, snapshot)
        if not is_bound(claim):
            missing = class_finding(claim, subject, world)
            if missing is not None:
                return missing
    return Finding(
        code="claim-unbound", subject=subject, weight=Weight.PROBLEM,
        why=f"the scheduler looks at no node: {refused}",
        remedy=f"kubectl describe pvc -n {kube.namespace(pod)} says what binds it",
    )  # fmt: skip


def class_finding(claim: Obj, subject: Subject, world: World) -> Finding | None:
    """The claim's class is missing, or no class is said and there is no default."""
    wanted = class_of(claim)
    if wanted in world.classes:
        return None
    there = sorted(world.classes)
    asked = show("storage", request_bytes(claim))
    near = difflib.get_close_matches(wanted, there, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    listed = f"there are: {some(there)}" if there else "the cluster has none"
    said = f"StorageClass {wanted} does not exist" if wanted else "it names no StorageClass"
    return Finding(
        code="class-missing",
        subject=subject,
        weight=Weight.PROBLEM,
        why=f"claim {kube.name(claim)} ({asked}) can't be bound: {said}; {listed}",
        remedy=f"{hint}set storageClassName in the chart's values to one that exists; a claim keeps its class for "
        f"life, so delete it then: kubectl delete pvc -n {kube.namespace(claim)} {kube.name(claim)} (nothing is on it: "
        "it was never bound), then the pod",
        numbers={"wanted": wanted, "near": near[0] if near else ""},
    )


def is_waiting(pod: View) -> bool:
    return (pod.get("status") or {}).get("phase") == "Pending" and not pod["spec"].get("nodeName")


def of(pods: Sequence[Obj], snapshot: Snapshot, world: World) -> list[Finding]:
    return [explain(pod, snapshot, world) for pod in pods if is_waiting(pod)]
