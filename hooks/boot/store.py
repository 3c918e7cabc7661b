"""How a TiKV store and a TiDB server start: they wait for PD, and the store keeps the record of the cluster's id.

Invariant: **no TiKV process starts before the record names the cluster id of the PD that answers it.** So there is no
data without a record of whose it is, and hooks/boot/plan.py may take "no id in the record" for "nothing was stored".

 PD          record             decision
 silent      any                wait
 answers     none, or no id     write its cluster id; then look again
 answers     the same id        start with the Node's labels (and take a used permission out of the record)
 answers     another id, given  wait: pd-recover gives the new PD the old id
             up by a person
 answers     another id         refuse: this store's data and that PD do not belong together
"""

from __future__ import annotations

from dataclasses import replace

from hooks.boot.model import Record, ServerSnapshot, StoreSnapshot, WriteArgs, WriteRecord, start
from hooks.boot.plan import BootPlan, network_refusal, no_name
from hooks.engine import Plan, Refusal, Subject, Wait


def plan_store(snapshot: StoreSnapshot, record_name: str) -> BootPlan:
    """One action, wait or refusal; nothing once the arguments are written."""
    if snapshot.written is not None:
        return Plan()
    if snapshot.volume_problem:
        return Plan(refusals=(network_refusal(snapshot.me, snapshot.volume_problem),))
    subject = Subject("Pod", snapshot.me)
    if snapshot.dns_problem:
        return Plan(waits=(no_name(snapshot.me, snapshot.dns_problem),))
    if snapshot.cluster_id is None:
        return Plan(waits=(_pd_silent(subject, snapshot.silence),))
    found, record = snapshot.cluster_id, snapshot.record
    if record is None or record.cluster_id is None:
        noted = replace(record or Record(members=()), cluster_id=found, since=snapshot.now)
        return _write(record_name, record, noted, "note PD's cluster id", f"PD is cluster {found}")
    if record.cluster_id == found:
        if record.rebootstrap is not None:
            used = replace(record, rebootstrap=None)
            return _write(
                record_name,
                record,
                used,
                "take back the permission for a new PD",
                "PD has the old id again",
            )
        return Plan(actions=(_start(snapshot, found),))
    if record.may_rebootstrap:
        wait = Wait(
            code="recover",
            subject=subject,
            why=f"PD is cluster {found}, this store's data is of cluster {record.cluster_id}",
            until=f"pd-recover -cluster-id {record.cluster_id} has run and PD was restarted",
        )
        return Plan(waits=(wait,))
    refusal = Refusal(
        code="other-cluster",
        subject=subject,
        why=f"PD is cluster {found}, but this release is cluster {record.cluster_id}",
        remedy="find out where that PD comes from; the store was not started and its data not touched",
    )
    return Plan(refusals=(refusal,))


def plan_server(snapshot: ServerSnapshot) -> BootPlan:
    """TiDB has nothing to decide: it waits until PD has a first store."""
    subject = Subject("Pod", snapshot.me)
    if snapshot.bootstrapped is None:
        return Plan(waits=(_pd_silent(subject, snapshot.silence),))
    if not snapshot.bootstrapped:
        wait = Wait(
            code="no-store",
            subject=subject,
            why="PD has no TiKV store yet",
            until="the first one has registered: see kubectl get pods, and kubectl describe the TiKV pods",
        )
        return Plan(waits=(wait,))
    return Plan()


def _start(snapshot: StoreSnapshot, cluster_id: int) -> WriteArgs:
    labels = ",".join(f"{name}={value}" for name, value in snapshot.labels)
    return start(
        snapshot.me,
        f"--labels={labels}" if labels else "",
        f"PD answers as cluster {cluster_id}, which the record names",
    )


def _pd_silent(subject: Subject, silence: str) -> Wait:
    return Wait(
        code="pd-silent",
        subject=subject,
        why=f"PD does not answer ({silence})",
        until="a PD member leads: see the init containers of the PD pods",
    )


def _write(name: str, before: Record | None, now: Record, does: str, why: str) -> BootPlan:
    action = WriteRecord(
        code="record",
        subject=Subject("ConfigMap", name),
        does=does,
        why=why,
        before=before,
        now=now,
    )
    return Plan(actions=(action,))
