"""Cleanup with a fault at every call: whatever breaks, the same things are gone in the end, each deleted once, and
nothing else.

What is there to clean: the claim of an ordinal that is gone, with its store's Tombstone and evict-leader scheduler;
the record of a disk whose Node was deleted; a note of the journal whose volume is gone; a finished pod.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from hooks import pd
from hooks.cleanup.apply import Performer
from hooks.cleanup.job import CleanupJob, sees
from hooks.cleanup.model import Policy
from hooks.cleanup.observe import LOST_SINCE, Observer
from hooks.engine import Exit
from schema import names
from tests.faults import stage as world
from tests.faults.crashes import pairs
from tests.faults.faulty import Fault
from tests.faults.small_pd import CLUSTER, PdFault
from tests.faults.stage import NAMES, Stage

POLICY = Policy()
A_DAY = 24 * 3600.0
GONE_CLAIM = "tikv-basic-tikv-3"


class Leftovers(Stage):
    """The stage, with what others left behind."""

    def __init__(self) -> None:
        super().__init__("", sees=sees)
        long_ago = (self.now() - timedelta(days=30)).isoformat()
        self.memory.put(world.volume("pv-tikv-3", "n3", "Bound"))
        pv = self.memory.objects["persistentvolumes", "", "pv-tikv-3"]
        pv["spec"]["claimRef"] = {"namespace": "db", "name": GONE_CLAIM}
        self.memory.put(world.claim(GONE_CLAIM, "tikv", "pv-tikv-3"))
        dead = {"alive": False, "kind": "tombstone", "last": self.pd.now, "peer": False}
        self.pd.stores[13] = {"address": NAMES.address(3), **dead}
        self.pd.evicting = {13}
        self.memory.put(
            {
                "apiVersion": names.API_VERSION,
                "kind": "TidbVolume",
                "metadata": {"name": "tv-1", "annotations": {LOST_SINCE: long_ago}},
                "status": {"phase": "Lost", "node": "n9"},
            }
        )
        entry = {
            "pv": "pv-old",
            "pvUID": "uid-old",
            "claim": "tikv-basic-tikv-1",
            "owner": "store 4",
            "cluster": str(CLUSTER),
            "state": "Destroyed",
            "at": long_ago,
        }
        self.memory.put(world.config_map(names.FINISHED_VOLUMES, {"uid-old": json.dumps(entry)}))
        done = world.pod("basic-scale-check-1", "scale", "n1")
        done["metadata"] |= {"ownerReferences": [{"kind": "Job"}], "creationTimestamp": long_ago}
        done["status"] = {"phase": "Succeeded"}
        self.memory.put(done)

    def kubernetes(self) -> None:
        """A claim goes with its finalizer; the volume controller clears what it leaves, and makes it anew."""
        claim = ("persistentvolumeclaims", "db", GONE_CLAIM)
        pv = ("persistentvolumes", "", "pv-tikv-3")
        if "deletionTimestamp" in self.memory.objects.get(claim, {}).get("metadata", {}):
            self.memory.objects.pop(claim)
            self.memory.objects[pv]["status"]["phase"] = "Released"
        elif claim not in self.memory.objects and pv in self.memory.objects:
            self.memory.objects.pop(pv)
        self.pd.beat()

    def job(self) -> CleanupJob:  # type: ignore[override]
        client = self.client()
        clock = pd.Clock(monotonic=lambda: self.pd.now, sleep=self.sleep)
        observer = Observer(
            client=client,
            pd_of=lambda urls: pd.Pd(list(urls), transport=self.pd, clock=clock),
            names=NAMES,
            lease=NAMES.lease,
            volumes_after=POLICY.volumes_after,
            volumes=True,
            now=self.now,
        )
        performer = Performer(client, lambda: observer.pd, observer.look, "db", POLICY)
        return CleanupJob(observer, performer, POLICY, self.turn("cleanup").take)

    def cleaned(self) -> None:
        """Once a day, for longer than a claim is kept and a fault delays."""
        for _ in range(8):
            self.run()
            self.kubernetes()
            self.sleep(A_DAY)

    def left(self) -> dict[str, Any]:
        kinds = ("persistentvolumeclaims", "pods", "tidbvolumes", "persistentvolumes")
        return {
            **{
                kind: sorted(o["metadata"]["name"] for o in self.memory.all(kind)) for kind in kinds
            },
            "stores": sorted(self.pd.stores),
            "evicting": sorted(self.pd.evicting),
            "notes": self.memory.objects["configmaps", "db", names.FINISHED_VOLUMES].get("data"),
        }


def played(
    api: dict[int, Fault] | None = None, told: dict[int, PdFault] | None = None
) -> Leftovers:
    stage = Leftovers()
    stage.api.plan.update(api or {})
    stage.pd.faults.update(told or {})
    stage.cleaned()
    return stage


@pytest.fixture(scope="module")
def undisturbed() -> Leftovers:
    return played()


def test_what_nothing_needs_is_gone_once_and_the_rest_is_as_it_was(undisturbed: Leftovers) -> None:
    before, after = Leftovers().left(), undisturbed.left()
    assert undisturbed.destroyed() == {
        "persistentvolumeclaims": 1,
        "pods": 1,
        "tidbvolumes": 1,
        "tombstones removed": 1,
        "store 13 may lead": 1,
    }
    assert set(before["persistentvolumeclaims"]) - set(after["persistentvolumeclaims"]) == {
        GONE_CLAIM
    }
    assert set(before["pods"]) - set(after["pods"]) == {"basic-scale-check-1"}
    assert after["tidbvolumes"] == []
    assert after["stores"] == [10, 11, 12]
    assert after["evicting"] == []
    assert not after["notes"]


def test_it_says_what_it_sees() -> None:
    stage = Leftovers()
    stage.run()
    assert any(
        line
        == "  sees: 4 stores in PD, 1 of them Tombstone; 7 claims, 1 beyond the replicas; 0 notes, 0 released "
        "volumes, 0 lost disks, 1 finished pods"
        for line in stage.said
    ), stage.said


def test_at_rest_it_writes_nothing(undisturbed: Leftovers) -> None:
    before = dict(undisturbed.memory.writes)
    assert undisturbed.run() is Exit.DONE
    assert {k: n for k, n in undisturbed.memory.writes.items() if n != before.get(k)} == {}


def compare(stage: Leftovers, whole: Leftovers, what: str) -> None:
    assert stage.left() == whole.left(), what
    assert stage.destroyed() == whole.destroyed(), what


# What differs in its effect: a read that breaks is a read that breaks.
OF_A_READ = (Fault.CRASH_BEFORE, Fault.RESET, Fault.SERVER_ERROR)
PD_OF_A_READ = (PdFault.CRASH_BEFORE, PdFault.SILENCE, PdFault.NONSENSE, PdFault.PAGE)


@pytest.mark.parametrize("fault", Fault)
def test_every_api_call_broken(fault: Fault) -> None:
    whole = played()
    for number, call in enumerate(whole.api.calls):
        if call.write or fault in OF_A_READ:
            stage = played(api={number: fault})
            compare(stage, whole, f"{fault.value} at call {number}: {call}")


@pytest.mark.parametrize("fault", PdFault)
def test_every_pd_call_broken(fault: PdFault) -> None:
    whole = played()
    for number, call in enumerate(whole.pd.calls):
        if call.startswith("DELETE") or fault in PD_OF_A_READ:
            stage = played(told={number: fault})
            compare(stage, whole, f"{fault.value} at PD call {number}: {call}")


def test_every_pair_of_crashes() -> None:
    """Crashed at any write, and the run that follows at any of its own."""
    whole, twice = played(), 0
    for what, stage in pairs(played, whole):
        twice += len(stage.crashed) == 2
        compare(stage, whole, what)
    assert twice > 100


def test_a_pd_that_is_silent_for_days_costs_no_claim_and_no_tombstone() -> None:
    stage = Leftovers()
    calls = range(100_000)
    stage.pd.faults.update(dict.fromkeys(calls, PdFault.SILENCE))
    stage.cleaned()
    assert GONE_CLAIM in stage.left()["persistentvolumeclaims"]
    assert 13 in stage.pd.stores
    assert stage.destroyed() == {"pods": 1, "tidbvolumes": 1}
