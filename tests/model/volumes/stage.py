"""A small cluster on a stage: an API server in memory, agents with disks, Kubernetes' own PV controller, people.

Moves are written in the field's words; `settle` lets the volume job and the agents work until nothing moves any
more. The oracle of each move and each run stands in `check`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hooks.engine import Engine, Exit, Options
from hooks.kube import Client
from hooks.kube.backoff import Backoff
from hooks.kube.client import Clocks
from hooks.kube.wire import Transport
from hooks.volumes import parse
from hooks.volumes.job import VolumesJob
from hooks.volumes.model import CLOCKS_APART, NEVER, Policy
from schema import names
from tests.faults.faulty import CrashedError
from tests.faults.memory import Memory, Obj
from tests.model.volumes.agents import FakeAgent, FakeDisk

NAMESPACE = "infra"
START = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)


class TickingClient(Client):
    """A client whose clocks the test turns."""

    local: datetime = START
    server: datetime = START

    def clocks(self) -> Clocks:
        return Clocks(self.local, self.server)


@dataclass
class Stage:
    memory: Memory = field(default_factory=Memory)
    agents: dict[str, FakeAgent] = field(default_factory=dict)
    policy: Policy = field(default_factory=lambda: Policy(manager="infra.tidb"))
    local: datetime = START
    server: datetime = START
    # How the job reaches the API server; tests put faults in between.
    wrap: Callable[[Transport], Transport] = lambda inner: inner
    claims: int = 0
    # PV UIDs whose clearing somebody permitted, by the evidence the test itself gave.
    permitted: set[str] = field(default_factory=set)
    words: set[tuple[str, str]] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    # --- the job ---
    def client(self) -> Client:
        client = TickingClient(
            self.wrap(self.memory),
            manager="volumes",
            sleep=lambda _: None,
            backoff=lambda: Backoff(first=0),
        )
        client.local, client.server = self.local, self.server
        return client

    def run(self, *, rounds: int = 50) -> Exit:
        """One process of the job, until it finds nothing to do, or is cut off (Exit.ERROR)."""
        job = VolumesJob(self.client(), self.policy, NAMESPACE)
        options = Options(max_rounds=rounds)
        engine = Engine(
            job, options, out=lambda _: None, err=self.said.append, sleep=lambda _: None
        )
        try:
            return engine.run()
        except CrashedError:
            return Exit.ERROR

    def settle(self, *, limit: int = 30) -> Exit:
        """Job, agents and Kubernetes take turns until a whole turn changes nothing."""
        for _ in range(limit):
            before = self.memory.version
            code = self.run()
            self.agents_work()
            self.kubernetes_works()
            self.check()
            if self.memory.version == before and code is not Exit.ERROR:
                return code
        raise AssertionError(f"did not settle in {limit} turns: {self.said[-5:]}")

    def agents_work(self) -> None:
        for node, agent in self.agents.items():
            found = self.memory.objects.get(("configmaps", NAMESPACE, names.REQUESTS_PREFIX + node))
            data = (found or {}).get("data") or {}
            agent.obey(data.get(names.REQUESTS_KEY, ""), data.get(names.SCAN_KEY, ""))
            self.publish(node)

    def publish(self, node: str, text: str | None = None) -> None:
        """The agent's ConfigMap, written only on change."""
        name = names.INVENTORY_PREFIX + node
        wanted = self.agents[node].text() if text is None else text
        found = self.memory.objects.get(("configmaps", NAMESPACE, name))
        if found is not None and found["data"] == {names.INVENTORY_KEY: wanted}:
            return
        metadata = {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {names.EXCHANGE_LABEL: names.INVENTORY},
        }
        data = {names.INVENTORY_KEY: wanted}
        self.memory.put(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        )

    def kubernetes_works(self) -> None:
        """The PV controller's part: phases by claimRef and claim. It never binds by itself; `bind` does."""
        for pv in self.memory.all("persistentvolumes"):
            ref = pv["spec"].get("claimRef")
            phase = "Available"
            if ref:
                claim = self.memory.objects.get(
                    ("persistentvolumeclaims", ref["namespace"], ref["name"])
                )
                alive = claim is not None and claim["metadata"]["uid"] == ref["uid"]
                phase = "Bound" if alive else "Released"
            if pv["status"]["phase"] != phase:
                pv["status"]["phase"] = phase
                self.memory.put(copy.deepcopy(pv))

    # --- people and machines ---
    def add_node(self, node: str, *disks: FakeDisk, hostname: str | None = None) -> FakeAgent:
        agent = FakeAgent(node, {f"/mnt/disks/d{n}": disk for n, disk in enumerate(disks)})
        self.agents[node] = agent
        self.register(node, hostname)
        self.publish(node)
        return agent

    def register(self, node: str, hostname: str | None = None) -> None:
        labels = {"kubernetes.io/hostname": node if hostname is None else hostname}
        self.memory.put(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": labels}}
        )

    def delete_node(self, node: str) -> None:
        self.memory.remove("nodes", node)

    def bind(self, pv: str, namespace: str = "shop") -> Obj:
        """A claim is made and bound to the PV, as the scheduler and the PV controller do; never to one being
        deleted.
        """
        found = self.memory.objects[("persistentvolumes", "", pv)]
        assert "deletionTimestamp" not in found["metadata"], (
            "Kubernetes binds no PV that is being deleted"
        )
        assert not found["spec"].get("claimRef")
        self.claims += 1
        name = f"tikv-shop-tikv-{self.claims}"
        labels = {"app.kubernetes.io/component": "tikv"}
        claim = self.memory.put(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
                "spec": {"volumeName": pv},
            }
        )
        found = copy.deepcopy(found)
        found["spec"]["claimRef"] = {
            "namespace": namespace,
            "name": name,
            "uid": claim["metadata"]["uid"],
        }
        self.memory.put(found)
        self._permit_by_words()
        self.kubernetes_works()
        self.disk_of(pv).folders[pv].add(f"data of {name}")
        return claim

    def release(self, claim: Obj) -> None:
        meta = claim["metadata"]
        self.memory.remove("persistentvolumeclaims", meta["name"], meta["namespace"])
        self.kubernetes_works()

    def finish(self, pv: str, state: str, namespace: str = "shop") -> None:
        """A database job's word."""
        uid = self.pv(pv)["metadata"]["uid"]
        where = ("configmaps", namespace, names.FINISHED_VOLUMES)
        old = self.memory.objects.get(where, {}).get("data", {})
        entry = {"pv": pv, "pvUID": uid, "claim": "c", "owner": "store 5", "state": state}
        metadata = {"name": names.FINISHED_VOLUMES, "namespace": namespace}
        data = {**old, uid: json.dumps(entry)}
        self.memory.put(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        )
        if state in ("Tombstone", "Destroyed", "Removed"):
            self.words.add((uid, namespace))
        self._permit_by_words()

    def _permit_by_words(self) -> None:
        """A database job's last word counts for what a claim of its own namespace had."""
        for pv in self.memory.all("persistentvolumes"):
            ref = pv["spec"].get("claimRef") or {}
            if (pv["metadata"]["uid"], ref.get("namespace")) in self.words:
                self.permitted.add(pv["metadata"]["uid"])

    def annotate(self, volume: str, word: str) -> None:
        found = copy.deepcopy(self.volume(volume))
        if word in ("now", "everything"):
            self._permit_by_word(found)
        found["metadata"].setdefault("annotations", {})[names.WIPE_ANNOTATION] = word
        self.memory.put(found)

    def _permit_by_word(self, volume: Obj) -> None:
        """Only what is released, or an orphan, can be meant."""
        folder = names.folder_name(volume["metadata"]["name"], volume["spec"]["generation"])
        pv = self.memory.objects.get(("persistentvolumes", "", folder))
        shown = volume.get("status", {}).get("releasedAt")
        if pv is not None and pv["status"]["phase"] == "Released" and shown:
            self.permitted.add(pv["metadata"]["uid"])
        if pv is None:
            for disk in self.disks():
                if disk.identity == volume["spec"]["identity"] and disk.marker is not None:
                    self.permitted.add(disk.marker["pvUID"])

    def _permit_by_time(self) -> None:
        if abs(self.local - self.server) > CLOCKS_APART or self.policy.wipe_after == NEVER:
            return
        for volume in self.memory.all("tidbvolumes"):
            folder = names.folder_name(volume["metadata"]["name"], volume["spec"]["generation"])
            pv = self.memory.objects.get(("persistentvolumes", "", folder))
            since = volume.get("status", {}).get("releasedAt")
            if pv is None or since is None or pv["status"]["phase"] != "Released":
                continue
            waited = min(self.local, self.server) - datetime.fromisoformat(since)
            if waited >= self.policy.wipe_after:
                self.permitted.add(pv["metadata"]["uid"])

    def pass_time(self, span: timedelta) -> None:
        self.local += span
        self.server += span
        self._permit_by_time()

    # --- looking ---
    def volume(self, name: str) -> Obj:
        return self.memory.objects[("tidbvolumes", "", name)]

    def pv(self, name: str) -> Obj:
        return self.memory.objects[("persistentvolumes", "", name)]

    def phase(self, identity: str) -> str:
        status = self.volume(names.volume_name(identity)).get("status") or {}
        return str(status.get("phase", ""))

    def codes(self, identity: str) -> list[str]:
        status = self.volume(names.volume_name(identity)).get("status") or {}
        return [reason["code"] for reason in status.get("reasons", [])]

    def disk_of(self, pv: str) -> FakeDisk:
        volume = parse.volume_of(pv)
        for agent in self.agents.values():
            for disk in agent.disks.values():
                if names.volume_name(disk.identity) == volume:
                    return disk
        raise AssertionError(f"no node has the disk of {pv}")

    def disks(self) -> list[FakeDisk]:
        return [disk for agent in self.agents.values() for disk in agent.disks.values()]

    # --- oracle ---
    def check(self) -> None:
        """The invariants, on what the API server holds and what the disks have lost."""
        offered: dict[str, list[str]] = {}
        for pv in self.memory.all("persistentvolumes"):
            if "deletionTimestamp" not in pv["metadata"]:
                offered.setdefault(pv["metadata"]["labels"][names.VOLUME_LABEL], []).append(
                    pv["metadata"]["name"]
                )
            elif pv["status"]["phase"] == "Bound":
                raise AssertionError(f"bound PV {pv['metadata']['name']} was deleted")
        doubled = {volume: pvs for volume, pvs in offered.items() if len(pvs) > 1}
        assert not doubled, f"more than one PV for a disk: {doubled}"
        for disk in self.disks():
            keys = [(generation, uid) for generation, uid, _ in disk.cleared]
            assert len(keys) == len(set(keys)), f"cleared twice: {keys}"
            for generation, uid, files in disk.cleared:
                if files and uid:
                    assert uid in self.permitted, (
                        f"generation {generation} of {disk.identity} cleared without leave: {sorted(files)}"
                    )

    def end_state(self) -> dict[str, Any]:
        """What must be the same after a disturbed run: everything but UIDs, versions and times."""
        uids = {
            obj["metadata"]["uid"]: "/".join(where) for where, obj in self.memory.objects.items()
        }

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                drop = (
                    "resourceVersion",
                    "releasedAt",
                    "finishedAt",
                    "grantedAt",
                    "deletionTimestamp",
                )
                return {k: plain(v) for k, v in value.items() if k not in drop}
            if isinstance(value, list):
                return [plain(v) for v in value]
            if isinstance(value, str):
                for uid, word in sorted(uids.items(), reverse=True):
                    value = value.replace(f'"{uid}"', f'"{word}"')
                return uids.get(value, value)
            return value

        state: dict[str, Any] = {
            "/".join(where): plain(obj) for where, obj in sorted(self.memory.objects.items())
        }
        state["disks"] = [
            (d.identity, sorted(d.folders), sorted(d.foreign), len(d.cleared)) for d in self.disks()
        ]
        return state
