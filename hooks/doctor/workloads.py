"""What makes pods, and what pods need, when there is no pod to look at: refused creations, quotas, Jobs, claims."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hooks import kube
from hooks.doctor.finding import Finding, Weight
from hooks.doctor.lastwords import last_words
from hooks.doctor.pending import class_finding
from hooks.doctor.scheduler import World
from hooks.doctor.scheduler.volumes import claim_names, is_bound
from hooks.doctor.scheduler.world import is_true
from hooks.doctor.snapshot import Snapshot
from hooks.engine import Subject
from hooks.kube.kinds import Obj

_MAKERS = ("StatefulSet", "DaemonSet", "Deployment", "Job", "ReplicaSet")


def refused_pods(snapshot: Snapshot) -> Iterator[Finding]:
    """Controllers that may not make their pods or claims: FailedCreate, the latest for each."""
    latest: dict[tuple[str, str], tuple[str, str]] = {}
    for one in snapshot.all("Event"):
        about = one.get("regarding") or {}
        if one.get("reason") != "FailedCreate" or about.get("kind") not in _MAKERS:
            continue
        key = (about["kind"], about["name"])
        at = str(one.get("eventTime") or one.get("deprecatedLastTimestamp") or "")
        latest[key] = max(latest.get(key, ("", "")), (at, str(one.get("note", ""))))
    for (kind, name), (_, said) in sorted(latest.items()):
        owner = next((o for o in snapshot.own(kind) if kube.name(o) == name), None)
        if owner is None or not _short_of_pods(owner):
            continue
        yield _refused(Subject(kind, name, snapshot.namespace), said)


def _short_of_pods(owner: Obj) -> bool:
    """An old complaint counts no more once all pods are there."""
    status, spec = owner.get("status") or {}, owner["spec"]
    if owner["kind"] == "DaemonSet":
        return int(status.get("currentNumberScheduled", 0)) < int(
            status.get("desiredNumberScheduled", 0)
        )
    if owner["kind"] == "Job":
        return not (status.get("active") or status.get("succeeded"))
    return int(status.get("replicas", 0)) < int(spec.get("replicas", 1))


def _refused(subject: Subject, said: str) -> Finding:
    quota = re.search(
        r"exceeded quota: (?P<quota>[^,]+), requested: (?P<asked>[^,]+(?:,[^,=]+=[^,]+)*), used: (?P<used>.+), "
        r"limited: (?P<limit>.+)",
        said,
    )
    if quota:
        return Finding(
            code="quota", subject=subject, weight=Weight.PROBLEM,
            why=f"it can't make its pods: ResourceQuota {quota['quota']} allows {quota['limit']}, {quota['used']} is "
            f"used, and one more asks {quota['asked']}",
            remedy=f"raise it: kubectl edit resourcequota -n {subject.namespace} {quota['quota']}; or ask for less",
            numbers={"asked": quota["asked"], "used": quota["used"], "limit": quota["limit"]},
        )  # fmt: skip
    if "must specify" in said and "quota" in said:
        return Finding(
            code="quota-unspecified", subject=subject, weight=Weight.PROBLEM,
            why=f"it can't make its pods: {said[:400]}",
            remedy="a quota of this namespace wants that resource said for every container, ours and those you added",
        )  # fmt: skip
    return Finding(
        code="pods-refused", subject=subject, weight=Weight.PROBLEM,
        why=f"it can't make its pods: {said[:400]}",
        remedy="mend what the message names: a policy, an account, or a limit of the namespace",
    )  # fmt: skip


def failed_jobs(snapshot: Snapshot) -> Iterator[Finding]:
    for job in snapshot.released("Job"):
        conditions = (job.get("status") or {}).get("conditions") or ()
        if not is_true(conditions, "Failed"):
            continue
        name = kube.name(job)
        if _succeeded_since(job, snapshot):
            continue
        reason = next(one.get("reason", "") for one in conditions if one["type"] == "Failed")
        pod = _last_pod(job, snapshot)
        said = "its pods are gone"
        if pod is not None:
            lines = [
                line
                for key, found in snapshot.logs.items()
                if key.startswith(f"{kube.name(pod)}/")
                for line in found
            ]
            said = last_words(lines, "", snapshot, pod).why
        yield Finding(
            code="job-failed", subject=Subject("Job", name, snapshot.namespace), weight=Weight.PROBLEM,
            why=f"it failed ({reason}): {said}",
            remedy=f"kubectl logs -n {snapshot.namespace} job/{name}; it is safe to run again",
        )  # fmt: skip


def _succeeded_since(job: Obj, snapshot: Snapshot) -> bool:
    """A later Job of the same CronJob that succeeded makes the failure history."""
    owner = next(
        (o["uid"] for o in job["metadata"].get("ownerReferences") or () if o.get("controller")), ""
    )
    return bool(owner) and any(
        other["metadata"]["creationTimestamp"] > job["metadata"]["creationTimestamp"]
        and is_true((other.get("status") or {}).get("conditions") or (), "Complete")
        and any(o["uid"] == owner for o in other["metadata"].get("ownerReferences") or ())
        for other in snapshot.released("Job")
    )


def _last_pod(job: Obj, snapshot: Snapshot) -> Obj | None:
    pods = [
        pod
        for pod in snapshot.own("Pod")
        if any(o["uid"] == kube.uid(job) for o in pod["metadata"].get("ownerReferences") or ())
    ]
    return max(
        pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), default=None
    )


def idle_claims(snapshot: Snapshot, world: World, pods: Sequence[Obj]) -> Iterator[Finding]:
    """Claims that aren't well and that no pod's own finding speaks of."""
    told = {name for pod in pods if not pod["spec"].get("nodeName") for name in claim_names(pod)}
    for claim in snapshot.released("PersistentVolumeClaim"):
        name = kube.name(claim)
        if name in told:
            continue
        subject = Subject("PersistentVolumeClaim", name, snapshot.namespace, kube.uid(claim))
        phase = (claim.get("status") or {}).get("phase")
        if phase == "Lost":
            yield Finding(
                code="claim-lost", subject=subject, weight=Weight.PROBLEM,
                why=f"its volume {claim['spec'].get('volumeName')} does not exist any more",
                remedy="failover replaces the store or member that lived there: kubectl tidb plan failover",
            )  # fmt: skip
        elif phase == "Pending" and not is_bound(claim):
            missing = (
                class_finding(claim, subject, world)
                if not snapshot.missing("storageclasses")
                else None
            )
            if missing is not None:
                yield missing
