"""What clears a disk, and what does not: each cause, each word, each clock, move by move on an API server in memory.

Left to others: every crash point (tests/faults), generated worlds (test_worlds.py), real files (tests/unit/disks).
"""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest

from hooks.engine import Exit, Outcome, Subject
from hooks.volumes import observe
from hooks.volumes.actions import WriteRequests
from hooks.volumes.apply import Applier
from hooks.volumes.model import NEVER
from schema import names
from tests.model.volumes.lives import G1, G2, HOUR, VOLUME, A, kept, one_disk, released
from tests.model.volumes.stage import NAMESPACE


def test_finished_in_the_claims_namespace_clears_and_offers_again() -> None:
    stage = released()
    stage.finish(G1, "Tombstone")
    assert stage.settle() is Exit.DONE
    assert not kept(stage)
    assert stage.phase(A) == "Available"
    assert stage.volume(VOLUME)["status"]["lastWipe"]["cause"] == "finished"
    assert [pv["metadata"]["name"] for pv in stage.memory.all("persistentvolumes")] == [G2]


def test_finished_in_another_namespace_counts_for_nothing() -> None:
    stage = released()
    stage.finish(G1, "Tombstone", namespace="mallory")
    stage.settle()
    assert kept(stage)
    assert stage.phase(A) == "Released"


def test_finished_while_bound_counts_only_once_released() -> None:
    stage = one_disk()
    claim = stage.bind(G1)
    stage.finish(G1, "Tombstone")
    stage.settle()
    assert (stage.phase(A), kept(stage)) == ("Bound", True)
    stage.release(claim)
    stage.settle()
    assert not kept(stage)


def test_retiring_holds_off_the_retention() -> None:
    stage = released()
    stage.finish(G1, "Retiring")
    stage.pass_time(1000 * HOUR)
    stage.permitted.clear()
    assert stage.settle() is Exit.WAITING
    assert (kept(stage), stage.codes(A)) == (True, ["retiring"])
    stage.finish(G1, "Destroyed")
    stage.settle()
    assert not kept(stage)


def test_an_entry_that_is_not_understood_keeps_the_data() -> None:
    stage = released()
    stage.finish(G1, "Gone, I think")
    stage.permitted.clear()
    stage.pass_time(1000 * HOUR)
    stage.permitted.clear()
    stage.settle()
    assert kept(stage)


def test_retention() -> None:
    stage = released(wipe_after=72 * HOUR)
    stage.pass_time(72 * HOUR - timedelta(seconds=1))
    assert stage.settle() is Exit.WAITING
    assert kept(stage)
    stage.pass_time(timedelta(seconds=1))
    assert stage.settle() is Exit.DONE
    assert not kept(stage)


def test_never_is_never() -> None:
    stage = released(wipe_after=NEVER)
    stage.pass_time(100_000 * HOUR)
    stage.settle()
    assert kept(stage)


@pytest.mark.parametrize("clock", ["local", "server"])
def test_a_clock_that_jumps_ends_no_retention(clock: str) -> None:
    stage = released()
    setattr(stage, clock, getattr(stage, clock) + 1000 * HOUR)
    stage.settle()
    assert kept(stage)
    assert stage.phase(A) == "Released"


def test_clocks_that_disagree_end_no_retention() -> None:
    stage = released()
    stage.local += 100 * HOUR
    stage.server += 90 * HOUR
    stage.settle()
    assert (kept(stage), stage.codes(A)) == (True, ["clocks"])


def test_retention_counts_by_the_clock_that_is_behind() -> None:
    stage = released(wipe_after=72 * HOUR)
    stage.local += 72 * HOUR
    stage.server += 72 * HOUR - timedelta(minutes=2)
    assert stage.settle() is Exit.WAITING
    assert (kept(stage), stage.codes(A)) == (True, ["retention"])


@pytest.mark.parametrize("clock", ["local", "server"])
def test_a_clock_that_was_behind_at_the_release_shortens_no_retention(clock: str) -> None:
    """Set right an hour later, it must not look as if the volume had been released 100 hours ago."""
    stage = one_disk(wipe_after=72 * HOUR)
    claim = stage.bind(G1)
    stage.settle()
    setattr(stage, clock, getattr(stage, clock) - 100 * HOUR)
    stage.release(claim)
    stage.settle()
    setattr(stage, clock, getattr(stage, clock) + 100 * HOUR)
    stage.pass_time(HOUR)
    assert stage.settle() is Exit.WAITING
    assert (kept(stage), stage.codes(A)) == (True, ["retention"])


def test_a_clock_that_was_ahead_at_the_release_only_makes_it_wait_longer() -> None:
    stage = one_disk(wipe_after=72 * HOUR)
    claim = stage.bind(G1)
    stage.settle()
    stage.local += 100 * HOUR
    stage.release(claim)
    stage.settle()
    stage.local -= 100 * HOUR
    stage.pass_time(171 * HOUR)
    assert stage.settle() is Exit.WAITING
    assert kept(stage)
    stage.pass_time(HOUR)
    assert stage.settle() is Exit.DONE
    assert not kept(stage)


def test_no_agent_is_asked_to_clear_what_could_still_be_bound() -> None:
    """Permitted, but the PV is not being deleted yet."""
    stage = released()
    volume = copy.deepcopy(stage.volume(VOLUME))
    uid = stage.pv(G1)["metadata"]["uid"]
    grant = {"generation": 1, "pvUID": uid, "cause": "now", "foreign": "keep"}
    volume["spec"]["wipe"] = grant
    stage.memory.put(volume)
    client = stage.client()
    world = observe.read(client, NAMESPACE)
    moment = observe.now(client)
    (requests,) = observe.snapshot(world, moment, stage.policy).requests
    assert '"wipe"' not in requests.wanted
    stage.memory.remove("persistentvolumes", G1)
    world = observe.read(client, NAMESPACE)
    (requests,) = observe.snapshot(world, moment, stage.policy).requests
    assert '"wipe"' in requests.wanted


def test_a_write_of_requests_looks_again_before_it_asks_for_a_wipe() -> None:
    """Planned while permitted and fenced; the permission is taken back before the write."""
    stage = released()
    stage.agents_work = lambda: None  # type: ignore[method-assign]
    stage.annotate(VOLUME, "now")
    stage.settle()
    client = stage.client()
    world = observe.read(client, NAMESPACE)
    moment = observe.now(client)
    (requests,) = observe.snapshot(world, moment, stage.policy).requests
    assert '"wipe"' in requests.wanted
    action = WriteRequests(
        code="write-requests",
        subject=Subject("Node", "n1"),
        does="",
        why="",
        volume="",
        node="n1",
        text=requests.wanted,
        version=requests.version,
    )
    volume = copy.deepcopy(stage.volume(VOLUME))
    del volume["spec"]["wipe"]
    stage.memory.put(volume)
    before = stage.memory.version
    assert Applier(client, world, stage.policy, NAMESPACE).apply(action) is Outcome.STALE
    assert stage.memory.version == before


def test_a_pv_that_is_bound_between_plan_and_write_is_left_alone() -> None:
    stage = one_disk()
    stage.agents["n1"].disks.clear()
    stage.publish("n1")
    client = stage.client()
    world = observe.read(client, NAMESPACE)
    seen = observe.snapshot(world, observe.now(client), stage.policy)
    (withdraw,) = [
        a for a in observe.plan_all(seen, stage.policy).actions if a.code == "withdraw-pv"
    ]
    pv = copy.deepcopy(stage.pv(G1))
    pv["spec"]["claimRef"] = {"namespace": "shop", "name": "c", "uid": "u"}
    stage.memory.put(pv)
    assert Applier(client, world, stage.policy, NAMESPACE).apply(withdraw) is Outcome.STALE
    assert "deletionTimestamp" not in stage.pv(G1)["metadata"]


def test_a_withdrawn_pv_that_kubernetes_still_holds_is_let_go_once() -> None:
    """Its controllers take their own finalizer off in their own time: after an outage of the API server, late."""
    stage = one_disk()
    pv = copy.deepcopy(stage.pv(G1))
    pv["metadata"]["finalizers"].append("kubernetes.io/pv-protection")
    stage.memory.put(pv)
    stage.agents["n1"].disks.clear()
    stage.publish("n1")
    assert stage.run() is Exit.WAITING
    assert stage.pv(G1)["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    assert stage.codes(A) == ["pv-deleting"]
    before = stage.memory.version
    assert stage.run() is Exit.WAITING
    assert stage.memory.version == before


def test_a_pv_that_is_reserved_for_a_claim_is_not_withdrawn() -> None:
    """A claimRef without UID, written by hand: Kubernetes will bind it as soon as the claim is there."""
    stage = one_disk()
    pv = copy.deepcopy(stage.pv(G1))
    pv["spec"]["claimRef"] = {"namespace": "shop", "name": "tikv-shop-tikv-0"}
    stage.memory.put(pv)
    stage.agents["n1"].disks.clear()
    stage.publish("n1")
    stage.run()
    assert "deletionTimestamp" not in stage.pv(G1)["metadata"]
    assert stage.phase(A) == "Failed"


def test_a_pv_whose_claim_ref_was_cut_by_hand_holds_data_and_is_not_withdrawn() -> None:
    stage = released()
    pv = copy.deepcopy(stage.pv(G1))
    del pv["spec"]["claimRef"]
    stage.memory.put(pv)
    stage.settle()
    assert (stage.phase(A), stage.codes(A)) == ("Available", ["claim-ref-removed"])
    stage.agents["n1"].disks.clear()
    stage.settle()
    assert "deletionTimestamp" not in stage.pv(G1)["metadata"]


def test_deleting_a_pv_by_hand_is_no_permission() -> None:
    stage = one_disk()
    claim = stage.bind(G1)
    stage.settle()
    stage.release(claim)
    stage.settle()
    stage.memory.remove("persistentvolumes", G1)
    stage.settle()
    assert (kept(stage), stage.phase(A)) == (True, "Released")
    assert "pv-deleting" in stage.codes(A)
    assert stage.pv(G1)
    stage.annotate(VOLUME, "now")
    stage.settle()
    assert not kept(stage)


def test_deleting_an_unused_pv_by_hand_gives_a_new_generation() -> None:
    stage = one_disk()
    stage.memory.remove("persistentvolumes", G1)
    stage.settle()
    assert [pv["metadata"]["name"] for pv in stage.memory.all("persistentvolumes")] == [G2]


def test_the_success_of_an_earlier_wipe_is_not_reused() -> None:
    stage = released()
    stage.finish(G1, "Tombstone")
    stage.settle()
    claim = stage.bind(G2)
    stage.settle()
    stage.release(claim)
    stage.settle()
    assert stage.disk_of(G2).wipe is not None
    assert stage.disk_of(G2).folders[G2]
    assert stage.phase(A) == "Released"


def test_a_pv_that_is_bound_again_takes_the_permission_back() -> None:
    stage = released()
    stage.agents_work = lambda: None  # type: ignore[method-assign]
    stage.finish(G1, "Tombstone")
    job_steps = stage.run  # permission is given, the PV not fenced yet
    volume = copy.deepcopy(stage.volume(VOLUME))
    pv = stage.pv(G1)
    volume["spec"]["wipe"] = {
        "generation": 1,
        "pvUID": pv["metadata"]["uid"],
        "cause": "finished",
        "foreign": "keep",
    }
    stage.memory.put(volume)
    again = copy.deepcopy(pv)
    del again["spec"]["claimRef"]
    stage.memory.put(again)
    stage.memory.objects.pop(("configmaps", "shop", names.FINISHED_VOLUMES))
    stage.kubernetes_works()
    stage.bind(G1)
    job_steps()
    assert "wipe" not in stage.volume(VOLUME)["spec"]
    assert "deletionTimestamp" not in stage.pv(G1)["metadata"]
    assert kept(stage)


def test_progress_is_shown() -> None:
    stage = released()
    stage.finish(G1, "Tombstone")
    disk = stage.disk_of(G1)
    uid = stage.pv(G1)["metadata"]["uid"]
    stage.agents_work = lambda: stage.publish("n1")  # type: ignore[method-assign]
    stage.settle()
    assert stage.volume(VOLUME)["status"]["wipe"] == {"state": "Requested"}
    disk.wipe = {"generation": 1, "pvUID": uid, "state": "Running"}
    disk.wipe |= {"removedBytes": 5 << 30, "totalBytes": 20 << 30}
    stage.publish("n1")
    assert stage.settle() is Exit.WAITING
    shown = stage.volume(VOLUME)["status"]
    assert shown["phase"] == "Wiping"
    assert shown["wipe"] == {"state": "Running", "removedBytes": 5 << 30, "totalBytes": 20 << 30}


def test_a_pv_that_kubernetes_calls_failed_is_a_released_one() -> None:
    """Somebody set its reclaim policy to Delete: no plugin deletes local PVs, so it ends as Failed."""
    stage = released()
    pv = copy.deepcopy(stage.pv(G1))
    pv["status"]["phase"] = "Failed"
    stage.kubernetes_works = lambda: None  # type: ignore[method-assign]
    stage.memory.put(pv)
    stage.settle()
    assert (kept(stage), stage.phase(A)) == (True, "Released")
    stage.finish(G1, "Tombstone")
    assert stage.settle() is Exit.DONE
    assert (kept(stage), stage.phase(A)) == (False, "Available")


def test_a_node_that_goes_in_the_middle_of_a_wipe_finishes_it_when_it_is_back() -> None:
    stage = released()
    stage.finish(G1, "Tombstone")
    work, stage.agents_work = stage.agents_work, lambda: None  # type: ignore[method-assign]
    stage.settle()
    assert stage.phase(A) == "Wiping"
    stage.delete_node("n1")
    stage.settle()
    assert (stage.phase(A), kept(stage)) == ("Lost", True)
    stage.register("n1")
    stage.agents_work = work  # type: ignore[method-assign]
    stage.settle()
    assert (stage.phase(A), kept(stage)) == ("Available", False)
