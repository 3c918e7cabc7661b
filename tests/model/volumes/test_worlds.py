"""Generated worlds: people, machines and clocks do anything in any order, the job is cut off anywhere; after each
step the invariants of hooks/volumes/plan.py hold (Stage.check), and when the world comes to rest, so does the job.

*One identity – at most one PV on offer; no wipe without permission; a bound PV is never deleted; no key
cleared twice.*

`make test` runs a few hundred steps, `make soak` (HELM_TIDB_SOAK) a hundred times that.
"""

from __future__ import annotations

import copy
import os
from datetime import timedelta

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hooks.kube.wire import Transport
from schema import names
from tests.faults.faulty import Fault, Faulty
from tests.model.volumes.agents import FakeDisk
from tests.model.volumes.stage import Stage

SOAK = bool(os.environ.get("HELM_TIDB_SOAK"))
NODES = ("n1", "n2")
HOUR = timedelta(hours=1)


class Worlds(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage()
        self.stage.add_node("n1", FakeDisk("wwn-a1"), FakeDisk("wwn-a2"))
        self.stage.add_node("n2", FakeDisk("wwn-b1"))
        self.pulled: list[FakeDisk] = []
        self.stage.settle()

    # --- the job and the agents ---
    @rule()
    def job_runs(self) -> None:
        self.stage.run()

    @rule(call=st.integers(0, 25), fault=st.sampled_from(Fault))
    def job_is_disturbed(self, call: int, fault: Fault) -> None:
        def wrap(inner: Transport) -> Transport:
            return Faulty(inner, {call: fault})

        self.stage.wrap = wrap
        self.stage.run()
        self.stage.wrap = lambda inner: inner

    @rule()
    def agents_work(self) -> None:
        self.stage.agents_work()

    @rule()
    def kubernetes_works(self) -> None:
        self.stage.kubernetes_works()

    # --- people ---
    @rule(data=st.data())
    def bind(self, data: st.DataObject) -> None:
        free = [
            pv["metadata"]["name"]
            for pv in self.stage.memory.all("persistentvolumes")
            if not pv["spec"].get("claimRef")
            and "deletionTimestamp" not in pv["metadata"]
            and self._mounted(pv)
        ]
        if free:
            self.stage.bind(data.draw(st.sampled_from(free)))

    def _mounted(self, pv: dict[str, object]) -> bool:
        """Whether a pod could start there: Kubernetes would bind otherwise too, but nobody could write."""
        name = str(pv["metadata"]["name"])  # type: ignore[index]
        return any(name in disk.folders for disk in self.stage.disks())

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        claims = self.stage.memory.all("persistentvolumeclaims")
        if claims:
            self.stage.release(data.draw(st.sampled_from(claims)))

    @rule(data=st.data(), word=st.sampled_from(["now", "everything", "please"]))
    def annotate(self, data: st.DataObject, word: str) -> None:
        volumes = self.stage.memory.all("tidbvolumes")
        if volumes:
            self.stage.annotate(data.draw(st.sampled_from(volumes))["metadata"]["name"], word)

    @rule(data=st.data(), state=st.sampled_from(["Retiring", "Tombstone", "Destroyed", "?"]))
    def finish(self, data: st.DataObject, state: str) -> None:
        pvs = self.stage.memory.all("persistentvolumes")
        if pvs:
            self.stage.finish(data.draw(st.sampled_from(pvs))["metadata"]["name"], state)

    @rule(hours=st.sampled_from([1, 73]))
    def time_passes(self, hours: int) -> None:
        self.stage.pass_time(hours * HOUR)

    @rule(hours=st.sampled_from([-100, 100]))
    def a_clock_jumps(self, hours: int) -> None:
        self.stage.local += hours * HOUR

    @rule(data=st.data(), kind=st.sampled_from(["persistentvolumes", "tidbvolumes"]))
    def delete_by_hand(self, data: st.DataObject, kind: str) -> None:
        found = self.stage.memory.all(kind)
        # Kubernetes marks a bound PV that a person deletes; that is the person's deed, not ours.
        found = [o for o in found if o.get("status", {}).get("phase") != "Bound"]
        if found:
            self.stage.memory.remove(kind, data.draw(st.sampled_from(found))["metadata"]["name"])

    @rule(data=st.data())
    def cut_the_claim_ref(self, data: st.DataObject) -> None:
        released = [
            pv
            for pv in self.stage.memory.all("persistentvolumes")
            if pv["status"]["phase"] == "Released" and "deletionTimestamp" not in pv["metadata"]
        ]
        if released:
            pv = copy.deepcopy(data.draw(st.sampled_from(released)))
            del pv["spec"]["claimRef"]
            self.stage.memory.put(pv)
            self.stage.kubernetes_works()

    # --- machines ---
    @rule(node=st.sampled_from(NODES))
    def node_goes_or_comes(self, node: str) -> None:
        if ("nodes", "", node) in self.stage.memory.objects:
            self.stage.delete_node(node)
        else:
            self.stage.register(node)

    @rule(data=st.data(), node=st.sampled_from(NODES))
    def disk_is_pulled(self, data: st.DataObject, node: str) -> None:
        disks = self.stage.agents[node].disks
        if disks:
            self.pulled.append(disks.pop(data.draw(st.sampled_from(sorted(disks)))))
            self.stage.publish(node)

    @precondition(lambda self: self.pulled)
    @rule(data=st.data(), node=st.sampled_from(NODES), path=st.sampled_from(["d0", "d1", "d2"]))
    def disk_is_inserted(self, data: st.DataObject, node: str, path: str) -> None:
        disks = self.stage.agents[node].disks
        if f"/mnt/disks/{path}" not in disks:
            index = data.draw(st.integers(0, len(self.pulled) - 1))
            disks[f"/mnt/disks/{path}"] = self.pulled.pop(index)
            self.stage.publish(node)

    @rule(node=st.sampled_from(NODES), text=st.sampled_from(["{", '{"version":1}', ""]))
    def inventory_is_garbled(self, node: str, text: str) -> None:
        self.stage.publish(node, text)

    @rule(node=st.sampled_from(NODES))
    def inventory_is_mended(self, node: str) -> None:
        self.stage.publish(node)

    @rule(node=st.sampled_from(NODES))
    def steadiness_changes(self, node: str) -> None:
        agent = self.stage.agents[node]
        agent.steady = not agent.steady
        self.stage.publish(node)

    @rule(
        data=st.data(),
        node=st.sampled_from(NODES),
        code=st.sampled_from(["io-error", "read-only", "", "dirty"]),
    )
    def trouble_comes_or_goes(self, data: st.DataObject, node: str, code: str) -> None:
        agent = self.stage.agents[node]
        if not agent.disks:
            return
        disk = agent.disks[data.draw(st.sampled_from(sorted(agent.disks)))]
        if code == "dirty":
            disk.foreign.add("photos")
        elif code:
            disk.problems = [{"code": code, "message": code}]
        else:
            disk.problems = []
            disk.foreign.clear()
        self.stage.publish(node)

    # --- what must hold ---
    @invariant()
    def holds(self) -> None:
        self.stage.check()

    def teardown(self) -> None:
        """Whatever happened: mended and left alone, the world comes to rest, and every good free disk is on
        offer.
        """
        stage = self.stage
        for node, agent in stage.agents.items():
            if ("nodes", "", node) not in stage.memory.objects:
                stage.register(node)
            agent.steady = True
            for disk in agent.disks.values():
                disk.problems, disk.foreign = [], set()
            stage.publish(node)
        stage.local = stage.server
        stage.settle(limit=60)
        for agent in stage.agents.values():
            for disk in agent.disks.values():
                phase = stage.phase(disk.identity)
                data = any(disk.folders.values())
                assert phase == "Available" or data or phase in ("Bound", "Released", "Failed"), (
                    f"{disk.identity} is free and good, but {phase}: "
                    f"{stage.volume(names.volume_name(disk.identity)).get('status')}"
                )


Worlds.TestCase.settings = settings(
    max_examples=2000 if SOAK else 25,
    stateful_step_count=60 if SOAK else 25,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
TestWorlds = Worlds.TestCase
