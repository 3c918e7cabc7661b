"""Named cases of the plan: a PD member's replacement, step by step, and what forbids it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from hooks import pd
from hooks.failover.actions import DeletePod, RemoveMember
from hooks.failover.model import (
    Component,
    PdView,
)
from hooks.failover.plan import plan
from tests.model.scene import (
    POLICY,
    claim_going,
    fail_disk,
    lose,
    movable,
    noted,
    only,
    removed,
    scene,
    see,
    see_pd,
    see_slot,
    steps,
    told,
)
from tests.model.sight import NOW
from tests.model.world import World, start


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


def test_a_lost_quorum_of_members_stops_every_store() -> None:
    base = start(nodes=6, tikv=3, pd=5, faults=0)
    seen = scene(fail_disk("pd", 3), fail_disk("pd", 4), fail_disk("tikv", 1), base=base)
    assert told(plan(seen, POLICY)) == ([], [], ["members-lost"])


def test_a_member_that_no_step_can_help_does_not_hold_up_a_store() -> None:
    """Its place is fine: its process has another trouble. PD leads with two of three."""
    seen = scene(fail_disk("tikv", 1))
    assert isinstance(seen.pd, PdView)
    health = tuple(dataclasses.replace(h, healthy=h.name != "basic-pd-2") for h in seen.pd.health)
    assert steps(see_pd(seen, health=health)) == ["mark"]


def test_the_member_waits_by_its_own_time() -> None:
    seen = scene(lose(2, "long"))
    for minutes, expected in ((10, "mark"), (9, "waits node-not-ready")):
        node = dataclasses.replace(seen.nodes["n2"], ready_since=NOW - timedelta(minutes=minutes))
        assert steps(see(seen, nodes={**seen.nodes, "n2": node}))[0] == expected


def test_a_member_that_is_none_of_the_release() -> None:
    seen = scene(lose(2, "long"))
    slots = tuple(s for s in seen.slots if s.name != "basic-pd-2")
    assert "foreign-member" in told(plan(see(seen, slots=slots), POLICY))[2]


def test_two_members_away_for_a_moment_are_waited_for() -> None:
    base = start(nodes=6, tikv=3, pd=5, faults=0)
    seen = scene(fail_disk("pd", 3), fail_disk("pd", 4), base=base)
    assert seen.earlier is not None
    fresh = see(seen, earlier=dataclasses.replace(seen.earlier, unhealthy=frozenset()))
    assert told(plan(fresh, POLICY)) == ([], ["members-away"], [])


def test_the_last_members_are_never_removed() -> None:
    for count in (1, 2):
        seen = scene(lose(2, "long"))
        assert isinstance(seen.pd, PdView)
        members = [m for m in seen.pd.members if m.name in ("basic-pd-2", "basic-pd-0")][-count:]
        few = see_pd(seen, members=tuple(members))
        assert not any(isinstance(a, RemoveMember) for a in plan(few, POLICY).actions)


def test_no_disk_for_a_member_keeps_the_member() -> None:
    made = plan(see(scene(lose(2, "long")), disks=()), POLICY)
    assert not made.actions
    assert {w.code for w in made.waits} == {"no-free-disk"}


def test_a_members_place_is_abandoned_only_while_all_members_are_healthy() -> None:
    gone = scene(lose(2, "long"), removed(2))
    assert steps(gone) == ["delete-pod"]
    assert isinstance(gone.pd, PdView)
    health = tuple(dataclasses.replace(h, healthy=h.name != "basic-pd-1") for h in gone.pd.health)
    assert "delete-pod" not in steps(see_pd(gone, health=health))


def test_an_unlisted_member_is_given_its_whole_time() -> None:
    seen = see_slot(
        scene(removed(2)),
        Component.PD,
        2,
        lambda s: dataclasses.replace(
            s, pod=s.pod and dataclasses.replace(s.pod, created=NOW - POLICY.pd_after)
        ),
    )
    assert steps(seen) == ["waits pod-coming-up"]


def test_a_half_joined_member_beside_the_last_one_is_for_a_person() -> None:
    seen = scene(lose(2, "long"))
    assert isinstance(seen.pd, PdView)
    assert seen.earlier is not None
    last = next(m for m in seen.pd.members if m.name == "basic-pd-0")
    nameless = pd.Member(2**60 + 99, "", (), ())
    few = see_pd(seen, members=(nameless, last))
    few = see(few, earlier=dataclasses.replace(seen.earlier, nameless=frozenset({nameless.id})))
    assert not any(isinstance(a, RemoveMember) for a in plan(few, POLICY).actions)
    refusal = next(r for r in plan(few, POLICY).refusals if r.code == "members-lost")
    assert refusal.why.startswith(f"1 of 2 PD members do not answer: nameless ({nameless.id})")


def test_a_members_network_volume_is_not_moved_unfenced() -> None:
    seen = movable(scene(lose(2, "long")), Component.PD, 2)
    assert "not-fenced" in told(plan(seen, POLICY))[2]
    assert not any("pd-2" in a.subject.name for a in plan(seen, POLICY).actions)
