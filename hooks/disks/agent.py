"""One node's agent: look, say, do; again and again.

A round reads the requests, looks at the disks, publishes the inventory if it differs from the last one, and starts
what the plan says. The next round begins when the mount table changes, when a request or an answer arrives, when a
disk becomes steady, and every `rescanEvery`. The API server hears nothing while nothing changes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from hooks.disks import inventory, requests
from hooks.disks.config import ConfigFile
from hooks.disks.inventory import Entry, Node
from hooks.disks.judge import judge
from hooks.disks.observe import Snapshot
from hooks.disks.plan import Clear, plan
from hooks.disks.requests import Request
from hooks.disks.steady import Memory, Sight, settle, unsettled_until
from hooks.disks.workers import Workers
from hooks.kube.backoff import Backoff

LOG = logging.getLogger("disks")
# Progress of a wipe is news, but not worth a write a second.
_PROGRESS_SECONDS = 5.0
_WIPING_SECONDS = 2.0
_LONG_AGO = 86400.0


@dataclass(frozen=True)
class Mail:
    """What the cluster last said to this node."""

    requests: str | None = None
    """The text of requests.json; None when there is none (yet)."""
    nonce: str | None = None
    inventory: str | None = None
    """What stands in this node's own ConfigMap, edited by whomever; empty: there is none; None: not known yet."""


class Exchange(Protocol):
    def mail(self) -> Mail: ...

    def publish(self, text: str) -> bool:
        """Replace this node's inventory; False when the API server cannot be reached now."""
        ...


class Agent:
    """`observe` looks at the whole node; `clock` is monotonic seconds; `now` the time for people (RFC 3339)."""

    def __init__(
        self,
        node: Node,
        exchange: Exchange,
        observe: Callable[[], Snapshot],
        config: ConfigFile,
        *,
        clock: Callable[[], float],
        now: Callable[[], str],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.node = node
        self._exchange = exchange
        self._observe = observe
        self._config = config
        self._clock = clock
        self._now = now
        self._memory: Memory = {}
        self._remembered = False
        self._published: dict[str, Any] | None = None
        self._published_text: str | None = None
        self._published_at = 0.0
        # A fleet of agents that lost one API server must not come back in step.
        self._retry = Backoff(first=4.0)
        self._asked: tuple[str | None, Mapping[str, Request], str | None] = (None, {}, None)
        self.workers = Workers(
            self.probe, self._stands, wake, trim=lambda: self._config.config.trim, clock=clock
        )
        self.entries: tuple[Entry, ...] = ()

    def round(self) -> float:
        """One round; returns for how many seconds nothing needs to be done unless something happens."""
        mail = self._exchange.mail()
        config = self._config.reload()
        wanted, wrong = self._read(mail)
        if not self._remembered:
            # Steady before a restart is steady after it: else each restart would withdraw and offer every disk.
            self._memory = remembered(mail.inventory or "", self._clock())
            self._remembered = True
        snapshot = self._observe()
        entries = judge(snapshot, config.policy, wanted)
        moment = self._clock()
        entries, self._memory = settle(entries, self._memory, config.policy, moment)
        todo = plan(entries, wanted)
        for action in todo.actions:
            self.workers.start(action)
        # What the workers know counts where the plan would have them go on; its own refusals are newer than theirs.
        clearing = {action.entry.path for action in todo.actions if isinstance(action, Clear)}
        known = self.workers.answers(wanted)
        answers = {**todo.answers, **{p: a for p, a in known.items() if p in clearing}}
        self.entries = tuple(replace(e, wipe=answers.get(e.path)) for e in entries)
        self.workers.forget({entry.path for entry in entries}, wanted)
        missing = (
            f"the discovery directory {snapshot.discovery} is not there: no disk of this node can be offered"
            if snapshot.missing
            else None
        )
        told = (missing, self._config.complaint, wrong, *self.workers.troubles())
        complaints = [complaint for complaint in told if complaint]
        document = inventory.document(self.node, self.entries, complaints, mail.nonce)
        later = self._publish(document, mail)
        waits = [config.rescan_seconds]
        steady = unsettled_until(entries, self._memory, config.policy)
        if steady is not None:
            waits.append(max(0.05, steady - moment))
        if later is not None:
            waits.append(later)
        if self.workers.wiping:
            waits.append(_WIPING_SECONDS)
        return min(waits)

    def probe(self, path: str) -> Entry | None:
        """The disk at `path`, examined anew beside all others."""
        _, wanted, _ = self._asked
        entries = judge(self._observe(), self._config.config.policy, wanted)
        return next((entry for entry in entries if entry.path == path and entry.mount), None)

    def _stands(self, request: Request) -> bool:
        """The request is still what the controller says, word for word."""
        wanted, _ = self._read(self._exchange.mail())
        return wanted.get(request.identity) == request

    def _read(self, mail: Mail) -> tuple[Mapping[str, Request], str | None]:
        text, wanted, wrong = self._asked
        if mail.requests is not text:
            wanted, wrong = {}, None
            try:
                wanted = requests.parse(mail.requests, self.node.name) if mail.requests else {}
            except requests.RequestsError as error:
                wrong = f"requests for this node cannot be used, nothing in them is done: {error}"
                LOG.warning("%s", wrong)
            self._asked = (mail.requests, wanted, wrong)
        return wanted, wrong

    def _publish(self, document: dict[str, Any], mail: Mail) -> float | None:
        """Write the inventory if need be; seconds after which to try again, None when all is said."""
        moment = self._clock()
        as_written = mail.inventory is None or mail.inventory == self._published_text
        if document == self._published and as_written:
            return None
        since = moment - self._published_at
        if (
            self._published
            and as_written
            and since < _PROGRESS_SECONDS
            and _without_progress(document) == _without_progress(self._published)
        ):
            return _PROGRESS_SECONDS - since
        if self._published is None and mail.inventory and _same(document, mail.inventory):
            self._published, self._published_text = document, mail.inventory
            return None
        text = inventory.text(document, self._now())
        if not self._exchange.publish(text):
            return self._retry.next()
        self._retry.reset()
        self._published, self._published_text = document, text
        self._published_at = moment
        return None


def remembered(text: str, moment: float) -> dict[str, Sight]:
    """What an inventory of this agent's says was steady, as if it had been seen so for ever."""
    try:
        return {
            disk["path"] or disk["device"]: Sight(
                (
                    disk["identity"],
                    disk["device"],
                    disk.get("fsUUID", ""),
                    disk["capacityBytes"],
                    tuple(sorted({problem["code"] for problem in disk["problems"]})),
                    None,
                ),
                moment - _LONG_AGO,
            )
            for disk in json.loads(text)["disks"]
            if disk["steady"]
        }
    except (ValueError, KeyError, TypeError):
        return {}  # edited by hand; it is written anew in this round, and the disks are watched from now


def _same(document: dict[str, Any], text: str) -> bool:
    try:
        said = json.loads(text)
        said.pop("writtenAt", None)
    except (ValueError, AttributeError, TypeError):
        return False
    return bool(said == document)


def _without_progress(document: dict[str, Any]) -> dict[str, Any]:
    def still(disk: dict[str, Any]) -> dict[str, Any]:
        wipe = disk.get("wipe")
        if not wipe:
            return disk
        counted = ("removedBytes", "totalBytes")
        return {**disk, "wipe": {k: v for k, v in wipe.items() if k not in counted}}

    return {**document, "disks": [still(disk) for disk in document["disks"]]}
