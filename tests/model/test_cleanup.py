"""Cleanup's plan: what goes, what stays, and why. "Must not" as often as "must"."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from hooks.cleanup.model import Claim, FinishedPod, LostVolume, Policy, Released, Snapshot
from hooks.cleanup.plan import plan
from hooks.failover.model import Component, Entry, EntryState
from hooks.pd import Store, StoreState
from tests.model.sight import CLUSTER, NOW, address

POLICY = Policy()
LONG = NOW - timedelta(days=30)


def store(number: int, ordinal: int, state: StoreState = StoreState.UP) -> Store:
    return Store(number, address(ordinal), state, state.value, False, 1, True, 0, 0)


def claim(ordinal: int, component: Component = Component.TIKV, **fields: Any) -> Claim:
    made = Claim(
        component=component,
        ordinal=ordinal,
        name=f"{component}-basic-{component}-{ordinal}",
        uid=f"uid-{component}-{ordinal}",
        pod=f"basic-{component}-{ordinal}",
        address=address(ordinal) if component is Component.TIKV else "",
        volume=f"pv-{component}-{ordinal}",
        deleting=False,
        used_by=f"basic-{component}-{ordinal}" if ordinal < 3 else "",
        unused_since=None,
    )
    return dataclasses.replace(made, **fields)


def world(**fields: Any) -> Snapshot:
    made = Snapshot(
        now=NOW,
        release="basic",
        namespace="db",
        replicas={Component.PD: 3, Component.TIKV: 3},
        claims=tuple(claim(i) for i in range(3)),
        pd_known=True,
        stores=tuple(store(i + 1, i) for i in range(3)),
        members=frozenset(f"basic-pd-{i}" for i in range(3)),
        evicting=frozenset(),
        evicted_by={},
        lease_holder="",
        claim_of={address(i): f"tikv-basic-tikv-{i}" for i in range(5)},
        released=(),
        volume_uids=frozenset(),
        entries=(),
        lost=(),
        finished=(),
    )
    return dataclasses.replace(made, **fields)


def told(made: Snapshot, policy: Policy = POLICY) -> list[str]:
    result = plan(made, policy)
    return [f"{a.code} {a.subject.name}" for a in result.actions] + [
        f"waits {w.code}" for w in result.waits
    ]


def with_claim(**fields: Any) -> Snapshot:
    """A fourth claim, of an ordinal that is gone, first seen unused a month ago."""
    return world(claims=(*world().claims, claim(3, unused_since=LONG, **fields)))


def test_nothing_to_do() -> None:
    assert told(world()) == []


def test_a_claim_of_a_gone_ordinal_is_noted_first_and_goes_in_the_end() -> None:
    fresh = world(claims=(*world().claims, claim(3)))
    assert told(fresh) == ["note-unused tikv-basic-tikv-3"]
    assert told(with_claim()) == ["delete-claim tikv-basic-tikv-3"]
    edge = NOW - POLICY.claims_after
    assert told(world(claims=(claim(3, unused_since=edge),))) == ["delete-claim tikv-basic-tikv-3"]
    young = world(claims=(claim(3, unused_since=edge + timedelta(seconds=1)),))
    assert told(young) == ["waits claim-kept"]


@pytest.mark.parametrize("state", [s for s in StoreState if s is not StoreState.TOMBSTONE])
def test_a_claim_stays_while_its_store_is_anything_but_tombstone(state: StoreState) -> None:
    owned = dataclasses.replace(with_claim(), stores=(*world().stores, store(9, 3, state)))
    assert told(owned) == ["waits claim-owned"]
    dead = dataclasses.replace(
        with_claim(), stores=(*world().stores, store(9, 3, StoreState.TOMBSTONE))
    )
    assert "delete-claim tikv-basic-tikv-3" in told(dead)


def test_a_claim_stays_while_pd_is_silent_or_lists_the_member() -> None:
    assert told(dataclasses.replace(with_claim(), pd_known=False, stores=())) == [
        "waits claim-owned"
    ]
    member = world(claims=(claim(4, Component.PD, unused_since=LONG),))
    assert told(member) == ["delete-claim pd-basic-pd-4"]
    listed = dataclasses.replace(member, members=member.members | {"basic-pd-4"})
    assert told(listed) == ["waits claim-owned"]


def test_a_claim_that_is_used_again_or_whose_ordinal_is_back_is_left_alone() -> None:
    assert told(with_claim(used_by="a-person")) == ["note-used tikv-basic-tikv-3"]
    back = dataclasses.replace(with_claim(), replicas={Component.PD: 3, Component.TIKV: 4})
    assert told(back) == ["note-used tikv-basic-tikv-3"]
    assert told(with_claim(deleting=True)) == []


def test_tombstones_go_when_no_disk_could_speak_for_them() -> None:
    dead = world(stores=(*world().stores, store(9, 2, StoreState.TOMBSTONE)))
    assert told(dead) == ["remove-tombstones basic"]
    kept = dataclasses.replace(
        dead, released=(Released("pv-old", "tikv-basic-tikv-2", gone_for_good=False),)
    )
    assert told(kept) == ["waits tombstones-kept"]
    gone = dataclasses.replace(
        dead, released=(Released("pv-old", "tikv-basic-tikv-2", gone_for_good=True),)
    )
    assert told(gone) == ["remove-tombstones basic"]
    other = dataclasses.replace(
        dead, released=(Released("pv-old", "tikv-basic-tikv-1", gone_for_good=False),)
    )
    assert told(other) == ["remove-tombstones basic"]


def test_a_tombstone_whose_claim_is_still_bound_guards_against_its_disk() -> None:
    stores = tuple(store(i + 1, i) for i in range(2))
    dead = world(stores=(*stores, store(3, 2, StoreState.TOMBSTONE)))
    assert told(dead) == ["waits tombstones-kept"]
    assert plan(dead, POLICY).waits[0].why.endswith("not cleared: pv-tikv-2")
    assert told(dataclasses.replace(dead, pd_known=False)) == ["waits tombstones-kept"]


def test_schedulers_of_retired_stores_and_of_dead_jobs_go_a_persons_stay() -> None:
    assert told(world(evicting=frozenset({1}))) == [], "a person's"
    noted = world(evicting=frozenset({1}), evicted_by={1: "roll pod-a"})
    assert told(noted) == ["stop-evicting 1"]
    assert told(dataclasses.replace(noted, lease_holder="roll pod-a")) == [], "it is at work"
    assert told(world(evicted_by={1: "roll pod-a"})) == [], "it is gone already"
    dead = world(
        stores=(*world().stores, store(9, 1, StoreState.TOMBSTONE)),
        evicting=frozenset({9}),
        released=(Released("pv-old", "tikv-basic-tikv-1", gone_for_good=False),),
    )
    assert told(dead) == ["stop-evicting 9", "waits tombstones-kept"]


def test_tidbvolumes_of_nodes_that_were_deleted_for_long() -> None:
    def lost(phase: str, since: timedelta | None) -> Snapshot:
        seen = None if since is None else NOW - since
        return world(lost=(LostVolume("tv-1", "u", phase, "n9", seen),))

    assert told(lost("Lost", None)) == ["note-lost tv-1"]
    assert told(lost("Lost", timedelta(days=6))) == []
    assert told(lost("Lost", timedelta(days=7))) == ["delete-volume tv-1"]
    assert told(lost("Bound", timedelta(days=8))) == ["note-found tv-1"]
    assert told(lost("Bound", None)) == []


def test_notes_go_with_their_volumes_after_a_day() -> None:
    def noted(state: EntryState, hours: int) -> Entry:
        return Entry(
            "pv-x",
            "uid-x",
            "tikv-basic-tikv-1",
            "store 9",
            CLUSTER,
            state,
            NOW - timedelta(hours=hours),
        )

    assert told(world(entries=(noted(EntryState.TOMBSTONE, 24),))) == ["forget-note pv-x"]
    assert told(world(entries=(noted(EntryState.TOMBSTONE, 23),))) == []
    assert told(world(entries=(noted(EntryState.RETIRING, 99),))) == []
    there = world(entries=(noted(EntryState.TOMBSTONE, 99),), volume_uids=frozenset({"uid-x"}))
    assert told(there) == []


def test_finished_pods_go_after_a_day() -> None:
    def ended(hours: int) -> Snapshot:
        return world(finished=(FinishedPod("p", "u", "Succeeded", NOW - timedelta(hours=hours)),))

    assert told(ended(24)) == ["delete-pod p"]
    assert told(ended(23)) == []


def test_a_silent_pd_has_no_tombstones_to_forget() -> None:
    dead = world(stores=(*world().stores, store(9, 2, StoreState.TOMBSTONE)), pd_known=False)
    assert told(dead) == []


def test_why_a_claim_is_used_again() -> None:
    assert plan(with_claim(used_by="a-person"), POLICY).actions[0].why == "pod a-person uses it"
    back = dataclasses.replace(with_claim(), replicas={Component.PD: 3, Component.TIKV: 4})
    assert plan(back, POLICY).actions[0].why == "its ordinal is back"
