"""The plan's named cases: a world, the step it takes, and the reason for it, or for none.

Covered here: what confirms a loss and what does not (the rules and rows of a real PD's recorded answers are
named), every gate, every step, what is left to a person, and the words of each reason. Interleavings and
crashes: test_explore.py and test_walks.py; what the API server and PD may do to a call: tests/faults.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from hooks import pd
from hooks.engine import Plan
from hooks.failover.actions import DeletePod, RemoveMember, RetireStore, Step
from hooks.failover.model import Component, Entry, EntryState, PdSilent, Policy, Silence, Snapshot
from hooks.failover.plan import plan
from tests.model.scene import (
    claim_going,
    fail_disk,
    lose,
    new_leader,
    noted,
    on_network,
    removed,
    scene,
    see,
    see_more_stores,
    see_pd,
    see_silent,
    see_slot,
    see_store,
    store,
)
from tests.model.sight import CLUSTER, NOW, NOW_NS, SECOND, address
from tests.model.world import World, start

POLICY = Policy(max_per_day=3)
FOUR = start(nodes=4, tikv=4, soft=True, faults=0)


def told(made: Plan[Step]) -> tuple[list[str], list[str], list[str]]:
    return (
        [action.code for action in made.actions],
        [wait.code for wait in made.waits],
        [refusal.code for refusal in made.refusals],
    )


def steps(seen: Snapshot, policy: Policy = POLICY) -> list[str]:
    """What it does; "waits …" or "refuses …" when it does nothing."""
    actions, waits, refusals = told(plan(seen, policy))
    return (
        actions or [f"refuses {code}" for code in refusals] or [f"waits {code}" for code in waits]
    )


def only(seen: Snapshot, policy: Policy = POLICY) -> Step:
    made = plan(seen, policy)
    assert len(made.actions) == 1, made.text()
    return made.actions[0]


tikv_lost = (lose(2, "long"), removed(2))
"""Node 2 with store 21; its PD member was replaced before, so the store is at hand."""


def member_back(made: World) -> World:
    """PD-2 runs elsewhere by now, as the member's replacement comes first."""
    from tests.model.world import Claim, Disk, Member, Place, Pod, put

    disk = next(i for i, d in enumerate(made.disks) if d.node == 3 and d.content is None)
    made = made._replace(disks=put(made.disks, disk, Disk(3, True, ("pd", 2, 1))))
    members = (*(m for m in made.members if m.id[0] != 2), Member((2, 1), True))
    pods = put(made.pd, 2, Place(Claim(disk, False), Pod(3, False)))
    return made._replace(members=members, pd=pods)


LOST = (lose(2, "long"), member_back)
GONE = (lose(2, "gone"), member_back)


# --- A healthy cluster ----------------------------------------------------------------------------


def test_nothing_to_do_stays_nothing_to_do() -> None:
    assert told(plan(scene(), POLICY)) == ([], [], [])


def test_the_same_world_gives_the_same_bytes() -> None:
    assert plan(scene(*LOST), POLICY).text() == plan(scene(*LOST), POLICY).text()


# --- What confirms a loss of a store --------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(scene(*LOST), ["mark"], id="NotReady for long, silent for long, twice read"),
        pytest.param(scene(*GONE), ["mark"], id="Node deleted, silent for long"),
        pytest.param(
            scene(*GONE, store(2, beat="short")), ["mark"], id="Node deleted: 20 s are enough"
        ),
        pytest.param(
            scene(*LOST, store(2, beat="short")),
            ["waits store-silent-too-briefly"],
            id="NotReady for long, PD heard it a minute ago",
        ),
        pytest.param(scene(fail_disk("tikv", 1)), ["mark"], id="disk failed on a living node"),
        pytest.param(
            scene(fail_disk("tikv", 1, "short")),
            ["waits store-silent-too-briefly"],
            id="disk failed a minute ago",
        ),
        pytest.param(
            scene(lose(2, "short"), member_back),
            ["waits node-not-ready"],
            id="NotReady for two minutes",
        ),
        pytest.param(
            see_silent(scene(), 11),
            ["waits place-fine"],
            id="PD calls it Down, its node and disk are fine",
        ),
        pytest.param(
            scene(*LOST, store(2, beat="fresh"), read="once"),
            [],
            id="never on Up, whatever Kubernetes says",
        ),
        pytest.param(
            scene(*LOST, read="once"), ["waits one-reading"], id="rule 2: never from one reading"
        ),
        pytest.param(
            scene(*LOST, read="left"), ["mark"], id="the first reading may be an earlier run's"
        ),
        pytest.param(
            scene(store(2, beat="never"), lose(2, "short"), member_back),
            ["waits node-not-ready"],
            id="row: new id registered reads Down",
        ),
    ],
)
def test_a_lost_store(seen: Snapshot, expected: list[str]) -> None:
    assert steps(seen) == expected


def test_out_of_service_counts_as_lost_at_once() -> None:
    seen = scene(lose(2, "short"), member_back, store(2, beat="long"))
    fenced = dataclasses.replace(seen.nodes["n2"], out_of_service=True)
    assert steps(see(seen, nodes={**seen.nodes, "n2": fenced})) == ["mark"]


def test_rule_2_all_stores_read_disconnected_after_a_leader_change() -> None:
    seen = scene(*GONE, new_leader(1), read="once")
    assert steps(seen)[0].startswith("waits")
    assert not plan(seen, POLICY).refusals, "that no store is Up for a moment is no double loss"


def test_rule_2_a_leader_that_changed_between_two_readings() -> None:
    seen = see_pd(scene(*LOST), leader_steady=False)
    assert steps(seen) == ["waits leader-changed"]
    assert seen.earlier is not None
    other = see(scene(*LOST), earlier=dataclasses.replace(seen.earlier, leader=1))
    assert steps(other) == ["waits leader-changed"]


def test_rule_2_a_leader_that_has_not_heard_it_and_was_not_watched() -> None:
    """Led, lost, led again between a reading that an earlier run left and this one: the live store is not yet
    heard.
    """
    seen = see_store(scene(*LOST, read="left"), 21, heard=False)
    assert steps(seen) == ["waits leader-new"]
    watched = see_store(scene(*LOST), 21, heard=False)
    assert steps(watched) == ["mark"]


def test_rule_2_others_must_move() -> None:
    seen = scene(*LOST)
    assert seen.earlier is not None
    beats = dict(seen.earlier.beats) | {1: NOW_NS}
    still = see(seen, earlier=dataclasses.replace(seen.earlier, beats=beats))
    assert steps(still) == ["waits others-stand-still"]


def test_rule_2_a_heartbeat_that_moved() -> None:
    seen = scene(*LOST)
    assert seen.earlier is not None
    beats = dict(seen.earlier.beats) | {21: 1}
    assert steps(see(seen, earlier=dataclasses.replace(seen.earlier, beats=beats))) == [
        "waits store-heartbeats"
    ]


def test_rule_5_an_offline_store_reads_offline_alive_or_dead() -> None:
    """Without a spare it would be forced; its heartbeat, not its state, says that it lives."""
    seen = scene(
        lose(2, "long"), member_back, store(2, kind="offline"), noted("tikv", 2, "Retiring")
    )
    action = only(seen)
    assert isinstance(action, RetireStore)
    assert action.force
    assert seen.earlier is not None
    beats = dict(seen.earlier.beats) | {21: 1}
    alive = see(seen, earlier=dataclasses.replace(seen.earlier, beats=beats))
    assert steps(alive) == ["waits store-heartbeats"]


def test_an_unknown_state_of_a_store_stops_everything() -> None:
    seen = see_store(scene(*LOST), 1, state=pd.StoreState.UNKNOWN, state_name="Preparing")
    assert steps(seen)[0].startswith(("waits", "refuses"))
    seen = see_store(scene(*LOST), 21, state=pd.StoreState.UNKNOWN, state_name="Preparing")
    assert steps(seen) == ["waits store-state"]


# --- The gates ------------------------------------------------------------------------------------


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
    from hooks.failover.model import Regions

    seen = see_pd(scene(*LOST), regions=Regions(21, 34, 2, (7, 9)))
    refusal = plan(seen, POLICY).refusals[0]
    assert refusal.code == "regions-endangered"
    assert refusal.why == (
        "2 of the 34 regions with a down, missing or pending peer would keep no majority without it, among them 7, 9"
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
    seen = on_network(scene(*LOST), 2)
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


# --- The steps of a store's replacement -----------------------------------------------------------


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


# --- Members --------------------------------------------------------------------------------------


def test_the_member_goes_before_the_store() -> None:
    assert [a.subject.name for a in plan(scene(lose(2, "long")), POLICY).actions] == [
        "pd-basic-pd-2"
    ]


def test_mark_then_remove_by_id_then_claim_then_pod_of_a_member() -> None:
    action = only(scene(lose(2, "long"), noted("pd", 2, "Retiring")))
    assert isinstance(action, RemoveMember)
    assert action.member > 2**53
    gone = (lose(2, "long"), removed(2))
    assert steps(scene(*gone, noted("pd", 2, "Retiring"))) == ["settle"]
    assert steps(scene(*gone, noted("pd", 2, "Removed"))) == ["delete-claim"]
    assert steps(scene(*gone, noted("pd", 2, "Removed"), claim_going("pd", 2))) == ["delete-pod"]


def test_a_removed_member_whose_process_runs_is_taken_down() -> None:
    """Rows: deleted while its process runs; deleted, starts with its old disk: it neither leaves nor joins by
    itself.
    """
    seen = scene(removed(2), noted("pd", 2, "Removed"), claim_going("pd", 2))
    action = only(seen)
    assert isinstance(action, DeletePod)
    assert not action.force


def test_rule_8_a_member_is_removed_only_when_all_others_have_been_healthy() -> None:
    seen = scene(lose(2, "long"))
    assert seen.earlier is not None
    shaky = dataclasses.replace(seen.earlier, unhealthy=seen.earlier.unhealthy | {2**60 + 1})
    assert steps(see(seen, earlier=shaky)) == ["waits others-unsteady"]


def test_a_second_member_that_is_away_is_for_a_person() -> None:
    base = start(nodes=6, tikv=3, pd=5, faults=0)
    seen = scene(fail_disk("pd", 3), fail_disk("pd", 4), base=base)
    refusal = plan(seen, POLICY).refusals[0]
    assert refusal.code == "members-lost"
    assert refusal.why.startswith("2 of 5 PD members do not answer: basic-pd-3")
    assert "member delete id" in refusal.remedy


def test_a_half_joined_member_is_removed_by_its_id_after_longer_than_a_join_takes() -> None:
    """Row: died between being added and coming up: DELETE by name 404, by id 200."""
    from tests.model.world import Member

    def half(made: World) -> World:
        members = (*(m for m in made.members if m.id[0] != 2), Member((2, 1), False))
        return made._replace(members=members)

    seen = scene(lose(2, "long"), half)
    action = only(seen)
    assert isinstance(action, RemoveMember)
    assert action.name == ""
    assert seen.earlier is not None
    young = see(seen, earlier=dataclasses.replace(seen.earlier, taken=NOW - timedelta(seconds=20)))
    assert steps(young) == ["waits one-reading"]
    joined = see(seen, earlier=dataclasses.replace(seen.earlier, nameless=frozenset()))
    assert steps(joined) == ["waits member-changed"]


def test_a_member_that_runs_unlisted_for_long_is_for_a_person() -> None:
    seen = scene(removed(2))
    assert steps(seen) == ["waits pod-coming-up"]
    old = see_slot(
        seen,
        Component.PD,
        2,
        lambda slot: dataclasses.replace(
            slot, pod=slot.pod and dataclasses.replace(slot.pod, created=NOW - timedelta(hours=1))
        ),
    )
    refusal = plan(old, POLICY).refusals[0]
    assert refusal.code == "unlisted-member"
    assert "kubectl delete pvc -n db pd-basic-pd-2 --wait=false" in refusal.remedy


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
