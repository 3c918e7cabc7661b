"""The fresh scan of a post-install or post-upgrade hook: ask every agent, wait for all answers, make what is
missing, say it.

The nonce goes into `data.scan` of each selected node's requests ConfigMap; an agent echoes it after a complete scan
that began later. Selected are the nodes where the DaemonSet has a pod. A node that is not Ready is told and not
waited for.

Safe beside a running controller and beside its own predecessor: all it writes are the controller's own actions, and
a nonce that another one overwrites is answered by what the other waits for.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hooks.engine import Exit, JobError, Outcome
from hooks.kube import (
    CONFIG_MAP,
    DAEMON_SET,
    NODE,
    POD,
    AlreadyExistsError,
    Client,
    KubeError,
    NotFoundError,
)
from hooks.volumes import inventory, observe, table
from hooks.volumes.apply import Applier
from hooks.volumes.model import Policy
from hooks.volumes.world import World
from schema import names

_POLL_SECONDS = 1.0
_PROGRESS_SECONDS = 10.0


@dataclass
class Scan:
    client: Client
    policy: Policy
    namespace: str
    daemon_set: str
    seconds: float
    out: Callable[[str], None] = lambda text: print(text, flush=True)
    err: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    world: World = field(default_factory=World)

    def run(self) -> Exit:
        deadline = self.clock() + self.seconds
        asked: dict[str, str] = {}
        # Not at once: a hook's log is one line in Helm 4, and the first thing in it should be the verdict.
        told = self.clock()
        trouble = ""
        while True:
            try:
                nodes, away = self._selected()
                waits = self._ask(nodes, asked)
                left = self._make() if not waits else 0
                trouble = ""
            except KubeError as error:
                nodes, away, waits, left, trouble = [], [], ["?"], 0, str(error)
            if not waits and not left:
                return self._end(nodes, away, [])
            if self.clock() >= deadline:
                if trouble:
                    raise JobError(
                        f"the fresh scan could not be made in {self.seconds:.0f} s: {trouble}"
                    )
                return self._end(nodes, away, waits)
            if self.clock() - told >= _PROGRESS_SECONDS:
                told = self.clock()
                rest = trouble or (
                    f"{', '.join(waits[:5])} to answer" if waits else f"{left} steps to do"
                )
                self.err(
                    f"volumes: waiting at most {deadline - self.clock():.0f} s more for {rest}"
                )
            self.sleep(_POLL_SECONDS)

    def _selected(self) -> tuple[list[str], list[str]]:
        """Nodes with an agent's pod: those that are Ready, and the others. JobError when none can be expected."""
        daemon_set = self.client.find(DAEMON_SET, self.daemon_set, self.namespace)
        if daemon_set is None:
            raise JobError(
                f"DaemonSet {self.namespace}/{self.daemon_set} does not exist: is disks.enabled true?"
            )
        selector = daemon_set["spec"]["selector"]["matchLabels"]
        labels = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
        pods = self.client.list(POD, self.namespace, labels=labels)
        wanted = {p["spec"].get("nodeName", "") for p in pods} - {""}
        status = daemon_set.get("status") or {}
        seen = status.get("observedGeneration", 0) >= daemon_set["metadata"].get("generation", 0)
        if not seen or len(wanted) < status.get("desiredNumberScheduled", 0):
            raise KubeError(f"DaemonSet {self.daemon_set} is still being rolled out")
        ready = {n["metadata"]["name"] for n in self.client.list(NODE) if _ready(n)}
        return sorted(wanted & ready), sorted(wanted - ready)

    def _ask(self, nodes: list[str], asked: dict[str, str]) -> list[str]:
        """Nodes that have not answered; each is asked once, and again when its ConfigMap was deleted."""
        answers: dict[str, str] = {}
        standing: dict[str, str] = {}
        for obj in self.client.list(CONFIG_MAP, self.namespace, labels=names.EXCHANGE_LABEL):
            name, data = obj["metadata"]["name"], obj.get("data") or {}
            if name.startswith(names.REQUESTS_PREFIX):
                standing[name.removeprefix(names.REQUESTS_PREFIX)] = str(
                    data.get(names.SCAN_KEY, "")
                )
                continue
            try:
                found = inventory.read(name, str(data.get(names.INVENTORY_KEY, "")))
            except inventory.InventoryError:
                continue
            answers[found.node] = found.nonce
        waits = []
        for node in nodes:
            # Another scan's nonce in the place of ours came later: its answer holds for us too. Asking again
            # would make two scans overwrite each other for ever.
            now = standing.get(node, "")
            if node in asked and answers.get(node, "") in {asked[node], now} - {""}:
                continue
            waits.append(node)
            if node not in asked or not now:
                asked.setdefault(node, secrets.token_hex(8))
                self._write(node, asked[node])
        return waits

    def _write(self, node: str, nonce: str) -> None:
        name = names.REQUESTS_PREFIX + node
        patch = {"data": {names.SCAN_KEY: nonce}}
        try:
            self.client.merge_patch(CONFIG_MAP, name, patch, self.namespace)
            return
        except NotFoundError:
            pass
        labels = {**self.policy.labels, names.EXCHANGE_LABEL: names.REQUESTS}
        metadata = {"name": name, "namespace": self.namespace, "labels": labels}
        try:
            self.client.create(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **patch}
            )
        except AlreadyExistsError:
            self.client.merge_patch(CONFIG_MAP, name, patch, self.namespace)

    def _make(self) -> int:
        """One round of the controller's work; how many steps were left to do, or folders to wait for."""
        self.world = world = observe.read(self.client, self.namespace)
        plan = observe.plan_all(
            observe.snapshot(world, observe.now(self.client), self.policy), self.policy
        )
        pending = sum(1 for wait in plan.waits if wait.code in ("folder", "not-steady"))
        applier = Applier(self.client, world, self.policy, self.namespace)
        done = [applier.apply(action) for action in plan.actions]
        stale = done.count(Outcome.STALE)
        return len(done) + stale + pending

    def _end(self, nodes: list[str], away: list[str], waits: list[str]) -> Exit:
        # What the last round looked at and found at rest; not another look, which might meet something new half made.
        world = self.world if not waits else observe.read(self.client, self.namespace)
        rows = table.rows(world.views(observe.now(self.client)))
        answered = [n for n in nodes if n not in waits]
        verdict = f"volumes: {table.summary(rows, len(answered) + len(waits))}"
        if waits:
            verdict += f"; no answer from {', '.join(waits)}: kubectl -n {self.namespace} logs ds/{self.daemon_set}"
        if away:
            verdict += f"; not Ready and not asked: {', '.join(away)}"
        self.out(verdict + "; kubectl get tv shows them any time")
        for line in table.lines(rows):
            self.out(line)
        return Exit.WAITING if waits else Exit.DONE


def _ready(node: dict[str, object]) -> bool:
    status = node.get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions or [])
