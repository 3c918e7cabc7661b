"""How long a watch takes to be back after an API server was away for ten minutes, by a clock that the test moves."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator, Mapping

import pytest

from hooks.kube import NODE, Client, Follower, Key, Obj
from hooks.kube.backoff import CEILING_SECONDS, Backoff
from hooks.kube.errors import GoneError, RetryableError
from hooks.kube.wire import Request, Response

AWAY_SECONDS = 600.0


class Timeline(threading.Event):
    """Waiting takes no time, but the time it would take is counted."""

    now = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now += timeout
        return self.is_set()


class Broken:
    """A watch that was open when the API server went."""

    status = 200
    headers: Mapping[str, str] = {}

    def lines(self) -> Iterator[bytes]:
        event = {"metadata": {"name": "n1", "resourceVersion": "8"}}
        yield json.dumps({"type": "ADDED", "object": event}).encode()
        raise RetryableError("the connection broke")

    def body(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


class Server:
    """There at 0, then away until AWAY_SECONDS. `gone`: what it had is compacted by then: list anew."""

    def __init__(self, time: Timeline, *, gone: bool) -> None:
        self.time, self.gone = time, gone
        self.watched_at: list[float] = []
        self.listed_at: list[float] = []

    def _check(self, request: Request) -> None:
        if 0 < self.time.now < AWAY_SECONDS:
            raise RetryableError(f"{request}: connection refused")

    def request(self, request: Request, seconds: float) -> Response:  # noqa: ARG002
        self._check(request)
        self.listed_at.append(self.time.now)
        return Response(200, {}, b'{"metadata": {"resourceVersion": "7"}, "items": []}')

    def stream(self, request: Request, silence: float) -> Broken:  # noqa: ARG002
        self._check(request)
        if self.gone and self.time.now and len(self.listed_at) == 1:
            raise GoneError("too old resource version", status=410)
        self.watched_at.append(self.time.now)
        if self.time.now:
            self.time.set()
        return Broken()


class Names:
    def __init__(self) -> None:
        self.told: list[str] = []

    def seen(self, obj: Obj) -> None:
        self.told.append(f"seen {obj['metadata']['name']}")

    def gone(self, key: Key, *_: str) -> None:
        self.told.append(f"gone {key[1]}")

    def synced(self) -> None:
        self.told.append("synced")


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_after_ten_minutes_away_a_watch_is_back_within_one_ceiling(seed: int, gone: bool) -> None:
    time, sink = Timeline(), Names()
    server = Server(time, gone=gone)
    client = Client(
        server,
        manager="test",
        sleep=time.wait,
        backoff=lambda: Backoff(source=random.Random(seed)),
    )
    Follower(client, NODE, sink, stop=time, source=random.Random(seed)).follow()
    assert server.watched_at[0] == 0
    assert AWAY_SECONDS <= server.watched_at[1] <= AWAY_SECONDS + CEILING_SECONDS
    # What was seen stays; only a list that lacks it says that it is gone.
    assert sink.told[:2] == ["synced", "seen n1"]
    assert sink.told[2:] == (["gone n1", "synced"] if gone else [])


@pytest.mark.parametrize("retry_after", [None, 5.0, 3600.0])
def test_no_wait_is_longer_than_the_ceiling_however_often_it_failed(
    retry_after: float | None,
) -> None:
    """A proxy's Retry-After of an hour would hold a controller up long after the API server is back."""
    backoff = Backoff(source=random.Random(1))
    waits = [backoff.next(retry_after) for _ in range(1000)]
    assert max(waits) <= CEILING_SECONDS
    assert min(waits[10:]) >= min(retry_after or 0.0, CEILING_SECONDS / 2)
    assert len(set(waits)) > 900  # a fleet must not come back in step
