"""Faults at a chosen API call: every call of a run has a number, and a `Fault` breaks one of them (or two).

The seven faults are those that break controllers (reference/python-on-kubernetes.md): a crash before the call, a
crash after the server committed it, a time-out after it was committed, 409, 429, 500 and a connection reset before
it arrived.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field

from hooks.kube.errors import RetryableError, UnknownOutcomeError
from hooks.kube.wire import Request, Response, Stream, Transport


class CrashedError(BaseException):
    """The process is gone. No `except Exception` of a job may catch it."""


class Fault(enum.Enum):
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after commit"
    TIMEOUT_AFTER = "time-out after commit"
    CONFLICT = "409"
    TOO_MANY = "429"
    SERVER_ERROR = "500"
    RESET = "reset"


@dataclass
class Faulty:
    """Wraps a Transport. `plan`: number of the call (from 0) → what happens to it.

    `stale`: numbers of reads that get what the same read got the time before, as from an API server whose cache is
    behind.
    """

    inner: Transport
    plan: dict[int, Fault] = field(default_factory=dict)
    calls: list[Request] = field(default_factory=list)
    stale: set[int] = field(default_factory=set)
    _before: dict[Request, Response] = field(default_factory=dict)

    def request(self, request: Request, seconds: float) -> Response:
        number = len(self.calls)
        self.calls.append(request)
        fault = self.plan.get(number)
        if fault is None:
            if request.write:
                return self.inner.request(request, seconds)
            before = self._before.get(request)
            self._before[request] = answer = self.inner.request(request, seconds)
            return before if before is not None and number in self.stale else answer
        if fault is Fault.CRASH_BEFORE:
            raise CrashedError(f"before call {number}: {request}")
        if fault is Fault.CRASH_AFTER:
            self.inner.request(request, seconds)
            raise CrashedError(f"after call {number}: {request}")
        if fault is Fault.TIMEOUT_AFTER:
            self.inner.request(request, seconds)
            raise _no_answer(request, "timed out")
        if fault is Fault.RESET:
            raise _no_answer(request, "connection reset by peer")
        return _status(
            {Fault.CONFLICT: 409, Fault.TOO_MANY: 429, Fault.SERVER_ERROR: 500}[fault], request
        )

    def stream(self, request: Request, silence: float) -> Stream:
        return self.inner.stream(request, silence)


def _no_answer(request: Request, why: str) -> RetryableError:
    kind = UnknownOutcomeError if request.write else RetryableError
    return kind(f"{request}: {why}")


def _status(code: int, request: Request) -> Response:
    if code == 409 and not request.write:
        code = 500  # reads never conflict
    reason = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}[code]
    body = {"kind": "Status", "code": code, "reason": reason, "message": "injected"}
    headers = {"retry-after": "0"} if code == 429 else {}
    return Response(code, headers, json.dumps(body).encode())
