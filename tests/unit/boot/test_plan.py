"""The table in hooks/boot/plan.py, a test for each row; what users read; and the invariant over generated worlds."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hooks.boot.model import Answer, Folder, Listed, MemberSnapshot, Record, WriteArgs, WriteRecord
from hooks.boot.plan import plan
from hooks.engine import Exit
from tests.unit.boot.worlds import (
    CLUSTER,
    EMPTY,
    FIRST,
    FORMING,
    GIVEN_UP,
    ID,
    INITIAL,
    JOINED,
    KNOWN,
    LEFTOVERS,
    OTHER,
    WAL,
    answer,
    listed,
    told,
    world,
)

ME = "shop-pd-2"
BOTH = (
    answer("shop-pd-0", "shop-pd-0", "shop-pd-1"),
    answer("shop-pd-1", "shop-pd-0", "shop-pd-1"),
)
JOIN = "start --join=http://shop-pd-0.shop-pd-peer.db.svc:2379,http://shop-pd-1.shop-pd-peer.db.svc:2379"


def with_me(entry: Listed) -> tuple[Answer, ...]:
    return (
        answer("shop-pd-0", "shop-pd-0", "shop-pd-1", entry),
        answer("shop-pd-1", "shop-pd-0", "shop-pd-1", entry),
    )


LOST = with_me(listed(ME))
NEVER_STARTED = with_me(listed(ME, started=False))
HALF_JOINED = with_me(listed(ME, nameless=True, number=77))

ROWS = {
    "1 network": (world(volume_problem="nfs"), "refuse network-volume"),
    "1 network, with data": (world(folder=WAL, volume_problem="nfs"), "refuse network-volume"),
    "2 no name": (world(folder=WAL, dns_problem="no address"), "wait no-name"),
    "3 two clusters": (
        world(answers=(BOTH[0], replace(BOTH[1], cluster_id=OTHER))),
        "wait two-clusters",
    ),
    "3 two clusters, with data": (
        world(folder=WAL, answers=(LOST[0], replace(LOST[1], cluster_id=OTHER))),
        "wait two-clusters",
    ),
    "4 another cluster": (
        world(answers=(replace(BOTH[0], cluster_id=OTHER),)),
        "refuse other-cluster",
    ),
    "4 another cluster, with data": (
        world(folder=WAL, answers=(replace(LOST[0], cluster_id=OTHER),)),
        "refuse other-cluster",
    ),
    "4 not: its id was given up": (
        world(record=GIVEN_UP, answers=tuple(replace(a, cluster_id=OTHER) for a in BOTH)),
        JOIN,
    ),
    "4 not: no id yet": (
        world(record=FORMING, answers=tuple(replace(a, cluster_id=OTHER) for a in BOTH)),
        JOIN,
    ),
    "5 removed, wal": (world(folder=WAL, answers=BOTH), "wait removed"),
    "5 removed, join file": (world(folder=JOINED, answers=BOTH), "wait removed"),
    "5 not: one list has me": (world(folder=WAL, answers=(BOTH[0], LOST[1])), "start"),
    "6 join file, nobody": (
        world(me="shop-pd-3", folder=JOINED),
        "start --join=http://shop-pd-0.shop-pd-peer.db.svc:2380,http://shop-pd-3.shop-pd-peer.db.svc:2380",
    ),
    "6 join file and wal": (
        world(folder=replace(JOINED, wal=True), answers=LOST),
        "start --join=http://shop-pd-0.shop-pd-peer.db.svc:2380,http://shop-pd-3.shop-pd-peer.db.svc:2380",
    ),
    "6 join file, half-joined": (
        world(folder=JOINED, answers=HALF_JOINED),
        "start --join=http://shop-pd-0.shop-pd-peer.db.svc:2380,http://shop-pd-3.shop-pd-peer.db.svc:2380",
    ),
    "7 wal, nobody": (world(folder=WAL), "start"),
    "7 wal, no record": (world(folder=WAL, record=None), "start"),
    "7 wal, listed": (world(folder=WAL, answers=LOST), "start"),
    "7 wal, no leader": (world(folder=WAL, leaderless=("shop-pd-0",)), "start"),
    "8 leftovers, not listed": (world(folder=LEFTOVERS, answers=BOTH), "wait leftovers"),
    "8 leftovers, forming": (world(folder=LEFTOVERS, record=FORMING), f"start {INITIAL}"),
    "8 leftovers, lost disk": (world(folder=LEFTOVERS, answers=LOST), "wait lost-disk"),
    "9 another is half-joined": (
        world(answers=(answer("shop-pd-0", "shop-pd-0", listed("shop-pd-1", nameless=True)),)),
        "wait other-half-joined",
    ),
    "10 join": (world(answers=BOTH), JOIN),
    "10 join, not among the first": (
        world(me="shop-pd-3", replicas=5, answers=(answer("shop-pd-0", *FIRST),)),
        "start --join=http://shop-pd-0.shop-pd-peer.db.svc:2379",
    ),
    "10 join, no record": (world(record=None, answers=BOTH), JOIN),
    "11 lists differ": (world(answers=(BOTH[0], LOST[1])), "wait lists-differ"),
    "11 lists differ in my id": (
        world(answers=(NEVER_STARTED[0], with_me(listed(ME, started=False, number=77))[1])),
        "wait lists-differ",
    ),
    "12 half-joined": (world(answers=HALF_JOINED), "wait half-joined"),
    "12 nameless in one list of two": (
        world(answers=(NEVER_STARTED[0], with_me(listed(ME, nameless=True))[1])),
        "wait half-joined",
    ),
    "13 lost disk": (world(answers=LOST), "wait lost-disk"),
    "13 lost disk while forming": (world(record=FORMING, answers=LOST), "wait lost-disk"),
    "13 lost disk, no record": (world(record=None, answers=LOST), "wait lost-disk"),
    "14 slow first start": (world(answers=NEVER_STARTED), f"start {INITIAL}"),
    "14 slow first start, forming": (
        world(record=FORMING, answers=NEVER_STARTED),
        f"start {INITIAL}",
    ),
    "14 record lost: from the list": (
        world(record=None, replicas=5, answers=NEVER_STARTED),
        f"record {','.join(FIRST)}",
    ),
    "14 not a first one": (
        world(record=Record(FIRST[:1], cluster_id=ID), answers=NEVER_STARTED),
        "wait not-first",
    ),
    "15 first of all": (world(record=None), f"record {','.join(FIRST)}"),
    "15 first of all, single": (world(me=FIRST[0], record=None, replicas=1), f"record {FIRST[0]}"),
    "15 forming": (world(record=FORMING), f"start {INITIAL}"),
    "15 forming, others wait for a majority": (
        world(record=FORMING, leaderless=("shop-pd-0", "shop-pd-1")),
        f"start {INITIAL}",
    ),
    "15 forming, not a first one": (
        world(me="shop-pd-3", replicas=5, record=FORMING),
        "wait not-first",
    ),
    "16 no leader": (world(leaderless=("shop-pd-0",)), "wait no-leader"),
    "16 no leader for long": (
        world(leaderless=("shop-pd-0",), waited_seconds=9999),
        "wait no-leader",
    ),
    "17 given up": (world(record=GIVEN_UP), f"start {INITIAL}"),
    "17 given up, not a first one": (
        world(me="shop-pd-3", replicas=5, record=GIVEN_UP),
        "wait not-first",
    ),
    "17 not: another id was named": (
        world(record=replace(KNOWN, rebootstrap=OTHER), waited_seconds=9999),
        "refuse all-lost",
    ),
    "18 nobody answers": (world(waited_seconds=119), "wait nobody-answers"),
    "18 nobody answers for long": (world(waited_seconds=120), "refuse all-lost"),
    "18 the only member": (world(me=FIRST[0], replicas=1, waited_seconds=120), "refuse all-lost"),
    "decided already": (world(folder=WAL, written=""), "nothing"),
}


@pytest.mark.parametrize("row", ROWS)
def test_row(row: str) -> None:
    snapshot, expected = ROWS[row]
    assert told(plan(snapshot)) == expected


def test_every_row_of_the_docstring_has_a_test() -> None:
    from hooks.boot import plan as module

    assert module.__doc__ is not None
    documented = {
        line[:2].strip() for line in module.__doc__.splitlines() if line[:2].strip().isdigit()
    }
    assert documented == {row.split()[0] for row in ROWS if row[0].isdigit()}


def test_all_lost_says_what_to_do() -> None:
    refusal = plan(world(waited_seconds=120)).refusals[0]
    assert refusal.why == (
        f"this disk is empty, none of shop-pd-0, shop-pd-1 answers, and the release is cluster {ID} since "
        "2026-07-01 12:30 UTC; a start now would make a second, empty cluster"
    )
    assert f"pd-recover -cluster-id {ID} -alloc-id N" in refusal.remedy
    assert (
        f"""kubectl patch configmap shop-cluster --type merge -p '{{"data":{{"rebootstrap":"{ID}"}}}}'"""
        in refusal.remedy
    )
    assert refusal.remedy.endswith("If the data is given up: kubectl delete configmap shop-cluster")
    assert plan(world(waited_seconds=120)).exit is Exit.REFUSED


def test_a_wait_tells_when_it_becomes_a_refusal() -> None:
    assert (
        plan(world(waited_seconds=30)).waits[0].until
        == "a member answers; in 90 s this is a refusal"
    )


@pytest.mark.parametrize(
    ("snapshot", "why", "until"),
    [
        (
            world(answers=LOST),
            "PD has member shop-pd-2 with another disk (id 102), and this disk is empty",
            "the failover job removes it, or by hand: pd-ctl member delete name shop-pd-2; it then joins by itself",
        ),
        (
            world(answers=HALF_JOINED),
            "this member was let in as id 77 and never came up, and its disk is empty",
            "the failover job removes it, or by hand: pd-ctl member delete id 77",
        ),
        (
            world(folder=WAL, answers=BOTH),
            "this disk is of a member that was removed; shop-pd-0, shop-pd-1 are the members now",
            "its claim is deleted, by the failover job or by hand: kubectl delete pvc pd-shop-pd-2 "
            "&& kubectl delete pod shop-pd-2",
        ),
        (
            world(folder=JOINED, answers=BOTH),
            "this member was let in, never came up, and was removed again",
            "its claim is deleted: kubectl delete pvc pd-shop-pd-2 && kubectl delete pod shop-pd-2",
        ),
        (
            world(answers=(BOTH[0], LOST[1])),
            "some members have this one in their list and some do not",
            "they agree (a removed member that still runs keeps its old list: delete its pod)",
        ),
        (
            world(me="shop-pd-3", record=FORMING),
            "shop-pd-0, shop-pd-1, shop-pd-2 form the cluster, and shop-pd-3 is none of them",
            "they answer; this one then joins",
        ),
    ],
)
def test_waits_say_why_and_what_ends_them(snapshot: MemberSnapshot, why: str, until: str) -> None:
    wait = plan(snapshot).waits[0]
    assert (wait.why, wait.until) == (why, until)


def test_another_cluster_is_named() -> None:
    refusal = plan(world(answers=(replace(BOTH[0], cluster_id=OTHER),))).refusals[0]
    assert refusal.why == f"shop-pd-0 is of cluster {OTHER}, but this release is cluster {ID}"


# --- generated worlds ----------------------------------------------------------------------------------------------

EXAMPLES = 20_000 if os.environ.get("HELM_TIDB_SOAK") else 150
MEMBERS = tuple(CLUSTER.member(ordinal) for ordinal in range(5))


@st.composite
def entries(draw: st.DrawFn) -> tuple[Listed, ...]:
    names = draw(st.lists(st.sampled_from(MEMBERS), unique=True, min_size=1, max_size=5))
    return tuple(
        listed(name, started=draw(st.booleans()), nameless=draw(st.integers(0, 5)) == 0)
        for name in names
    )


@st.composite
def records(draw: st.DrawFn) -> Record | None:
    if draw(st.booleans()):
        return None
    size = draw(st.sampled_from((1, 3, 5)))
    return Record(
        MEMBERS[:size],
        cluster_id=draw(st.sampled_from((None, ID, ID))),
        rebootstrap=draw(st.sampled_from((None, None, ID, OTHER))),
        version="1",
    )


@st.composite
def worlds(draw: st.DrawFn) -> MemberSnapshot:
    me = draw(st.sampled_from(MEMBERS))
    others = [name for name in MEMBERS if name != me]
    answering = draw(st.lists(st.sampled_from(others), unique=True, max_size=3))
    return world(
        me=me,
        folder=draw(
            st.sampled_from(
                (EMPTY, EMPTY, WAL, JOINED, LEFTOVERS, Folder(wal=True, join=JOINED.join))
            )
        ),
        record=draw(records()),
        answers=tuple(
            answer(peer, *draw(entries()), cluster_id=draw(st.sampled_from((ID, ID, ID, OTHER))))
            for peer in answering
        ),
        leaderless=tuple(name for name in others if name not in answering and draw(st.booleans())),
        waited_seconds=draw(st.integers(0, 300)),
        replicas=draw(st.sampled_from((1, 3, 5))),
    )


def args_of(snapshot: MemberSnapshot) -> str | None:
    for action in plan(snapshot).actions:
        if isinstance(action, WriteArgs):
            return action.args
    return None


@settings(max_examples=EXAMPLES, deadline=None)
@given(worlds())
def test_never_a_second_cluster(snapshot: MemberSnapshot) -> None:
    """The invariant: --initial-cluster only where nothing can have been stored, or running members wait for it, or a
    person named the id; and always with the members that the record names, this one among them.
    """
    args = args_of(snapshot)
    if args is None or not args.startswith("--initial-cluster="):
        return
    record = snapshot.record
    assert record is not None
    assert not snapshot.folder.wal
    assert not snapshot.folder.join
    assert args == "--initial-cluster=" + ",".join(
        f"{m}={CLUSTER.peer_url(m)}" for m in record.members
    )
    assert snapshot.me in record.members
    waited_for = snapshot.answers and all(
        any(entry.name == snapshot.me and not entry.started for entry in given.members)
        for given in snapshot.answers
    )
    assert record.cluster_id is None or record.rebootstrap == record.cluster_id or waited_for


@settings(max_examples=EXAMPLES, deadline=None)
@given(worlds())
def test_never_into_another_cluster(snapshot: MemberSnapshot) -> None:
    """Whoever starts beside members that answer, they are of one cluster, and of the recorded one."""
    if args_of(snapshot) is None or not snapshot.answers:
        return
    ids = {given.cluster_id for given in snapshot.answers}
    assert len(ids) == 1
    record = snapshot.record
    assert record is None or record.may_rebootstrap or record.cluster_id in (None, *ids)


@settings(max_examples=EXAMPLES, deadline=None)
@given(worlds())
def test_a_lost_disk_never_joins_while_it_is_listed(snapshot: MemberSnapshot) -> None:
    args = args_of(snapshot)
    if args is None or not args.startswith("--join=") or snapshot.folder.join:
        return
    assert snapshot.folder == EMPTY
    for given_ in snapshot.answers:
        assert all(entry.name and entry.name != snapshot.me for entry in given_.members)


@settings(max_examples=EXAMPLES, deadline=None)
@given(worlds())
def test_every_world_ends_in_one_answer_and_says_why(snapshot: MemberSnapshot) -> None:
    decided = plan(snapshot)
    assert len(decided.actions) + len(decided.waits) + len(decided.refusals) == 1
    assert all(wait.why and wait.until for wait in decided.waits)
    assert all(refusal.why and refusal.remedy for refusal in decided.refusals)
    assert plan(snapshot).text() == decided.text()


@settings(max_examples=EXAMPLES, deadline=None)
@given(worlds())
def test_a_written_record_leads_on(snapshot: MemberSnapshot) -> None:
    """After the record was written (by us or, faster, by another), the next look never writes it again."""
    for action in plan(snapshot).actions:
        if isinstance(action, WriteRecord):
            assert action.before is None
            after = plan(replace(snapshot, record=replace(action.now, version="9")))
            assert not any(isinstance(a, WriteRecord) for a in after.actions)


@settings(max_examples=EXAMPLES, deadline=None)
@given(worlds())
def test_patience_changes_nothing_but_the_refusal(snapshot: MemberSnapshot) -> None:
    soon = plan(replace(snapshot, waited=timedelta(0)))
    late = plan(replace(snapshot, waited=timedelta(hours=1)))
    if told(soon) == "wait nobody-answers":
        assert told(late) == "refuse all-lost"
    else:
        assert told(soon) == told(late)
