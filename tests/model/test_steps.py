"""Named cases of the plan: a store's replacement, step by step, and what the plan is held to at size."""

from __future__ import annotations

import dataclasses

from hooks import pd
from hooks.failover.actions import DeletePod, RetireStore
from hooks.failover.model import PdView
from hooks.failover.plan import plan
from tests.model.scene import (
    FOUR,
    LOST,
    POLICY,
    claim_going,
    fail_disk,
    lose,
    member_back,
    noted,
    only,
    scene,
    see,
    see_more_stores,
    see_pd,
    see_silent,
    see_store,
    steps,
    store,
    told,
)
from tests.model.sight import NOW_NS, SECOND


def test_mark_then_retire_then_settle_then_claim_then_pod() -> None:
    assert steps(scene(*LOST)) == ["mark"]
    action = only(scene(*LOST, noted("tikv", 2, "Retiring")))
    assert isinstance(action, RetireStore)
    assert (action.store, action.force, action.heartbeat_ns) == (21, True, NOW_NS - 3600 * SECOND)
    retired = (*LOST, store(2, kind="destroyed"))
    assert steps(scene(*retired, noted("tikv", 2, "Retiring"))) == ["settle"]
    assert steps(scene(*retired, noted("tikv", 2, "Destroyed"))) == ["delete-claim"]
    pod = only(scene(*retired, noted("tikv", 2, "Destroyed"), claim_going("tikv", 2)))
    assert isinstance(pod, DeletePod)
    assert pod.force


def test_a_pod_on_a_living_node_is_never_deleted_by_force() -> None:
    seen = scene(
        fail_disk("tikv", 1),
        store(1, kind="destroyed"),
        noted("tikv", 1, "Destroyed"),
        claim_going("tikv", 1),
    )
    action = only(seen)
    assert isinstance(action, DeletePod)
    assert not action.force


def test_a_store_that_is_up_again_before_it_was_retired_is_left_alone() -> None:
    assert steps(scene(noted("tikv", 2, "Retiring"))) == ["forget"]


def test_a_node_that_comes_back_after_the_retirement_loses_its_disk_to_the_new_store() -> None:
    seen = scene(store(2, kind="destroyed"), noted("tikv", 2, "Destroyed"))
    assert steps(seen) == ["delete-claim"]


def test_rule_4_drained_means_tombstone() -> None:
    offline = scene(
        fail_disk("tikv", 3), store(3, kind="offline"), noted("tikv", 3, "Retiring"), base=FOUR
    )
    made = plan(see_store(offline, 31, region_count=0), POLICY)
    assert told(made) == ([], ["draining"], [])
    assert made.waits[0].until == "PD calls it Tombstone"
    dead = scene(
        fail_disk("tikv", 3), store(3, kind="tombstone"), noted("tikv", 3, "Retiring"), base=FOUR
    )
    assert "settle" in steps(dead)


def test_a_second_loss_keeps_the_first_ones_disk() -> None:
    seen = scene(
        lose(2, "long"),
        member_back,
        store(2, kind="destroyed"),
        noted("tikv", 2, "Destroyed"),
        fail_disk("tikv", 1),
    )
    made = plan(seen, POLICY)
    assert told(made) == ([], ["draining"], ["stores-lost"])
    assert "store 11" in made.refusals[0].why
    assert "store 21" in made.refusals[0].why


def test_a_disk_that_never_had_a_store_goes_without_a_note() -> None:
    """The new disk's node died before the store registered: the pod goes first, so that a node that returns
    has lost nothing.
    """
    seen = scene(*LOST, store(2, kind="tombstone"))
    action = only(seen)
    assert isinstance(action, DeletePod)
    assert action.force


def test_a_claim_whose_store_pd_never_heard_of_is_for_a_person() -> None:
    seen = scene(*LOST)
    assert isinstance(seen.pd, object)
    bare = see_pd(seen, stores=tuple(s for s in seen.pd.stores if s.id != 21))  # type: ignore[union-attr]
    refusal = plan(bare, POLICY).refusals[0]
    assert refusal.code == "unknown-claim"
    assert "as after pd-recover" in refusal.why


def test_a_retired_store_elsewhere_says_nothing_about_this_place() -> None:
    """Only one at this very address tells whose data lies here."""
    seen = scene(*LOST)
    assert isinstance(seen.pd, PdView)
    (there,) = (s for s in seen.pd.stores if s.id == 11)
    stores = [s for s in seen.pd.stores if s.id != 21]
    retired = dataclasses.replace(there, id=12, state=pd.StoreState.TOMBSTONE)
    homes = {owner: volume for owner, volume in seen.homes.items() if owner != "store 21"}
    seen = see_pd(see(seen, homes=homes), stores=(*stores, retired))
    assert steps(seen) == ["refuses unknown-claim"]


def test_a_store_that_drains_says_by_whose_hand() -> None:
    ours = (store(2, kind="offline"), noted("tikv", 2, "Retiring"))
    for drained, why in ((ours, "a store that is gone"), (ours[:1], "somebody retired")):
        (wait,) = plan(scene(*LOST, *drained, base=FOUR), POLICY).waits
        assert wait.code == "draining"
        assert why in wait.why


def test_the_store_whose_claim_a_person_replaced_is_retired_and_the_new_claim_left_alone() -> None:
    seen = see_silent(scene(), 21)
    moved = see(seen, homes={**seen.homes, "store 21": "pv-of-old"})
    action = only(moved)
    assert isinstance(action, RetireStore)
    assert "store 21 lived on volume pv-of-old" in action.why


def test_leftover_schedulers_of_retired_stores_go() -> None:
    seen = see_pd(
        scene(*LOST, store(2, kind="tombstone"), noted("tikv", 2, "Tombstone")),
        evicting=frozenset({21}),
    )
    assert steps(seen) == ["delete-claim", "stop-evicting"]
    assert steps(see_pd(scene(), evicting=frozenset({21}))) == []


# --- What the plan is held to at size -------------------------------------------------------------


def test_a_thousand_stores_and_three_thousand_pods() -> None:
    """A ratio within one run, not a time: a plan for a thousand stores costs no more than looking at each a
    few times.
    """
    big = see_more_stores(
        scene(*LOST),
        *(
            pd.Store(
                1000 + i,
                f"basic-tikv-{i}.x:20160",
                pd.StoreState.UP,
                "Up",
                False,
                NOW_NS,
                True,
                9,
                3,
            )
            for i in range(10, 1000)
        ),
    )
    assert big.earlier is not None
    beats = {**big.earlier.beats, **{1000 + i: 1 for i in range(10, 1000)}}
    big = see(big, earlier=dataclasses.replace(big.earlier, beats=beats))
    assert steps(big) == ["mark"]
