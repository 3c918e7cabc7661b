"""Between the controller and the API server in memory: what cuts off, forbids, or answers late."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hooks.kube.errors import RetryableError, UnknownOutcomeError
from hooks.kube.wire import Request, Response, Stream, Transport
from tests.faults.memory import Memory

SECONDS = 60.0
"""Longer than anything takes here, on any machine."""


@dataclass
class Reachable:
    """A Transport that can be cut off: calls fail, and watches that are open end."""

    inner: Transport
    away: bool = False
    streams: list[Stream] = field(default_factory=list)

    def request(self, request: Request, seconds: float) -> Response:
        self._check(request)
        return self.inner.request(request, seconds)

    def stream(self, request: Request, silence: float) -> Stream:
        self._check(request)
        self.streams.append(self.inner.stream(request, silence))
        return self.streams[-1]

    def _check(self, request: Request) -> None:
        if self.away:
            kind = UnknownOutcomeError if request.write else RetryableError
            raise kind(f"{request}: connection refused")

    def cut(self) -> None:
        self.away = True
        while self.streams:
            self.streams.pop().close()


@dataclass
class Forbidding:
    """A Transport that lets no Event be written."""

    inner: Transport

    def request(self, request: Request, seconds: float) -> Response:
        if "/events" in request.path:
            said = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "forbidden"}
            return Response(403, {}, json.dumps(said).encode())
        return self.inner.request(request, seconds)

    def stream(self, request: Request, silence: float) -> Stream:
        return self.inner.stream(request, silence)


@dataclass
class Overtaken:
    """A Transport whose answer about a PV that is on its way out comes after the watch has told that it is gone."""

    inner: Memory
    told: Callable[[], bool] = lambda: False
    late: int = 0

    def request(self, request: Request, seconds: float) -> Response:
        answer = self.inner.request(request, seconds)
        plural, _, name = request.path.rpartition("/")
        read = request.method == "GET" and plural.endswith("persistentvolumes")
        if read and b'"deletionTimestamp"' in answer.body and not self.late:
            self.late += 1
            # By whoever else may: another controller, a person.
            self.inner.let_go("persistentvolumes", name)
            deadline = time.monotonic() + SECONDS
            while not self.told():
                assert time.monotonic() < deadline
                time.sleep(0.001)
        return answer

    def stream(self, request: Request, silence: float) -> Stream:
        return self.inner.stream(request, silence)
