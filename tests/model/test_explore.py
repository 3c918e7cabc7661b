"""Every reachable world of small clusters, and how each of them ends: with up to two faults at any moment.

What was explored is printed with its numbers (`pytest -s`). The stores and the members apart are explored with two
faults, both together with one, and in the long version (HELM_TIDB_SOAK=1) with two, on all cores: 5,079,617 states and
31,730,052 transitions, in 43 minutes on two cores, with 4 GB. Some of these states are twins of others (names are not
canonical where two places look alike), which costs time and hides nothing.
"""

from __future__ import annotations

import os

import pytest

from hooks.failover import gates
from hooks.failover.places import await_pod
from tests.model import sight
from tests.model.deeds import Deed, perform, swear
from tests.model.explore import Explored, explore
from tests.model.quick import SOAK
from tests.model.world import World, start, with_store

SMALL = {
    # Three stores on four nodes of two disks; PD's members on a node of their own, where only their leader changes.
    "stores": start(shelter="pd"),
    # Four stores: one is to spare, so that a lost one drains.
    "four stores": start(tikv=4, shelter="pd"),
    # Three members likewise; nothing happens to the stores.
    "members": start(shelter="tikv"),
    # All of it together.
    "whole": start(faults=1),
    **({"whole, two faults": start(faults=2)} if SOAK else {}),
}
# In `make test` another suite has the other core.
PROCESSES = (os.cpu_count() or 1) if SOAK else 1
GOOD_ENDS = {
    "well",
    # Two lost at once.
    "refuses stores-lost",
    "refuses regions-endangered",
    "refuses pd-no-leader",
    # The machines that are left have no disk for it.
    "waits no-free-disk",
    "waits draining, waits no-free-disk",
    "waits no-free-disk, waits others-leaving",
    # Another pod of the component has taken its node meanwhile.
    "waits pod-kept-out",
    "waits draining, waits pod-kept-out",
    "waits no-free-disk, waits pod-kept-out",
}
"""How a world may end that nothing more happens to: each in words that a person can act on."""


@pytest.fixture(scope="module", params=sorted(SMALL))
def explored(request: pytest.FixtureRequest) -> Explored:
    found = explore(SMALL[request.param], processes=PROCESSES)
    print(f"\n{request.param}: {found.told()}")
    return found


def test_no_act_breaks_the_oath_in_any_reachable_world(explored: Explored) -> None:
    assert not explored.broken, explored.broken + "\n" + "\n".join(explored.trace)
    assert explored.complete
    assert explored.states > 1_000


def test_every_world_ends_well_or_says_why_not(explored: Explored) -> None:
    bad = {end: one.way for end, one in explored.ends.items() if end not in GOOD_ENDS}
    assert not bad
    assert explored.ends["well"].worlds > explored.states / 2


# --- The explorer itself: what is broken is found, by the shortest way ----------------------------


def test_in_however_many_processes_the_same_worlds_are_reached() -> None:
    alone, shared = (explore(start(shelter="pd", faults=1), processes=n) for n in (1, 3))
    assert (shared.states, shared.transitions) == (alone.states, alone.transitions)
    assert {e: one.worlds for e, one in shared.ends.items()} == {
        e: one.worlds for e, one in alone.ends.items()
    }


def test_a_plan_that_does_not_count_the_copies_of_a_region_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second store is lost while the first one's regions are still on their way to its replacement."""
    monkeypatch.setattr(gates, "regions_keep_majority", lambda *_: None)
    found = explore(start(nodes=3, shelter="pd"), ends=False)
    print(f"\n{found.broken}, after:\n  " + "\n  ".join(found.trace))
    assert "leaves 1 of 3 copies intact" in found.broken
    deeds = [step for step in found.trace if step.startswith("the job does force")]
    # The first is right; the last step wants the one too many.
    assert len(deeds) == 1
    assert "force" in found.trace[-1]
    assert deeds[0] != found.trace[-1]


def test_a_plan_that_knows_pds_checks_alone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, within the ten minutes in which no check lists the first one's peers: two Nodes are deleted."""
    monkeypatch.setattr(sight, "given_up", lambda _: set())
    found = explore(start(nodes=5, shelter="pd"), ends=False)
    print(f"\n{found.broken}, after:\n  " + "\n  ".join(found.trace))
    assert "leaves 1 of 3 copies intact" in found.broken


def test_a_plan_that_waits_for_a_pod_without_a_volume_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was scheduled by the claim before its own: no disk will come to it, whatever else happens."""
    monkeypatch.setattr(
        "hooks.failover.plan.await_disk",
        lambda slot, until, _world, _policy, subject: await_pod(slot, until, subject),
    )
    found = explore(start(shelter="pd", faults=1))
    assert set(found.ends) - GOOD_ENDS == {"waits draining, waits pod-coming-up"}


def trusting(world: World, deed: Deed) -> World:
    """An apply that does what the plan wanted without another look."""
    if deed[0] in ("force", "retire"):
        store = next(s for s in world.stores if s.id == deed[1])
        swear(store.beat != "fresh", f"store {store.id} heartbeats and is retired")
        return with_store(world, store.id, kind="destroyed")
    # Up to the retirement, the notes matter alone.
    return perform(world, deed) if deed[0] == "note" else world


def test_an_apply_that_does_not_look_again_is_found() -> None:
    found = explore(SMALL["stores"], act=trusting, ends=False)
    assert "heartbeats and is retired" in found.broken
    assert any("comes back" in step for step in found.trace), found.trace
