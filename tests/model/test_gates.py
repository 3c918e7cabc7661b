"""Named cases of the plan: what forbids a step although the loss is confirmed, and the words of each refusal."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from hooks import pd
from hooks.failover.actions import DeletePod, RetireStore
from hooks.failover.model import (
    Component,
    Entry,
    EntryState,
    PdSilent,
    Policy,
    Regions,
    Silence,
)
from hooks.failover.plan import plan
from tests.model.scene import (
    FOUR,
    LOST,
    POLICY,
    fail_disk,
    lose,
    movable,
    noted,
    only,
    scene,
    see,
    see_more_stores,
    see_pd,
    see_store,
    steps,
    store,
    told,
)
from tests.model.sight import CLUSTER, NOW, NOW_NS, SECOND, address
from tests.model.world import start


def test_two_stores_lost_say_what_is_lost_what_lives_and_what_each_command_would_lose() -> None:
    made = plan(scene(lose(1, "long"), store(2, beat="long"), lose(2, "long")), POLICY)
    assert not made.actions
    seen = scene(fail_disk("tikv", 1), fail_disk("tikv", 2))
    refusal = plan(seen, POLICY).refusals[0]
    assert refusal.code == "stores-lost"
    assert refusal.why == (
        "2 stores are lost at once: store 11 (basic-tikv-1, Down), store 21 (basic-tikv-2, Down); still there: "
        "store 1 (basic-tikv-0, Up)"
    )
    assert "unsafe remove-failed-stores 11,21" in refusal.remedy
    assert "loses nothing" in refusal.remedy
    assert "it loses every write that had not reached these" in refusal.remedy
    assert refusal.numbers == {"lost": 2, "alive": 1}


def test_a_second_loss_while_nobody_can_take_the_first_ones_regions_is_two_lost() -> None:
    """Four stores: the first was retired plainly, then the one that was to take its regions fell silent."""
    both = (
        fail_disk("tikv", 3),
        store(3, kind="offline"),
        noted("tikv", 3, "Retiring"),
        fail_disk("tikv", 0),
    )
    seen = scene(*both, base=FOUR)
    assert steps(seen) == ["refuses stores-lost"]
    (refusal,) = plan(seen, POLICY).refusals
    assert "2 stores are lost at once: store 1 " in refusal.why
    assert "store 31 " in refusal.why
    five = start(nodes=5, tikv=5, faults=0)
    assert steps(scene(*both, base=five)) == ["waits others-stand-still"]


def test_another_store_that_is_disconnected_for_a_moment_is_waited_for() -> None:
    seen = see_store(scene(*LOST), 11, state=pd.StoreState.DISCONNECTED, state_name="Disconnected")
    assert steps(seen) == ["waits others-not-up"]


def test_rule_3_a_tiflash_store_is_no_spare() -> None:
    """Row: 3 TiKV + 1 TiFlash: PD accepts a plain DELETE that never ends. Ours is forced."""
    flash = pd.Store(
        99,
        "flash:3930",
        pd.StoreState.UP,
        "Up",
        False,
        NOW_NS,
        True,
        0,
        0,
        labels={"engine": "tiflash"},
    )
    seen = see_more_stores(scene(*LOST, noted("tikv", 2, "Retiring")), flash)
    assert seen.earlier is not None
    seen = see(seen, earlier=dataclasses.replace(seen.earlier, beats={**seen.earlier.beats, 99: 1}))
    action = only(seen)
    assert isinstance(action, RetireStore)
    assert action.force


def test_rule_3_a_spare_store_makes_the_retirement_plain() -> None:
    action = only(scene(fail_disk("tikv", 3), noted("tikv", 3, "Retiring"), base=FOUR))
    assert isinstance(action, RetireStore)
    assert not action.force
    assert "3 other TiKV stores are Up and can take its regions" in action.why


@pytest.mark.parametrize(
    ("copies", "expected"),
    [(1, "refuses few-replicas"), (2, "refuses few-replicas"), (5, "refuses few-stores")],
)
def test_fewer_copies_than_a_majority_needs(copies: int, expected: str) -> None:
    seen = see_pd(scene(*LOST), replication=pd.Replication(copies, "", ""))
    assert steps(seen) == [expected]


def test_a_region_that_would_keep_no_majority() -> None:
    seen = see_pd(scene(*LOST), regions=Regions(21, 34, 2, (7, 9)))
    refusal = plan(seen, POLICY).refusals[0]
    assert refusal.code == "regions-endangered"
    assert refusal.why == (
        "2 of the 34 regions with a peer on it, on a destroyed store, or one that is down, missing or pending would "
        "keep no majority without it, among them 7, 9"
    )


def test_unread_numbers_are_no_permission() -> None:
    assert steps(see_pd(scene(*LOST), regions=None)) == ["waits pd-unread"]
    assert steps(see_pd(scene(*LOST), replication=None)) == ["waits pd-unread"]


def test_a_scale_in_or_a_replacement_that_is_not_whole_yet() -> None:
    seen = scene(fail_disk("tikv", 3), store(1, kind="offline"), base=FOUR)
    assert steps(seen) == ["waits others-leaving"]
    leaving = pd.Store(98, address(7), pd.StoreState.OFFLINE, "Offline", True, 1, True, 5, 0)
    seen = see_more_stores(scene(fail_disk("tikv", 3), base=FOUR), leaving)
    assert steps(seen) == ["waits others-leaving"]


def test_a_roll_or_another_maintenance() -> None:
    seen = see_pd(scene(*LOST), evicting=frozenset({1}))
    assert steps(seen) == ["waits leaders-evicted"]
    held = pd.Maintenance("tikv_replace", "job-1", 1795165245, "")
    made = plan(see_pd(scene(*LOST), maintenance=held), POLICY)
    assert [w.code for w in made.waits] == ["maintenance"]
    assert made.waits[0].why == "PD's maintenance task tikv_replace/job-1 is held"


def test_no_more_than_max_per_day() -> None:
    earlier = [
        Entry(
            f"pv-x{i}",
            f"uid-x{i}",
            f"tikv-basic-tikv-{i}",
            f"store {90 + i}",
            CLUSTER,
            EntryState.TOMBSTONE,
            NOW - timedelta(hours=h),
        )
        for i, h in enumerate((1, 23, 25))
    ]
    seen = see(scene(*LOST), entries=tuple(earlier))
    assert steps(seen) == ["mark"], "one of them is older than a day"
    refusal = plan(seen, Policy(max_per_day=2)).refusals[0]
    assert refusal.code == "max-per-day"
    assert refusal.why == "2 replacements in 24 hours, and failover.maxPerDay is 2"
    other = tuple(
        dataclasses.replace(e, claim=f"tikv-shop-tikv-{i}") for i, e in enumerate(earlier)
    )
    assert steps(see(seen, entries=other), Policy(max_per_day=2)) == ["mark"], (
        "another release's do not count"
    )


def test_no_free_disk_is_said_node_by_node_before_anything_is_given_up() -> None:
    seen = see(scene(*LOST), disks=())
    made = plan(seen, POLICY)
    assert told(made) == ([], ["no-free-disk"], [])
    assert made.waits[0].why == (
        "no node has a free disk for it: n0: carries basic-tikv-0, and TiKV pods keep one a node; n1: carries "
        "basic-tikv-1, and TiKV pods keep one a node; n2: NotReady since 2026-11-20 11:00:00 UTC; n3: no free disk"
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"storage_class": "other"}, "n3: its free disks are not of class tidb-local"),
        (
            {"capacity_bytes": 5},
            "n3: its largest free disk has 5 bytes, the claim asks for 1073741824",
        ),
    ],
)
def test_a_free_disk_that_does_not_fit(change: dict[str, object], why: str) -> None:
    seen = scene(*LOST)
    disks = tuple(dataclasses.replace(d, **change) for d in seen.disks)  # type: ignore[arg-type]
    assert plan(see(seen, disks=disks), POLICY).waits[0].why.endswith(why)


@pytest.mark.parametrize("why", ["cordoned", "taint dedicated=db:NoSchedule"])
def test_a_node_that_takes_no_pods(why: str) -> None:
    seen = scene(*LOST)
    closed = dataclasses.replace(seen.nodes["n3"], unschedulable={Component.TIKV: why})
    assert (
        plan(see(seen, nodes={**seen.nodes, "n3": closed}), POLICY)
        .waits[0]
        .why.endswith(f"n3: {why}")
    )


def test_a_network_volume_moves_only_when_its_node_is_fenced() -> None:
    seen = movable(scene(*LOST), Component.TIKV, 2)
    refusal = plan(seen, POLICY).refusals[0]
    assert refusal.code == "not-fenced"
    assert "Node n2 may still be writing to it" in refusal.why
    assert (
        "kubectl taint nodes n2 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
        in refusal.remedy
    )
    fenced = dataclasses.replace(seen.nodes["n2"], out_of_service=True)
    action = only(see(seen, nodes={**seen.nodes, "n2": fenced}))
    assert isinstance(action, DeletePod)
    assert action.force
    gone = see(seen, nodes={name: node for name, node in seen.nodes.items() if name != "n2"})
    assert steps(gone) == ["delete-pod"], "and never its claim, nor its store"


def test_a_pd_of_another_cluster_or_an_unrecorded_one() -> None:
    refusal = plan(see(scene(*LOST), recorded_cluster=CLUSTER + 1), POLICY).refusals[0]
    assert (
        refusal.why
        == f"PD answers as cluster {CLUSTER}, ConfigMap db/basic-cluster names cluster {CLUSTER + 1}"
    )
    assert steps(see(scene(*LOST), recorded_cluster=CLUSTER + 1)) == ["refuses other-cluster"]
    assert steps(see(scene(*LOST), recorded_cluster=None)) == ["refuses no-record"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Silence.NO_LEADER, "refuses pd-no-leader"),
        (Silence.UNREACHABLE, "waits pd-unreachable"),
        (Silence.NOT_BOOTSTRAPPED, "waits pd-not-bootstrapped"),
    ],
)
def test_without_pd_nothing_is_done(kind: Silence, expected: str) -> None:
    assert steps(see(scene(*LOST), pd=PdSilent(kind, "so it said"))) == [expected]


def test_a_lost_quorum_says_what_each_way_out_would_lose() -> None:
    remedy = plan(see(scene(), pd=PdSilent(Silence.NO_LEADER, "said")), POLICY).refusals[0].remedy
    assert "bring the machines of the PD members back, which loses nothing" in remedy
    assert f"pd-recover -cluster-id {CLUSTER}" in remedy


def test_a_store_that_is_none_of_the_release() -> None:
    alien = pd.Store(
        5,
        "tikv.elsewhere:20160",
        pd.StoreState.DOWN,
        "Down",
        False,
        NOW_NS - 9000 * SECOND,
        True,
        3,
        0,
    )
    assert steps(see_more_stores(scene(), alien)) == ["refuses no-slot"]
