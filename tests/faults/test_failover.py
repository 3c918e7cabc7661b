"""Failover with a fault at every call: whatever breaks, whenever it breaks, the same end and nothing destroyed
twice.

A whole replacement is played: a store (and a member) on a node that is gone, the job run again and again,
Kubernetes and PD moving in between as they do. Every call to the API server and to PD has a number; each is
broken in each way, then pairs of crashes. At the end the world is the same as undisturbed, and one store was
retired, one claim and one pod deleted, no more.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from hooks import kube, pd
from hooks.engine import Engine, Exit, Outcome, Plan
from hooks.failover.actions import Step
from hooks.failover.apply import Performer
from hooks.failover.model import Policy, Snapshot
from hooks.failover.objects import Names
from hooks.failover.observe import Clock, Observer
from hooks.failover.plan import plan
from hooks.kube.backoff import Backoff
from tests.faults.faulty import CrashedError, Fault, Faulty
from tests.faults.memory import Memory
from tests.faults.small_pd import CLUSTER, PdFault, SmallPd

NAMES = Names("basic", "db", ".db.svc")
NODES = ("n0", "n1", "n2", "n3")
SOAK = os.environ.get("HELM_TIDB_SOAK") == "1"


@dataclass
class Stage:
    """One world and the job in it."""

    lost: str
    memory: Memory = field(default_factory=Memory)
    pd: SmallPd = field(default_factory=SmallPd)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = Faulty(self.memory)
        for node in NODES:
            self.memory.put(node_object(node))
        for component in ("pd", "tikv"):
            self.memory.put(stateful_set(component))
            for i in range(3):
                self.memory.put(volume(f"pv-{component}-{i}", NODES[i], "Bound"))
                self.place(component, i, f"pv-{component}-{i}", NODES[i])
            self.memory.put(volume(f"pv-{component}-spare", "n3", "Available"))
        self.memory.put(
            config_map("basic-cluster", {"clusterId": str(CLUSTER), "members": "basic-pd-0"})
        )
        for i in range(3):
            self.pd.members[2**60 + i] = {"name": f"basic-pd-{i}", "alive": True}
            self.pd.stores[10 + i] = {
                "address": NAMES.address(i),
                "alive": True,
                "kind": "live",
                "last": self.pd.now,
                "peer": True,
            }
        self.pd.leader = 2**60

    def place(self, component: str, ordinal: int, volume_name: str, node: str) -> None:
        name = f"basic-{component}-{ordinal}"
        self.memory.put(claim(f"{component}-{name}", component, volume_name))
        self.memory.put(pod(name, component, node))

    # --- What happens -----------------------------------------------------------------------------

    def lose(self) -> None:
        """Node n2 with a store, a member, or both is deleted, an hour ago."""
        self.memory.remove("nodes", "n2")
        if "store" in self.lost:
            self.pd.stores[12].update(alive=False, last=self.pd.now)
        if "member" in self.lost:
            self.pd.members[2**60 + 2]["alive"] = False
        self.pd.now += 3600
        self.pd.beat()

    def kubernetes(self) -> None:
        """Claims go with their pods, and are made and bound anew; what starts on an empty disk registers."""
        for component in ("pd", "tikv"):
            for i in range(3):
                name = f"basic-{component}-{i}"
                claims = self.memory.objects
                where = ("persistentvolumeclaims", "db", f"{component}-{name}")
                here = ("pods", "db", name)
                old = claims.get(where)
                if (
                    old is not None
                    and "deletionTimestamp" in old["metadata"]
                    and here not in claims
                ):
                    claims.pop(where)
                    old = None
                if old is None and here not in claims:
                    self.place(component, i, f"pv-{component}-spare", "n3")
                    self.start(component, i)
                elif here not in claims:
                    self.memory.put(pod(name, component, ""))
        self.pd.beat()
        self.pd.settle()

    def start(self, component: str, ordinal: int) -> None:
        if component == "tikv":
            live = [s for s in self.pd.stores.values() if s["kind"] in ("live", "offline")]
            assert NAMES.address(ordinal) not in {s["address"] for s in live}, (
                "duplicated store address"
            )
            fresh = {"alive": True, "kind": "live", "last": self.pd.now, "peer": False}
            self.pd.stores[max(self.pd.stores) + 1] = {"address": NAMES.address(ordinal), **fresh}
        else:
            name = f"basic-pd-{ordinal}"
            assert name not in {m["name"] for m in self.pd.members.values()}, "duplicated member"
            self.pd.members[max(self.pd.members) + 1] = {"name": name, "alive": True}

    # --- The job ----------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        self.pd.now += seconds
        self.pd.beat()

    def run(self) -> Exit | None:
        """One run of the job by a new process; None when it crashed."""
        client = kube.Client(
            self.api,
            manager="failover",
            backoff=lambda: Backoff(first=0.0, ceiling=0.0),
            sleep=lambda _: None,
        )
        clock = pd.Clock(monotonic=lambda: self.pd.now, sleep=self.sleep)
        policy = Policy()
        observer = Observer(
            client=client,
            pd_of=lambda urls: pd.Pd(list(urls), transport=self.pd, clock=clock),
            names=NAMES,
            policy=policy,
            clock=Clock(
                now=lambda: datetime.fromtimestamp(self.pd.now, UTC),
                monotonic=lambda: self.pd.now,
                sleep=self.sleep,
            ),
        )
        performer = Performer(
            client, lambda: observer.pd, NAMES, now=lambda: datetime.fromtimestamp(self.pd.now, UTC)
        )
        engine: Engine[Any, Any] = Engine(
            Job(observer, performer, policy), out=self.said.append, err=self.said.append
        )
        try:
            return engine.run()
        except CrashedError:
            return None

    def heal(self) -> None:
        """Run after run, a minute apart, until two in a row have nothing to do."""
        quiet = 0
        for _ in range(30):
            quiet = quiet + 1 if self.run() is Exit.DONE else 0
            self.kubernetes()
            self.sleep(60)
            if quiet == 2:
                return
        pytest.fail("no end in 30 runs:\n" + "\n".join(self.said[-12:]))

    def end(self) -> dict[str, Any]:
        """What may not depend on what broke on the way."""
        claims = self.memory.all("persistentvolumeclaims")
        journal = self.memory.objects.get(
            ("configmaps", "db", "tidb-finished-volumes"), {"data": {}}
        )
        states = {}
        for raw in (journal.get("data") or {}).values():
            entry = json.loads(raw)
            states[entry["pv"]] = (entry["owner"], entry["state"])
        return {
            "claims": {c["metadata"]["name"]: c["spec"]["volumeName"] for c in claims},
            "stores": {i: (s["kind"], s["address"]) for i, s in sorted(self.pd.stores.items())},
            "members": sorted((m["name"], m["alive"]) for m in self.pd.members.values()),
            "journal": states,
        }

    def destroyed(self) -> dict[str, int]:
        deleted = {
            k: n for (verb, k), n in self.memory.writes.items() if verb == "delete" and k != "nodes"
        }
        return {**deleted, **self.pd.writes}


@dataclass
class Job:
    """FailoverJob without a connection of its own: the Lease is tested in hooks/kube."""

    observer: Observer
    performer: Performer
    policy: Policy
    name: str = "failover"

    def observe(self) -> Snapshot:
        from hooks.engine import JobError

        try:
            return self.observer.look()
        except pd.PdError as error:
            raise JobError(str(error)) from error

    def plan(self, snapshot: Snapshot) -> Plan[Step]:
        return plan(snapshot, self.policy)

    def apply(self, action: Step) -> Outcome:
        return self.performer.apply(action)


# --- Objects --------------------------------------------------------------------------------------


def labels(component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "tidb",
        "app.kubernetes.io/instance": "basic",
        "app.kubernetes.io/component": component,
    }


def node_object(name: str) -> dict[str, Any]:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-01T00:00:00Z"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"conditions": [ready]},
    }


def stateful_set(component: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": f"basic-{component}", "namespace": "db"},
        "spec": {"replicas": 3, "template": {"spec": {}}},
    }


def volume(name: str, node: str, phase: str) -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "storageClassName": "tidb-local",
            "local": {"path": "/x"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
        "status": {"phase": phase},
    }


def claim(name: str, component: str, bound: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": "db",
            "labels": labels(component),
            "finalizers": ["kubernetes.io/pvc-protection"],
        },
        "spec": {
            "volumeName": bound,
            "storageClassName": "tidb-local",
            "resources": {"requests": {"storage": "5Gi"}},
        },
    }


def pod(name: str, component: str, node: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "db", "labels": labels(component)},
        "spec": {"nodeName": node} if node else {},
    }


def config_map(name: str, data: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "db"},
        "data": data,
    }


# --- Undisturbed ----------------------------------------------------------------------------------

LOSSES = ("store", "member", "store and member")


def played(
    lost: str, api: dict[int, Fault] | None = None, told: dict[int, PdFault] | None = None
) -> Stage:
    """The whole play, with these faults at these calls."""
    stage = Stage(lost)
    stage.run()  # at rest: who lives where is noted
    stage.lose()
    stage.api.plan.update(api or {})
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


# --- Disturbed ------------------------------------------------------------------------------------


def compare(stage: Stage, whole: Stage, what: str) -> None:
    assert stage.end() == whole.end(), what
    assert stage.destroyed() == whole.destroyed(), what


# What differs in its effect: a read that breaks is a read that breaks.
OF_A_READ = (Fault.CRASH_BEFORE, Fault.RESET, Fault.SERVER_ERROR)
PD_OF_A_READ = (PdFault.CRASH_BEFORE, PdFault.SILENCE, PdFault.NONSENSE, PdFault.PAGE)


def spots(first: int, count: int, lost: str) -> range:
    """Which calls: all of a lost store's; of the longer plays every fifth, but in the long version."""
    return range(first, count, 1 if SOAK or lost == "store" else 5)


@pytest.mark.parametrize("fault", Fault)
def test_every_api_call_broken(undisturbed: Stage, fault: Fault) -> None:
    first = calls_before_the_loss(undisturbed.lost)[0]
    for number in spots(first, len(undisturbed.api.calls), undisturbed.lost):
        call = undisturbed.api.calls[number]
        if call.write or fault in OF_A_READ:
            stage = played(undisturbed.lost, api={number: fault})
            compare(stage, undisturbed, f"{fault.value} at call {number}: {call}")


@pytest.mark.parametrize("fault", PdFault)
def test_every_pd_call_broken(undisturbed: Stage, fault: PdFault) -> None:
    first = calls_before_the_loss(undisturbed.lost)[1]
    for number in spots(first, len(undisturbed.pd.calls), undisturbed.lost):
        call = undisturbed.pd.calls[number]
        if call.startswith("DELETE") or fault in PD_OF_A_READ:
            stage = played(undisturbed.lost, told={number: fault})
            compare(stage, undisturbed, f"{fault.value} at PD call {number}: {call}")


def test_pairs_of_crashes(undisturbed: Stage) -> None:
    """Two crashes, before or after, anywhere in the first forty calls after the loss; a fixed sample of all
    pairs.
    """
    first = calls_before_the_loss(undisturbed.lost)[0]
    spots = range(first, min(first + 40, len(undisturbed.api.calls)))
    kinds = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
    every = list(itertools.product(itertools.combinations(spots, 2), kinds, kinds))
    for (a, b), one, two in random.Random(7).sample(every, 600 if SOAK else 20):
        stage = played(undisturbed.lost, api={a: one, b: two})
        compare(stage, undisturbed, f"{one.value} at {a}, {two.value} at {b}")


def calls_before_the_loss(lost: str) -> tuple[int, int]:
    stage = Stage(lost)
    stage.run()
    return len(stage.api.calls), len(stage.pd.calls)


def test_two_jobs_at_once_destroy_nothing_twice(undisturbed: Stage) -> None:
    """A job that slept through another one's whole run wakes up and does what it planned: it looks again first."""
    stage = Stage(undisturbed.lost)
    stage.run()
    stage.lose()
    policy = Policy()
    client = kube.Client(stage.api, manager="failover")
    clock = pd.Clock(monotonic=lambda: stage.pd.now, sleep=stage.sleep)
    observer = Observer(
        client=client,
        pd_of=lambda urls: pd.Pd(list(urls), transport=stage.pd, clock=clock),
        names=NAMES,
        policy=policy,
        clock=Clock(
            now=lambda: datetime.fromtimestamp(stage.pd.now, UTC),
            monotonic=lambda: stage.pd.now,
            sleep=stage.sleep,
        ),
    )
    performer = Performer(client, lambda: observer.pd, NAMES)
    plans: list[Step] = []
    for _ in range(12):
        made = plan(observer.look(), policy)
        plans += made.actions
        for action in made.actions:
            performer.apply(action)
        stage.kubernetes()
    destroyed = stage.destroyed()
    late = {
        a.code: performer.apply(a) for a in plans if a.code not in ("note-homes", "mark", "settle")
    }
    assert set(late.values()) == {Outcome.STALE}, late
    assert stage.destroyed() == destroyed
