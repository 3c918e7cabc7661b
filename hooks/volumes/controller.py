"""The running controller: watches feed the world, changed volumes are queued by name, workers decide and act.

Level-triggered: a name in the queue says "look at this volume", never what happened, so a missed or doubled event
changes nothing. A volume is worked on by one thread at a time. Nothing is decided before every watch has told its
first complete list: half a world looks like a world without disks.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial

from hooks.engine import JobError, Outcome, Plan
from hooks.kube import (
    CLAIM,
    CONFIG_MAP,
    NODE,
    TIDB_VOLUME,
    VOLUME,
    Client,
    Follower,
    Key,
    Kind,
    KubeError,
    Obj,
    Recorder,
    Regarding,
)
from hooks.kube.backoff import Backoff
from hooks.metrics import Labels, Metrics
from hooks.reporting import camel, regarding
from hooks.volumes.actions import VolumeAction, WriteStatus
from hooks.volumes.apply import Applier
from hooks.volumes.model import Now, Policy
from hooks.volumes.observe import now, requests_action
from hooks.volumes.plan import plan
from hooks.volumes.workqueue import Item, Queue
from hooks.volumes.world import Complaint, Touched, World
from schema import names

# A disk's first status is held back so long, because the PV follows within that time on a healthy node.
_LAZY_SECONDS = 3.0
# A node's requests are written when so long nothing changed them: 24 disks, one write.
_QUIET_SECONDS = 0.1
# While its volumes are still being worked on, a node's requests are put off, but for no longer than this.
_PATIENCE_SECONDS = 2.0
# What waits for time to pass is looked at so often.
_CLOCK_SECONDS = 20.0
_CLOCK_CODES = frozenset({"retention", "clocks"})
# Written 24,000 times on a first start; the objects themselves tell it.
_NO_EVENT = frozenset({"create-volume", "create-pv", "write-status", "write-requests"})
# Gauges are so old at most, and complaints are told so soon.
_TICK_SECONDS = 0.5
# Steps of one volume in a row, each planned anew; then others have their turn.
_STEPS = 8


_Gone = Callable[[Key, str, str], Touched]


@dataclass
class _Feed:
    """A Sink for one kind: tells the world, queues what that touches."""

    seen_: Callable[[Obj], Touched]
    gone_: _Gone
    queue: Callable[[Touched], None]
    ready: threading.Event = field(default_factory=threading.Event)

    def seen(self, obj: Obj) -> None:
        self.queue(self.seen_(obj))

    def gone(self, key: Key, uid: str, version: str, /) -> None:
        self.queue(self.gone_(key, uid, version))

    def synced(self) -> None:
        self.ready.set()


@dataclass
class Controller:
    client: Client
    policy: Policy
    namespace: str
    recorder: Recorder | None = None
    # Mostly they wait for the API server: 16 keep it busy also where a write takes 20 ms.
    workers: int = 16
    metrics: Metrics = field(default_factory=Metrics)
    world: World = field(default_factory=World)
    stop: threading.Event = field(default_factory=threading.Event)
    # Whether the Lease is ours: not when it was not renewed for long, as after a cut that outlived it.
    leads: Callable[[], bool] = lambda: True
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)

    def __post_init__(self) -> None:
        self.queue = Queue()
        self.synced = threading.Event()
        self._applier = Applier(self.client, self.world, self.policy, self.namespace)
        self._backoffs: dict[Item, Backoff] = {}
        self._lazy: dict[str, float] = {}
        self._put_off_since: dict[str, float] = {}
        self._told: dict[Hashable, str] = {}
        self._troubles: dict[str, str] = {}
        self.metrics.describe("helm_tidb_volumes", "gauge", "TidbVolumes by phase.")

    # --- life ---
    def run(self) -> None:
        """Until `stop` is set. Threads are daemons: a watch may sit in a read when the process ends."""
        world = self.world
        feeds: list[tuple[Kind, str, str, str, _Feed]] = [
            (
                TIDB_VOLUME,
                "",
                "",
                "",
                self._feed(world.volume, lambda k, *of: world.volume_gone(k[1], *of)),
            ),
            (
                VOLUME,
                "",
                names.VOLUME_LABEL,
                "",
                self._feed(world.pv, lambda k, *of: world.pv_gone(k[1], *of)),
            ),
            (NODE, "", "", "", self._feed(world.node, lambda k, *_: world.node_gone(k[1]))),
            (CLAIM, "", "", "", self._feed(world.claim, lambda k, *_: world.claim_gone(k))),
            (
                CONFIG_MAP,
                self.namespace,
                names.EXCHANGE_LABEL,
                "",
                self._feed(world.exchange, lambda k, *_: world.exchange_gone(k[1])),
            ),
            (
                CONFIG_MAP,
                "",
                "",
                f"metadata.name={names.FINISHED_VOLUMES}",
                self._feed(world.finished, lambda k, *_: world.finished_gone(k[0])),
            ),
        ]
        for kind, namespace, labels, fields, feed in feeds:
            # Of two watches of ConfigMaps each has its own trouble.
            what = names.FINISHED_VOLUMES if fields else kind.plural
            follower = Follower(
                self.client,
                kind,
                feed,
                namespace=namespace,
                labels=labels,
                fields=fields,
                stop=self.stop,
                trouble=partial(self._trouble, what),
            )
            follower.thread()
        for feed in (f for *_, f in feeds):
            while not feed.ready.wait(0.2):
                if self.stop.is_set():
                    return
        self.synced.set()
        self.say(
            f"volumes: sees {len(self.world.all_volumes())} volumes on {len(self.world.all_nodes())} nodes"
        )
        for node in self.world.all_nodes():
            for volume in sorted(self.world.volumes_on(node)):
                self.queue.add_last(("volume", volume))
            self.queue.add_last(("node", node))
        for volume in self.world.all_volumes():
            self.queue.add_last(("volume", volume))
        threads = [
            threading.Thread(target=self._work, name=f"worker-{n}", daemon=True)
            for n in range(self.workers)
        ]
        for thread in threads:
            thread.start()
        self._tick()
        while not self.stop.wait(_TICK_SECONDS):
            self._tick()
        self.queue.close()
        for thread in threads:
            thread.join(self.client.seconds)

    def healthy(self) -> str:
        """ "" or what is wrong, for /healthz."""
        if not self.synced.is_set():
            waits = "; ".join(t for t in self._troubles.values() if t) or "reading the cluster"
            return f"not ready: {waits}"
        return ""

    def _feed(self, seen: Callable[[Obj], Touched], gone: _Gone) -> _Feed:
        return _Feed(seen, gone, self._queue)

    def _queue(self, touched: Touched) -> None:
        if not self.synced.is_set():
            return  # run() queues everything once it is
        for volume in touched.volumes:
            if self.world.knows(volume):
                self.queue.add(("volume", volume))
            else:
                self.queue.add_last(("volume", volume))
        for node in touched.nodes:
            self.queue.add_after(("node", node), _QUIET_SECONDS)

    def _trouble(self, what: str, text: str) -> None:
        if self._troubles.get(what, "") != text:
            self._troubles[what] = text
            self.metrics.set(
                "helm_tidb_watch_broken", 1.0 if text else 0.0, kind=what, job="volumes"
            )
            self.say(f"volumes: watch of {what}: {text or 'works'}")

    def _tick(self) -> None:
        phases: dict[Labels, float] = {
            (("phase", phase),): float(n) for phase, n in self.world.phases().items()
        }
        self.metrics.reset("helm_tidb_volumes", phases)
        self.metrics.set("helm_tidb_last_success_seconds", time.time(), job="volumes")
        for complaint in list(self.world.complaints.values()):
            self._tell_complaint(complaint)

    # --- work ---
    def _work(self) -> None:
        while (item := self.queue.get()) is not None and self._may_act():
            try:
                self._one(item)
                self._backoffs.pop(item, None)
            except (KubeError, JobError) as error:
                self.metrics.add("helm_tidb_errors_total", job="volumes")
                wait = self._backoffs.setdefault(item, Backoff()).next(
                    getattr(error, "retry_after", None)
                )
                self.say(
                    f"volumes: {item[0]} {item[1]}: error: {error}; looking again in {wait:.1f} s"
                )
                self.queue.add_after(item, wait)
            finally:
                self.queue.done(item)

    def _may_act(self) -> bool:
        """Waits while the Lease may be somebody else's; False when all is over."""
        while not self.leads():
            if self.stop.wait(_TICK_SECONDS):
                return False
        return True

    def _one(self, item: Item) -> None:
        if item[0] == "node":
            if self._put_off(item):
                return
            write = requests_action(self.world, item[1], self._now(), self.policy)
            if write is not None and self._applier.apply(write) is Outcome.STALE:
                self.queue.add_after(item, _QUIET_SECONDS * 5)
            return
        for _ in range(_STEPS):
            decided = plan(self.world.view(item[1], self._now()), self.policy)
            if any(wait.code in _CLOCK_CODES for wait in decided.waits):
                self.queue.add_after(item, _CLOCK_SECONDS)
            self._tell_refusals(item[1], decided)
            if not self._step(item, decided):
                return
        self.queue.add(item)

    def _step(self, item: Item, decided: Plan[VolumeAction]) -> bool:
        """Take the plan's one step; whether it was taken, so that the next one can be planned."""
        if not decided.actions:
            return False
        (action,) = decided.actions
        if isinstance(action, WriteStatus) and action.lazy and self._hold_back(item):
            return False
        return self._perform(item, action)

    def _put_off(self, item: Item) -> bool:
        """Whether volumes of the node are still on their way: 24 of them, one write, and one look at all of them."""
        began = self._put_off_since.setdefault(item[1], time.monotonic())
        busy = self.queue.any_of(("volume", v) for v in self.world.volumes_on(item[1]))
        if busy and time.monotonic() - began < _PATIENCE_SECONDS:
            self.queue.add_after(item, _QUIET_SECONDS)
            return True
        self._put_off_since.pop(item[1], None)
        return False

    def _hold_back(self, item: Item) -> bool:
        """Whether a lazy write has not waited long enough yet."""
        began = self._lazy.setdefault(item[1], time.monotonic())
        left = began + _LAZY_SECONDS - time.monotonic()
        if left > 0:
            self.queue.add_after(item, left)
            return True
        self._lazy.pop(item[1], None)
        return False

    def _perform(self, item: Item, action: VolumeAction) -> bool:
        outcome = self._applier.apply(action)
        self._lazy.pop(item[1], None)
        self.metrics.add(
            "helm_tidb_actions_total", job="volumes", code=action.code, outcome=outcome.value
        )
        if outcome is not Outcome.DONE:
            self.queue.add_after(item, 0.05 + self._backoffs.setdefault(item, Backoff()).next())
            return False
        for node in self.world.nodes_of(item[1]):
            self.queue.add_after(("node", node), _QUIET_SECONDS)
        if action.code not in _NO_EVENT:
            self.say(f"volumes: did {action.does} ({action.subject}): {action.why}")
            self._event(action)
        return True

    def _now(self) -> Now:
        return now(self.client)

    # --- told ---
    def _event(self, action: VolumeAction) -> None:
        if self.recorder is None:
            return
        try:
            self.recorder.record(
                regarding(action.subject),
                reason=camel(action.code),
                note=f"did {action.does}: {action.why}",
                action=camel(action.code),
            )
        except KubeError as error:
            self.say(f"volumes: could not record an Event: {error}")

    def _tell_refusals(self, volume: str, decided: Plan[VolumeAction]) -> None:
        said = "; ".join(f"{r.why}; to go on: {r.remedy}" for r in decided.refusals)
        if decided.refusals and decided.refusals[0].code == "other-manager":
            # The same of every volume of the cluster: said once.
            volume = "other-manager"
        if self._told.get(volume, "") == said:
            return
        self._told[volume] = said
        if not said:
            del self._told[volume]
            return
        first = decided.refusals[0]
        self.say(f"volumes: refuses: {first.subject}: {said}")
        self._warn(regarding(first.subject), camel(first.code), said)

    def _tell_complaint(self, complaint: Complaint) -> None:
        key = (complaint.namespace, complaint.name)
        if self._told.get(key) == complaint.message:
            return
        self._told[key] = complaint.message
        text = f"not understood, the last valid content counts: {complaint.message}"
        self.say(f"volumes: ConfigMap {complaint.namespace}/{complaint.name}: {text}")
        where = Regarding("v1", "ConfigMap", complaint.name, complaint.namespace)
        self._warn(where, "InvalidContent", text)

    def _warn(self, about: Regarding, reason: str, note: str) -> None:
        if self.recorder is None:
            return
        try:
            self.recorder.record(about, reason=reason, note=note, action="Refuse", type_="Warning")
        except KubeError as error:
            self.say(f"volumes: could not record an Event: {error}")
