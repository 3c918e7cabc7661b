"""How a PD member starts.

Invariant: **a cluster that was ever bootstrapped is never bootstrapped a second time**, unless a person named its id
in the record; and no member joins, or forms, another cluster than the recorded one.

Three witnesses, none of them believed alone: the member's own folder, the other members' lists, and the record, which
is written before the first member starts (who forms the cluster) and before the first TiKV starts (PD's cluster id).
So without a cluster id in the record nothing was ever stored, and a first start can be repeated; with it, an empty
folder never means a new cluster.

The first row that fits decides. "lists me": by name, or without a name by my peer address.

 #  folder      peers                        record            decision
 1  any         any                          any, disk on the  refuse: network volume
                                             network
 2  any         any                          any, own name     wait: nobody could reach this member
                                             not in DNS
 3  any         lists of two clusters        any               wait: they must agree first
 4  any         lists of another cluster     names an id, not  refuse: not our PD
                than the record's            given up
 5  wal, join   lists that all lack me       any               wait: a removed member's old disk
 6  join file   any else                     any               --join with the file's addresses: PD goes on
 7  wal         any else                     any               plain start
 8  leftovers   lists lack me                any               wait: PD would take them for its data
    leftovers   any else                     any               as an empty folder: etcd writes its log anew
 9  empty       lists lack me, one nameless  any               wait: PD lets nobody in beside it
10  empty       lists lack me                any               --join
11  empty       some lists lack me, or have  any               wait: they must agree first
                me under different ids
12  empty       a list has me nameless       any               wait: half-joined, must be removed by id first
13  empty       lists have me, started       any               wait: lost disk, the member must be removed first
14  empty       lists have me, not started   I am a first one  --initial-cluster: the members that run wait for it
15  empty       nobody (or without leader)   none              write the record: who forms the cluster; look again
                                             no id, I am one   --initial-cluster
                                             no id, I am not   wait: I join those who form it
16  empty       answer without a leader      names an id       wait: an election or a lost majority
17  empty       nobody                       id given up by a  --initial-cluster if I am a first one, else wait
                                             person
18  empty       nobody                       names an id       wait for `refuse_after`, then refuse: all disks lost?

Row 6 gives --join although PD has its file: without it PD would read neither the file nor the folder and form a
cluster of its own (PrepareJoinCluster returns at once when --join is empty).

Deliberately not done: a member is never removed here. That is failover's work, which sees the Node and the disk; boot
only sees that its own folder is empty, which a slow mount can cause too.
"""

from __future__ import annotations

from hooks.boot.model import Answer, Listed, MemberSnapshot, Record, WriteArgs, WriteRecord, start
from hooks.engine import Plan, Refusal, Subject, Wait

BootPlan = Plan[WriteArgs | WriteRecord]


def plan(snapshot: MemberSnapshot) -> BootPlan:
    """One action, wait or refusal; nothing once the arguments are written."""
    if snapshot.written is not None:
        return Plan()
    if snapshot.volume_problem:
        return Plan(refusals=(network_refusal(snapshot.me, snapshot.volume_problem),))
    if snapshot.dns_problem:
        return Plan(waits=(no_name(snapshot.me, snapshot.dns_problem),))
    clash = _clash(snapshot)
    if clash is not None:
        return clash
    if snapshot.folder.wal or snapshot.folder.join:
        return _with_data(snapshot)
    if snapshot.answers:
        return _among_members(snapshot)
    return _alone(snapshot)


# --- rows 1 to 4: what stops everybody ------------------------------------------------------------


def network_refusal(pod: str, problem: str) -> Refusal:
    return Refusal(
        code="network-volume",
        subject=Subject("Pod", pod),
        why=problem,
        remedy="use a StorageClass of local disks, add its provisioner to storage.localProvisioners if its disks are "
        "local, or set storage.allowNetwork to true",
    )


def no_name(pod: str, problem: str) -> Wait:
    return Wait(
        code="no-name",
        subject=Subject("Pod", pod),
        why=problem,
        until="the cluster's DNS has this pod's address: look at the peer Service and the DNS pods if it takes long",
    )


def _clash(snapshot: MemberSnapshot) -> BootPlan | None:
    ids = sorted({answer.cluster_id for answer in snapshot.answers})
    if len(ids) > 1:
        who = ", ".join(f"{answer.peer}: {answer.cluster_id}" for answer in snapshot.answers)
        return _wait(
            snapshot,
            "two-clusters",
            f"the other members are of different clusters ({who})",
            "one of them was stopped and its volume cleared",
        )
    record = snapshot.record
    if not ids or record is None or record.cluster_id in (None, ids[0]) or record.may_rebootstrap:
        return None
    return _refuse(
        snapshot,
        "other-cluster",
        f"{snapshot.answers[0].peer} is of cluster {ids[0]}, but this release is cluster {record.cluster_id}",
        "find out where that PD comes from before anything is started; nothing was changed",
    )


# --- rows 5 to 7: a folder with data --------------------------------------------------------------


def _with_data(snapshot: MemberSnapshot) -> BootPlan:
    if snapshot.answers and not any(_mine(snapshot, answer) for answer in snapshot.answers):
        if snapshot.folder.wal:
            return _wait(
                snapshot,
                "removed",
                f"this disk is of a member that was removed; {_names(snapshot.answers[0])} are the members now",
                f"its claim is deleted, by the failover job or by hand: kubectl delete pvc pd-{snapshot.me} "
                f"&& kubectl delete pod {snapshot.me}",
            )
        return _wait(
            snapshot,
            "removed",
            "this member was let in, never came up, and was removed again",
            f"its claim is deleted: kubectl delete pvc pd-{snapshot.me} && kubectl delete pod {snapshot.me}",
        )
    if snapshot.folder.join:
        return _start(
            snapshot,
            f"--join={_addresses(snapshot.folder.join)}",
            "it was let in before, and its folder says by whom",
        )
    return _start(snapshot, "", "its data is there")


def _addresses(join: str) -> str:
    """PD's join file has `name=address,…`; the flag has the addresses."""
    return ",".join(entry.partition("=")[2] or entry for entry in join.split(","))


# --- rows 8 to 14: an empty folder, and members that answer ---------------------------------------


def _among_members(snapshot: MemberSnapshot) -> BootPlan:
    mine = [_mine(snapshot, answer) for answer in snapshot.answers]
    entries = [entry for entry in mine if entry is not None]
    if not entries:
        return _join(snapshot)
    if len(entries) < len(mine):
        return _differ(snapshot, "some members have this one in their list and some do not")
    if len({entry.id for entry in entries}) > 1:
        listed = ", ".join(str(number) for number in sorted({entry.id for entry in entries}))
        return _differ(snapshot, f"the members list this one under different ids ({listed})")
    entry = entries[0]
    if not all(entry.name for entry in entries):
        return _wait(
            snapshot,
            "half-joined",
            f"this member was let in as id {entry.id} and never came up, and its disk is empty",
            f"the failover job removes it, or by hand: pd-ctl member delete id {entry.id}",
        )
    if not any(entry.started for entry in entries):
        return _first(snapshot, "the members that run wait for its first start")
    return _wait(
        snapshot,
        "lost-disk",
        f"PD has member {snapshot.me} with another disk (id {entry.id}), and this disk is empty",
        f"the failover job removes it, or by hand: pd-ctl member delete name {snapshot.me}; it then joins by itself",
    )


def _differ(snapshot: MemberSnapshot, why: str) -> BootPlan:
    until = "they agree (a removed member that still runs keeps its old list: delete its pod)"
    return _wait(snapshot, "lists-differ", why, until)


def _join(snapshot: MemberSnapshot) -> BootPlan:
    for entry in (entry for answer in snapshot.answers for entry in answer.members):
        if not entry.name:
            return _wait(
                snapshot,
                "other-half-joined",
                f"a member without a name (id {entry.id}, {', '.join(entry.peer_urls)}) was let in and never came up, "
                "and PD lets nobody in beside it",
                f"the failover job removes it, or by hand: pd-ctl member delete id {entry.id}",
            )
    if snapshot.folder.leftovers:
        return _leftovers(snapshot)
    peers = ",".join(snapshot.cluster.client_url(answer.peer) for answer in snapshot.answers)
    return _start(snapshot, f"--join={peers}", "it is no member, and others let it in")


# --- rows 15 to 18: an empty folder, and nobody who answers --------------------------------------


def _alone(snapshot: MemberSnapshot) -> BootPlan:
    record = snapshot.record
    if record is None:
        return _write(snapshot, Record(_founders(snapshot)))
    if record.cluster_id is None:
        return _first(snapshot, "the cluster is formed for the first time")
    if snapshot.leaderless:
        return _wait(
            snapshot,
            "no-leader",
            f"{', '.join(snapshot.leaderless)} answer, but have no leader",
            "they have elected one; if their majority is lost for good, see docs/failures/pd-quorum-lost.md",
        )
    if record.may_rebootstrap:
        return _first(snapshot, f"a person gave up the PD of cluster {record.cluster_id}")
    return _all_lost(snapshot, record, record.cluster_id)


def _all_lost(snapshot: MemberSnapshot, record: Record, cluster_id: int) -> BootPlan:
    since = f" since {record.since:%Y-%m-%d %H:%M} UTC" if record.since else ""
    others = (
        f"none of {', '.join(snapshot.peers)} answers"
        if snapshot.peers
        else "there is no other member"
    )
    why = f"this disk is empty, {others}, and the release is cluster {cluster_id}{since}"
    if snapshot.waited < snapshot.refuse_after:
        left = snapshot.refuse_after - snapshot.waited
        return _wait(
            snapshot,
            "nobody-answers",
            why,
            f"a member answers; in {left.total_seconds():.0f} s this is a refusal",
        )
    name = f"{snapshot.cluster.release}-cluster"
    patch = f"kubectl patch configmap {name} --type merge -p"
    return _refuse(
        snapshot,
        "all-lost",
        f"{why}; a start now would make a second, empty cluster",
        "bring back a member that has its disk: this one then joins by itself. If all PD disks are lost and TiKV's "
        f'are not: {patch} \'{{"data":{{"rebootstrap":"{cluster_id}"}}}}\', then pd-recover -cluster-id {cluster_id} '
        "-alloc-id N (above every id in use), then restart PD. If the data is given up: "
        f"kubectl delete configmap {name}",
    )


def _first(snapshot: MemberSnapshot, why: str) -> BootPlan:
    """Start as one of those who form the cluster, if this member is one."""
    record = snapshot.record
    if record is None:
        return _write(snapshot, Record(_founders(snapshot)))
    if snapshot.me not in record.members:
        return _wait(
            snapshot,
            "not-first",
            f"{', '.join(record.members)} form the cluster, and {snapshot.me} is none of them",
            "they answer; this one then joins",
        )
    first = ",".join(f"{name}={snapshot.cluster.peer_url(name)}" for name in record.members)
    return _start(snapshot, f"--initial-cluster={first}", why)


def _founders(snapshot: MemberSnapshot) -> tuple[str, ...]:
    """Who forms the cluster: those in the list of a member that runs, before any runs all that should be there."""
    if snapshot.answers:
        return tuple(sorted(entry.name for entry in snapshot.answers[0].members if entry.name))
    return tuple(snapshot.cluster.member(ordinal) for ordinal in range(snapshot.replicas))


# --- small answers --------------------------------------------------------------------------------


def _mine(snapshot: MemberSnapshot, answer: Answer) -> Listed | None:
    address = snapshot.cluster.peer_url(snapshot.me)
    for entry in answer.members:
        if entry.name == snapshot.me or (not entry.name and address in entry.peer_urls):
            return entry
    return None


def _names(answer: Answer) -> str:
    return ", ".join(sorted(entry.name or f"id {entry.id}" for entry in answer.members))


def _leftovers(snapshot: MemberSnapshot) -> BootPlan:
    return _wait(
        snapshot,
        "leftovers",
        "the folder has files of a start that was cut off, which PD would take for its data",
        f"its claim is deleted: kubectl delete pvc pd-{snapshot.me} && kubectl delete pod {snapshot.me}",
    )


def _start(snapshot: MemberSnapshot, args: str, why: str) -> BootPlan:
    return Plan(actions=(start(snapshot.me, args, why),))


def _write(snapshot: MemberSnapshot, now: Record) -> BootPlan:
    return Plan(
        actions=(
            WriteRecord(
                code="record",
                subject=Subject("ConfigMap", f"{snapshot.cluster.release}-cluster"),
                does="note who forms the cluster",
                why=f"{', '.join(now.members)} form the cluster",
                before=snapshot.record,
                now=now,
            ),
        )
    )


def _wait(snapshot: MemberSnapshot, code: str, why: str, until: str) -> BootPlan:
    return Plan(waits=(Wait(code=code, subject=Subject("Pod", snapshot.me), why=why, until=until),))


def _refuse(snapshot: MemberSnapshot, code: str, why: str, remedy: str) -> BootPlan:
    refusal = Refusal(code=code, subject=Subject("Pod", snapshot.me), why=why, remedy=remedy)
    return Plan(refusals=(refusal,))
