"""Pods tied to a disk that can't be used now: where the data is, what is wrong there, what failover does and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hooks import kube, reporting
from hooks.doctor import database, disks
from hooks.doctor.finding import Finding, Weight
from hooks.doctor.scheduler import Node, Verdict, World
from hooks.doctor.scheduler.volumes import claim_names, is_bound, reaches
from hooks.doctor.snapshot import Snapshot, labels_of
from hooks.engine import Subject
from hooks.kube.kinds import Obj, View


def volume_finding(
    pod: Obj, subject: Subject, verdict: Verdict, snapshot: Snapshot, world: World
) -> Finding | None:
    """A pending pod whose claim is bound to a local volume: its one node is gone, cordoned, tainted or full."""
    for name in claim_names(pod):
        claim = world.claims.get((kube.namespace(pod), name))
        if claim is None or not is_bound(claim):
            continue
        volume = world.volumes.get(claim["spec"]["volumeName"])
        if volume is None:
            return volume_gone(pod, subject, claim, snapshot)
        homes = [node for node in world.nodes.values() if reaches(volume, node)]
        if volume["spec"].get("nodeAffinity") and len(homes) <= 1:
            return _at_home(pod, subject, claim, volume, homes, verdict, snapshot)
    return None


def volume_gone(pod: Obj, subject: Subject, claim: Obj, snapshot: Snapshot) -> Finding:
    weight, ends = _ending(pod, claim, snapshot)
    name, volume = kube.name(claim), claim["spec"].get("volumeName")
    return Finding(
        code="volume-gone", subject=subject, weight=weight,
        why=f"its claim {name} is bound to volume {volume}, which does not exist", remedy=ends,
    )  # fmt: skip


def _at_home(
    pod: Obj,
    subject: Subject,
    claim: Obj,
    volume: Obj,
    homes: list[Node],
    verdict: Verdict,
    snapshot: Snapshot,
) -> Finding:
    disk = disks.of_claim(snapshot, kube.name(volume))
    last = disk.node if disk is not None else hostname(volume)
    held = f"its data is on volume {kube.name(volume)}"
    weight, ends = _ending(pod, claim, snapshot)
    if not homes:
        return Finding(
            code="node-gone", subject=subject, weight=weight,
            why=f"{held} of node {last}, and that Node does not exist any more",
            remedy=ends,
            numbers={"node": last},
        )  # fmt: skip
    home = homes[0]
    reasons = "; ".join(str(reason) for reason in verdict.nodes.get(home.name, ()))
    code = verdict.nodes[home.name][0].code.partition(":")[0] if reasons else "unknown"
    if not home.ready:
        return Finding(
            code="node-not-ready", subject=subject, weight=weight,
            why=f"{held} of node {home.name}, which is not Ready ({reasons})",
            remedy=f"bring {home.name} back, which loses nothing; else {ends}",
            numbers={"node": home.name},
        )  # fmt: skip
    remedies = {
        "cordoned": f"kubectl uncordon {home.name}",
        "taint": f"take the taint off {home.name}, or tolerate it",
    }
    return Finding(
        code=f"home-{code}",
        subject=subject,
        weight=Weight.PROBLEM,
        why=f"{held} of node {home.name}, the only one that can run it, and that {reasons}",
        remedy=remedies.get(code, f"make room on {home.name}: nowhere else is this data"),
        numbers={"node": home.name},
    )


_WHEN = (
    "failover replaces it after failover.{}.after, once PD confirms the loss: "
    "`kubectl tidb plan failover` says what it waits for"
)


def _ending(pod: Obj, claim: Obj, snapshot: Snapshot) -> tuple[Weight, str]:
    """Failover ends it for stores and members; what else had a disk there, a person gives up."""
    component = labels_of(pod).get("app.kubernetes.io/component")
    if component in ("pd", "tikv"):
        return Weight.WAITING, "; ".join(plan_of(snapshot, pod)) or _WHEN.format(component)
    where = f"-n {kube.namespace(claim)}"
    return Weight.PROBLEM, (
        "nothing replaces it by itself; to give up what was there: "
        f"kubectl delete pvc {where} {kube.name(claim)} --wait=false; kubectl delete pod {where} {kube.name(pod)}"
    )


def hostname(volume: View) -> str:
    """The node a local volume names, by its label; "" for another volume."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for one in term.get("matchExpressions") or ():
            if one["key"] == "kubernetes.io/hostname" and one.get("values"):
                return str(one["values"][0])
    return ""


def last_plan(snapshot: Snapshot, job: str) -> Mapping[str, Any]:
    """What a job wrote in `<release>-plan-<job>` when it looked last: {actions, waits, refusals}; {} for never."""
    for config in snapshot.own("ConfigMap"):
        if kube.name(config) == reporting.plan_name(snapshot.release, job):
            return reporting.plan_in(config)
    return {}


def plan_of(snapshot: Snapshot, pod: View) -> list[str]:
    """What failover said last that concerns this pod: by its name, its claim's or its store's address."""
    name = kube.name(pod)
    own = {
        f"Store {one.id}"
        for one in database.stores(snapshot) or ()
        if database.pod_name(one) == name
    }
    lines = []
    plan = last_plan(snapshot, "failover")
    for part, verb, ends in (
        ("actions", "failover is about to", ""),
        ("waits", "failover waits", "until"),
        ("refusals", "failover refuses", "remedy"),
    ):
        for entry in plan.get(part) or ():
            about = str(entry.get("subject", ""))
            text = f"{about} {entry.get('why', '')} {entry.get('does', '')}"
            # What concerns all of PD or TiKV concerns this pod, too.
            if name not in text and about not in own and not about.startswith(("PD ", "TiKV ")):
                continue
            if part == "actions":
                lines.append(f"{verb} {entry['does']} ({entry['subject']}): {entry['why']}")
            else:
                word = "ends when" if ends == "until" else "to go on:"
                lines.append(f"{verb}: {entry['why']}; {word} {entry.get(ends, '')}")
    return lines
