"""The fresh scan of the hook Job: asked, answered, made, said."""

from __future__ import annotations

import copy

import pytest

from hooks.engine import Exit, JobError
from hooks.volumes.scan import Scan
from schema import names
from tests.model.volumes.agents import FakeDisk
from tests.model.volumes.stage import NAMESPACE, Stage

AGENTS = {"app": "agents"}


class Release:
    """A stage with the DaemonSet; its agents work whenever the Job sleeps."""

    def __init__(self, *nodes: str) -> None:
        self.stage = Stage()
        self.out: list[str] = []
        self.err: list[str] = []
        self.now = 0.0
        self.silent: set[str] = set()
        for node in nodes:
            self.stage.add_node(node, FakeDisk(f"wwn-{node}"))
            self.ready(node, "True")
            self._put("Pod", f"agent-{node}", {"nodeName": node}, labels=AGENTS)
        self._put("DaemonSet", "agents", {"selector": {"matchLabels": AGENTS}})
        daemon_set = self.stage.memory.objects[("daemonsets", NAMESPACE, "agents")]
        daemon_set["status"] = {"desiredNumberScheduled": len(nodes), "observedGeneration": 1}

    def _put(self, kind: str, name: str, spec: dict[str, object], **more: object) -> None:
        metadata = {"name": name, "namespace": NAMESPACE, "generation": 1, **more}
        obj = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}
        self.stage.memory.put(obj)

    def ready(self, node: str, status: str) -> None:
        obj = copy.deepcopy(self.stage.memory.objects[("nodes", "", node)])
        obj["status"] = {"conditions": [{"type": "Ready", "status": status}]}
        self.stage.memory.put(obj)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        working = self.stage.agents
        self.stage.agents = {n: a for n, a in working.items() if n not in self.silent}
        self.stage.agents_work()
        self.stage.agents = working
        self.stage.kubernetes_works()

    def run(self, seconds: float = 60) -> Exit:
        scan = Scan(
            self.stage.client(),
            self.stage.policy,
            NAMESPACE,
            "agents",
            seconds,
            out=self.out.append,
            err=self.err.append,
            sleep=self.sleep,
            clock=lambda: self.now,
        )
        return scan.run()


def test_it_asks_makes_and_says_in_one_line_what_there_is() -> None:
    release = Release("n1", "n2")
    assert release.run() is Exit.DONE
    assert release.err == [], "the first line of a hook's log is the verdict"
    first = "volumes: 2 disks on 2 nodes: 2 Available; kubectl get tv shows them any time"
    assert release.out[0] == first
    assert release.out[1].startswith("NODE  DISK")
    assert len(release.out) == 4


def test_a_disk_that_is_not_steady_yet_is_waited_for() -> None:
    release = Release("n1")
    agent = release.stage.agents["n1"]
    agent.steady = False
    release.stage.publish("n1")
    slept = release.sleep

    def settle(seconds: float) -> None:
        slept(seconds)
        agent.steady = release.now > 5

    release.sleep = settle  # type: ignore[method-assign]
    assert release.run() is Exit.DONE
    assert "1 disk on 1 node: 1 Available" in release.out[0]


def test_each_run_asks_anew() -> None:
    release = Release("n1")
    release.run()
    before = release.stage.agents["n1"].nonce
    release.run()
    assert release.stage.agents["n1"].nonce not in ("", before)


def test_the_nonce_leaves_the_controllers_requests_alone() -> None:
    release = Release("n1")
    release.run()
    where = ("configmaps", NAMESPACE, names.REQUESTS_PREFIX + "n1")
    assert set(release.stage.memory.objects[where]["data"]) == {"requests.json", "scan"}


def test_an_agent_that_does_not_answer_is_named_with_where_to_look() -> None:
    release = Release("n1", "n2")
    release.silent.add("n2")
    assert release.run() is Exit.WAITING
    assert "; no answer from n2: kubectl -n infra logs ds/agents" in release.out[0]
    assert release.err[0].startswith("volumes: waiting at most ")
    assert "n2 to answer" in release.err[0]


def test_a_node_that_is_not_ready_is_told_and_not_waited_for() -> None:
    release = Release("n1", "n2")
    release.silent.add("n2")
    release.ready("n2", "Unknown")
    assert release.run() is Exit.DONE
    assert "; not Ready and not asked: n2" in release.out[0]


def test_two_scans_at_once_do_not_keep_each_other_waiting() -> None:
    release = Release("n1")
    slept = release.sleep
    others: list[str] = []

    def interfere(seconds: float) -> None:
        others.append(f"another's {len(others)}")
        where = ("configmaps", NAMESPACE, names.REQUESTS_PREFIX + "n1")
        release.stage.memory.objects[where]["data"]["scan"] = others[-1]
        slept(seconds)

    release.sleep = interfere  # type: ignore[method-assign]
    assert release.run() is Exit.DONE
    assert release.stage.agents["n1"].nonce in others


def test_without_agents_the_remedy_is_named() -> None:
    release = Release("n1")
    release.stage.memory.remove("daemonsets", "agents", NAMESPACE)
    with pytest.raises(
        JobError, match=r"DaemonSet infra/agents does not exist: is disks.enabled true\?"
    ):
        release.run()


def test_agents_that_are_still_being_rolled_out_are_waited_for() -> None:
    release = Release("n1", "n2")
    release.stage.memory.remove("pods", "agent-n2", NAMESPACE)
    with pytest.raises(
        JobError, match="could not be made in 60 s: DaemonSet agents is still being rolled out"
    ):
        release.run()
