"""Failover with a fault at every call: whatever breaks, whenever it breaks, the same end and nothing destroyed
twice.

A whole replacement is played: a store (and a member) on a node that is gone, the job run again and again,
Kubernetes and PD moving in between as they do. Every call to the API server and to PD has a number; each is
broken in each way, then pairs of crashes. At the end the world is the same as undisturbed, and one store was
retired, one claim and one pod deleted, no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import pytest

from hooks.engine import Exit, Outcome
from hooks.failover.actions import Step
from tests.faults.crashes import pairs
from tests.faults.faulty import Fault
from tests.faults.small_pd import PdFault
from tests.faults.stage import Stage
from tests.model.quick import SOAK

# --- Undisturbed ----------------------------------------------------------------------------------

LOSSES = ("store", "member", "store and member")


def played(
    lost: str,
    api: dict[int, Fault] | None = None,
    told: dict[int, PdFault] | None = None,
    stale: Iterable[int] = (),
    *,
    misled: bool = False,
) -> Stage:
    """The whole play, with these faults at these calls."""
    stage = Stage(lost, misled=misled)
    stage.run()  # at rest: who lives where is noted
    stage.lose()
    stage.api.plan.update(api or {})
    stage.api.stale.update(stale)
    stage.pd.faults.update(told or {})
    stage.heal()
    return stage


@pytest.fixture(scope="module", params=LOSSES)
def undisturbed(request: pytest.FixtureRequest) -> Stage:
    return played(request.param)


def test_each_loss_heals_with_one_write_of_each_kind(undisturbed: Stage) -> None:
    lost = undisturbed.lost
    wanted: dict[str, int] = {}
    if "store" in lost:
        wanted["store 12 destroyed"] = 1
    if "member" in lost:
        wanted[f"member {2**60 + 2} removed"] = 1
    number = len(wanted)
    wanted |= {"persistentvolumeclaims": number, "pods": number}
    assert undisturbed.destroyed() == wanted
    journal = undisturbed.end()["journal"]
    if "store" in lost:
        assert journal["pv-tikv-2"] == ("store 12", "Destroyed")
        assert undisturbed.end()["claims"]["tikv-basic-tikv-2"] == "pv-tikv-spare"
    if "member" in lost:
        assert journal["pv-pd-2"] == (f"member {2**60 + 2}", "Removed")


def test_at_rest_it_asks_little_and_writes_nothing() -> None:
    stage = Stage("store")
    assert stage.run() is Exit.DONE
    before, asked, told = dict(stage.memory.writes), len(stage.api.calls), len(stage.pd.calls)
    assert stage.run() is Exit.DONE
    assert dict(stage.memory.writes) == before
    assert len(stage.api.calls) - asked <= 6, stage.api.calls[asked:]
    assert len(stage.pd.calls) - told <= 4, stage.pd.calls[told:]


def test_a_region_that_waits_to_leave_a_destroyed_store_keeps_its_next_one_from_being_retired() -> (
    None
):
    """Both fell silent a minute ago. Store 9 is retired and its place is filled, but the regions have not left it; PD's
    checks list neither for nine minutes more.
    """
    stage = Stage("store")
    stage.run()
    stage.lose()
    just_now = {"alive": False, "last": stage.pd.now - 60}
    stage.pd.stores[12] |= just_now
    address = stage.pd.stores[11]["address"]
    stage.pd.stores[9] = {"address": address, "kind": "destroyed", "peer": True, **just_now}
    stage.pd.stores[11]["peer"] = False
    assert stage.run() is Exit.REFUSED
    assert (
        "1 of the 1 regions with a peer on it, on a destroyed store, or one that" in stage.said[-1]
    )
    assert stage.destroyed() == {}


def test_a_region_whose_third_copy_is_not_promoted_yet_keeps_a_store_from_being_retired() -> None:
    """It has three peers, none of them pending, and one is missed for a minute: none of PD's checks lists it."""
    stage = Stage("store")
    stage.run()
    stage.lose()
    stage.pd.stores[12] |= {"alive": False, "last": stage.pd.now - 60}
    stage.pd.stores[11]["peer"] = "learner"
    assert stage.run() is Exit.REFUSED
    assert "1 of the 1 regions with a peer on it" in stage.said[-1]
    assert stage.destroyed() == {}


# --- Disturbed ------------------------------------------------------------------------------------


def compare(stage: Stage, whole: Stage, what: str) -> None:
    assert stage.end() == whole.end(), what
    assert stage.destroyed() == whole.destroyed(), what


# What differs in its effect: a read that breaks is a read that breaks.
OF_A_READ = (Fault.CRASH_BEFORE, Fault.RESET, Fault.SERVER_ERROR)
PD_OF_A_READ = (PdFault.CRASH_BEFORE, PdFault.SILENCE, PdFault.NONSENSE, PdFault.PAGE)


def spots(first: int, count: int, lost: str) -> range:
    """Which calls: all of a lost store's or member's; of both at once every fifth, but in the long version."""
    return range(first, count, 1 if SOAK or lost != "store and member" else 5)


@pytest.mark.parametrize("fault", Fault)
def test_every_api_call_broken(undisturbed: Stage, fault: Fault) -> None:
    first = calls_before_the_loss(undisturbed.lost)[0]
    for number in spots(first, len(undisturbed.api.calls), undisturbed.lost):
        call = undisturbed.api.calls[number]
        if call.write or fault in OF_A_READ:
            stage = played(undisturbed.lost, api={number: fault})
            compare(stage, undisturbed, f"{fault.value} at call {number}: {call}")


def test_every_read_stale(undisturbed: Stage) -> None:
    """One by one, and then each run's reads all together: preconditions hold what an old answer would undo."""
    first = calls_before_the_loss(undisturbed.lost)[0]
    reads = [i for i, c in enumerate(undisturbed.api.calls) if i >= first and not c.write]
    for number in spots(0, len(reads), undisturbed.lost):
        stage = played(undisturbed.lost, stale=[reads[number]])
        compare(stage, undisturbed, f"stale at {undisturbed.api.calls[reads[number]]}")
    for number in range(0, len(reads), 5):
        stage = played(undisturbed.lost, stale=range(reads[number], reads[number] + 30))
        compare(
            stage, undisturbed, f"stale for 30 calls from {undisturbed.api.calls[reads[number]]}"
        )


@pytest.mark.parametrize("fault", PdFault)
def test_every_pd_call_broken(undisturbed: Stage, fault: PdFault) -> None:
    first = calls_before_the_loss(undisturbed.lost)[1]
    for number in spots(first, len(undisturbed.pd.calls), undisturbed.lost):
        call = undisturbed.pd.calls[number]
        if call.startswith("DELETE") or fault in PD_OF_A_READ:
            stage = played(undisturbed.lost, told={number: fault})
            compare(stage, undisturbed, f"{fault.value} at PD call {number}: {call}")


def test_every_pair_of_crashes(undisturbed: Stage) -> None:
    """Crashed at any write, and the run that follows at any of its own. Of both losses at once every 20th pair,
    but in the long version.
    """
    lost = undisturbed.lost
    every = 20 if lost == "store and member" and not SOAK else 1
    twice = 0
    for what, stage in pairs(
        partial(played, lost), undisturbed, calls_before_the_loss(lost), every
    ):
        twice += len(stage.crashed) == 2
        compare(stage, undisturbed, what)
    assert twice > 100 / every


@pytest.mark.parametrize("lost", ["store", "member"])
def test_a_pod_that_went_by_the_old_claim_is_deleted_once_whatever_breaks(lost: str) -> None:
    """It has a node and a claim without a volume, which no scheduler will look for any more."""
    whole = played(lost, misled=True)
    usual = played(lost)
    assert whole.end() == usual.end()
    assert whole.destroyed() == {**usual.destroyed(), "pods": 2}
    for number in range(calls_before_the_loss(lost)[0], len(whole.api.calls)):
        call = whole.api.calls[number]
        for fault in Fault if call.write else OF_A_READ:
            stage = played(lost, api={number: fault}, misled=True)
            compare(stage, whole, f"{fault.value} at call {number}: {call}")
        if not call.write:
            stage = played(lost, stale=[number], misled=True)
            compare(stage, whole, f"stale at call {number}: {call}")


def calls_before_the_loss(lost: str) -> tuple[int, int]:
    stage = Stage(lost)
    stage.run()
    return len(stage.api.calls), len(stage.pd.calls)


def test_two_jobs_at_once_destroy_nothing_twice(undisturbed: Stage) -> None:
    """A job that slept through another one's whole run wakes up and does what it planned: it looks again first."""
    stage = Stage(undisturbed.lost)
    stage.run()
    stage.lose()
    job = stage.job()
    plans: list[Step] = []
    for _ in range(12):
        made = job.plan(job.observe())
        plans += made.actions
        for action in made.actions:
            job.apply(action)
        stage.kubernetes()
    destroyed = stage.destroyed()
    late = {a.code: job.apply(a) for a in plans if a.code not in ("note-homes", "mark", "settle")}
    assert set(late.values()) == {Outcome.STALE}, late
    assert stage.destroyed() == destroyed


def test_a_job_that_was_killed_with_the_lease_holds_nobody_up() -> None:
    """The next run is another process: it must see for itself that nobody renews it."""
    stage = Stage("store")
    stage.run()
    stage.lose()
    stage.job().take_turn()  # and then it is gone
    stage.heal()
    assert stage.destroyed() == played("store").destroyed()
    assert not any("holds Lease" in line for line in stage.said)


def test_a_job_that_works_is_waited_for_and_named() -> None:
    stage = Stage("store")
    stage.run()
    stage.lose()
    other = stage.job()
    other.take_turn()
    stage.alive = other.take_turn
    assert stage.run() is Exit.ERROR
    assert (
        "waits for failover 1, which holds Lease db/basic-maintenance; the next run"
        in stage.said[-1]
    )
    assert not stage.destroyed()
