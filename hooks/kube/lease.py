"""One worker at a time: a coordination.k8s.io Lease.

A Lease avoids noise, it is no fence: a holder that was frozen may go on after another took over. So nothing destructive
leans on it; every such write has its own preconditions (design.md, One engine).

No clock is compared with another machine's. Who waits watches the Lease's record by its own monotonic clock and
takes it when it has not changed for the holder's `leaseDurationSeconds` (as client-go does), so a clock that jumps
takes nothing away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hooks.kube.client import Client
from hooks.kube.errors import AlreadyExistsError, ConflictError, KubeError, RetryableError
from hooks.kube.kinds import LEASE, Obj, version

DURATION_SECONDS = 15
RENEW_SECONDS = 5.0


class HeldError(KubeError):
    """Somebody else has it and is alive; `holder` says who."""

    def __init__(self, lease: str, holder: str) -> None:
        super().__init__(
            f"Lease {lease} is held by {holder}; it is free when {holder} ends or stays silent"
        )
        self.holder = holder


@dataclass
class Lease:
    client: Client
    namespace: str
    name: str
    holder: str
    duration_seconds: int = DURATION_SECONDS
    clock: Callable[[], float] = time.monotonic
    _record: tuple[str, str, str] | None = None
    _since: float = 0.0
    _mine: Obj | None = None
    _renewed: float = field(default=float("-inf"))

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def held(self) -> bool:
        """Whether this holder may believe it still holds it: renewed within two thirds of the duration."""
        return (
            self._mine is not None and self.clock() - self._renewed < self.duration_seconds * 2 / 3
        )

    def try_acquire(self) -> str:
        """Take or renew it; returns "" when held, else the holder's name. One or two calls, no waiting."""
        found = self.client.find(LEASE, self.name, self.namespace)
        if found is None:
            return self._create()
        spec = found.get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        record = (holder, str(spec.get("renewTime")), version(found))
        if record != self._record:
            self._record, self._since = record, self.clock()
        lasts = float(spec.get("leaseDurationSeconds") or self.duration_seconds)
        if holder not in ("", self.holder) and self.clock() - self._since < lasts:
            self._mine = None
            return holder
        return self._take(found, holder)

    def release(self) -> None:
        """Let the next one take it at once. Errors are for the caller to ignore: it runs out by itself."""
        mine, self._mine = self._mine, None
        if mine is None:
            return
        self._replace(mine, holder="")

    def _create(self) -> str:
        obj: Obj = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"namespace": self.namespace, "name": self.name},
            "spec": self._spec(self.holder, transitions=0, acquired=None),
        }
        try:
            self._own(self.client.create(obj))
        except AlreadyExistsError:
            return "another that was faster"
        return ""

    def _take(self, found: Obj, holder: str) -> str:
        try:
            self._own(self._replace(found, holder=self.holder, taken=holder != self.holder))
        except ConflictError:
            self._mine = None
            return holder or "another that was faster"
        return ""

    def _replace(self, found: Obj, *, holder: str, taken: bool = False) -> Obj:
        old = found.get("spec") or {}
        transitions = int(old.get("leaseTransitions") or 0) + (1 if taken else 0)
        acquired = None if taken else old.get("acquireTime")
        spec = self._spec(holder, transitions=transitions, acquired=acquired)
        return self.client.replace({**found, "spec": spec})

    def _own(self, obj: Obj) -> None:
        self._mine = obj
        self._renewed = self.clock()

    def _spec(self, holder: str, *, transitions: int, acquired: object) -> Obj:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": self.duration_seconds,
            "acquireTime": acquired or now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }


def acquire(
    lease: Lease,
    *,
    stop: threading.Event,
    seconds: float = float("inf"),
    waiting: Callable[[str], None] = lambda _: None,
) -> bool:
    """Wait until it is held (True), or until `stop` is set or `seconds` are over (False, HeldError).

    `waiting` is told the holder whenever that changes.
    """
    began = lease.clock()
    told = ""
    while not stop.is_set():
        try:
            holder = lease.try_acquire()
        except RetryableError as error:
            holder = f"unknown ({error})"
        if not holder:
            return True
        if holder != told:
            waiting(holder)
            told = holder
        if lease.clock() - began >= seconds:
            raise HeldError(str(lease), holder)
        stop.wait(min(RENEW_SECONDS / 2, max(0.05, seconds - (lease.clock() - began))))
    return False


@contextmanager
def hold(
    lease: Lease, *, wait_seconds: float = DURATION_SECONDS + RENEW_SECONDS
) -> Iterator[threading.Event]:
    """Hold a Lease for the length of a job; yields an Event that is set when it was lost.

    HeldError when another stays alive for `wait_seconds`; the default outlives a holder that died.
    """
    lost = threading.Event()
    done = threading.Event()
    acquire(lease, stop=done, seconds=wait_seconds)

    def renew() -> None:
        while not done.wait(RENEW_SECONDS):
            try:
                taken = bool(lease.try_acquire())
            except KubeError:
                taken = False
            if taken or not lease.held:
                lost.set()
                return

    thread = threading.Thread(target=renew, name=f"lease-{lease.name}", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        done.set()
        thread.join(timeout=lease.client.seconds)
        if not lost.is_set():
            # Failing that, it runs out by itself.
            with suppress(KubeError):
                lease.release()
