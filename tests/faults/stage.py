"""A whole replacement on a small stage: Kubernetes and PD in memory, moving as they do, and the failover job run
again and again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from hooks import kube, pd
from hooks.engine import Engine, Exit
from hooks.failover.apply import Performer
from hooks.failover.connect import Turn
from hooks.failover.job import FailoverJob, sees
from hooks.failover.model import Policy
from hooks.failover.objects import Names
from hooks.failover.observe import Clock, Observer
from hooks.kube.backoff import Backoff
from hooks.reporting import KubeReporter
from tests.faults.faulty import CrashedError, Faulty
from tests.faults.memory import Memory
from tests.faults.small_pd import CLUSTER, SmallPd

NAMES = Names("basic", "db", ".db.svc")
NODES = ("n0", "n1", "n2", "n3")
POLICY = Policy()


class Waiting(threading.Event):
    """Waits by the stage's clock."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        super().__init__()
        self._sleep = sleep

    def wait(self, timeout: float | None = None) -> bool:
        self._sleep(timeout or 0.0)
        return False


@dataclass
class Stage:
    """One world and the job in it. `lost`: "store", "member" or both. `turns`: one a run. `crashed`: how many
    calls there were to the API server and to PD, at each crash.
    """

    lost: str
    turns: list[Turn] = field(default_factory=list)
    crashed: list[tuple[int, int]] = field(default_factory=list)
    sees: Callable[[Any], str] = sees
    alive: Callable[[], None] = lambda: None
    """What another process does all the while."""
    misled: bool = False
    """Whether the scheduler puts the next new pod where the old claim had its disk."""
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
                if here not in claims and old is None and self.misled:
                    self.misled = False
                    self.memory.put(claim(f"{component}-{name}", component, ""))
                    self.memory.put(pod(name, component, "n2"))
                elif here not in claims and (old is None or not old["spec"]["volumeName"]):
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
        self.alive()

    def job(self) -> FailoverJob:
        """The job as a new process has it."""
        client = self.client()
        clock = pd.Clock(monotonic=lambda: self.pd.now, sleep=self.sleep)
        observer = Observer(
            client=client,
            pd_of=lambda urls: pd.Pd(list(urls), transport=self.pd, clock=clock),
            names=NAMES,
            policy=POLICY,
            clock=Clock(now=self.now, monotonic=lambda: self.pd.now, sleep=self.sleep),
        )
        performer = Performer(client, lambda: observer.pd, NAMES, now=self.now)
        return FailoverJob(observer, performer, POLICY, self.turn("failover").take)

    def turn(self, job: str) -> Turn:
        """Of the next run, which is a process of its own."""
        holder, clock = f"{job} {len(self.turns)}", lambda: self.pd.now
        lease = kube.Lease(self.client(), NAMES.namespace, NAMES.lease, holder, clock=clock)
        self.turns.append(Turn(lease, stop=Waiting(self.sleep)))
        return self.turns[-1]

    def client(self) -> kube.Client:
        return impatient(self.api, "failover")

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.pd.now, UTC)

    def run(self) -> Exit | None:
        """One run; None when it crashed."""
        engine: Engine[Any, Any] = Engine(
            self.job(), out=self.said.append, err=self.said.append, sees=self.sees
        )
        client = self.client()
        events = kube.Recorder(client, "helm-tidb.io/failover", "basic-failover-1")
        engine.reporter = KubeReporter(client, NAMES.namespace, NAMES.release, events)
        try:
            code = engine.run()
            self.turns[-1].give_back()
            return code
        except CrashedError:
            self.crashed.append((len(self.api.calls), len(self.pd.calls)))
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


def impatient(api: Faulty, manager: str) -> kube.Client:
    """A client that tries again as often as any, and at once."""
    return kube.Client(
        api,
        manager=manager,
        backoff=lambda: Backoff(first=0.0, ceiling=0.0),
        sleep=lambda _: None,
    )


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
        "metadata": {
            "name": f"basic-{component}",
            "namespace": "db",
            "labels": labels(component),
        },
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
