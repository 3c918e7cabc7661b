"""The two ConfigMaps over the real client: which are followed, what counts as news, what is written when.

The API server is a Transport of the test's: it keeps ConfigMaps, and its watches wait until the test says something.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from hooks import kube
from hooks.disks.exchange import KubeExchange
from hooks.kube.backoff import Backoff
from hooks.kube.errors import UnknownOutcomeError
from hooks.kube.wire import Request, Response

REQUESTS = "tidb-disk-requests-n1"
INVENTORY = "tidb-disks-n1"


class Server:
    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.calls: list[Request] = []
        self.watches: dict[str, queue.Queue[dict[str, Any] | None]] = {}
        self.away = False
        self.opened = threading.Condition()

    def request(self, request: Request, seconds: float) -> Response:
        assert seconds > 0
        self.calls.append(request)
        if self.away:
            raise UnknownOutcomeError(f"{request}: connection refused")
        if request.method == "PATCH":
            body = json.loads(json.dumps(request.body))
            return Response(
                200, {}, json.dumps(self.put(body["metadata"]["name"], body["data"])).encode()
            )
        name = dict(request.query)["fieldSelector"].removeprefix("metadata.name=")
        items = [self.objects[name]] if name in self.objects else []
        listed = {
            "kind": "List",
            "items": items,
            "metadata": {"resourceVersion": str(self.version)},
        }
        return Response(200, {}, json.dumps(listed).encode())

    def put(self, name: str, data: dict[str, str], *, tell: bool = True) -> dict[str, Any]:
        self.version += 1
        metadata = {"name": name, "namespace": "db", "resourceVersion": str(self.version)}
        self.objects[name] = {"metadata": metadata, "data": data}
        if tell:
            self.tell(name, "MODIFIED", self.objects[name])
        return self.objects[name]

    def tell(self, name: str, kind: str, obj: dict[str, Any]) -> None:
        with self.opened:
            if name in self.watches:
                self.watches[name].put({"type": kind, "object": obj})

    def stream(self, request: Request, silence: float) -> Stream:
        assert silence > 200
        name = dict(request.query)["fieldSelector"].removeprefix("metadata.name=")
        with self.opened:
            self.watches[name] = queue.Queue()
            self.opened.notify_all()
        return Stream(self.watches[name])


class Stream:
    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, events: queue.Queue[dict[str, Any] | None]) -> None:
        self._events = events

    def lines(self) -> Iterator[bytes]:
        while (event := self._events.get()) is not None:
            yield json.dumps(event).encode()

    def body(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


class Pair:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.woken = threading.Semaphore(0)
        client = kube.Client(
            server,
            manager="disks",
            seconds=0.5,
            backoff=lambda: Backoff(first=0.001, ceiling=0.001),
        )
        self.exchange = KubeExchange(client, "db", "n1", self.woken.release)
        self.exchange.follow()
        assert self.exchange.wait(10)
        with server.opened:
            assert server.opened.wait_for(lambda: len(server.watches) == 2, 10)
        while self.woken.acquire(blocking=False):
            pass

    def news(self) -> None:
        assert self.woken.acquire(timeout=10), "nobody was woken"


@pytest.fixture
def server() -> Server:
    """Its watches stay open to the end, as an agent's do; the threads that read them are daemons."""
    return Server()


def test_each_agent_follows_its_own_two_config_maps_and_nothing_else(server: Server) -> None:
    """Elsewhere every agent kept every volume of the cluster: nodes times volumes in memory."""
    Pair(server)
    asked = {(r.method, r.path, dict(r.query)["fieldSelector"]) for r in server.calls}
    path = "/api/v1/namespaces/db/configmaps"
    assert asked == {
        ("GET", path, f"metadata.name={REQUESTS}"),
        ("GET", path, f"metadata.name={INVENTORY}"),
    }


def test_what_is_there_at_the_start_is_known_before_the_first_round(server: Server) -> None:
    server.put(REQUESTS, {"requests.json": "{}", "scan": "r-1"})
    server.put(INVENTORY, {"inventory.json": "old"})
    mail = Pair(server).exchange.mail()
    assert (mail.requests, mail.nonce, mail.inventory) == ("{}", "r-1", "old")


def test_nothing_there_is_told_apart_from_not_known(server: Server) -> None:
    mail = Pair(server).exchange.mail()
    assert (mail.requests, mail.nonce, mail.inventory) == (None, None, "")


def test_requests_wake_and_repeated_ones_do_not(server: Server) -> None:
    pair = Pair(server)
    server.put(REQUESTS, {"requests.json": "1"})
    pair.news()
    assert pair.exchange.mail().requests == "1"
    server.put(REQUESTS, {"requests.json": "1"})  # a label changed, say
    server.put(REQUESTS, {"requests.json": "1", "scan": "r-2"})
    pair.news()
    assert pair.exchange.mail().nonce == "r-2"
    assert not pair.woken.acquire(blocking=False)
    server.tell(REQUESTS, "DELETED", server.objects.pop(REQUESTS))
    pair.news()
    assert pair.exchange.mail().requests is None


def test_the_inventory_is_written_by_force_under_its_name(server: Server) -> None:
    pair = Pair(server)
    before = len(server.calls)
    assert pair.exchange.publish("text")
    (call,) = server.calls[before:]
    assert (call.method, call.path) == ("PATCH", f"/api/v1/namespaces/db/configmaps/{INVENTORY}")
    assert dict(call.query) == {"fieldManager": "disks", "force": "true"}
    assert server.objects[INVENTORY]["data"] == {"inventory.json": "text"}
    assert pair.exchange.mail().inventory == "text"


def test_an_old_event_does_not_pass_for_an_edit(server: Server) -> None:
    pair = Pair(server)
    first = {**server.put(INVENTORY, {"inventory.json": "one"}, tell=False)}
    assert pair.exchange.publish("two")
    server.tell(INVENTORY, "MODIFIED", first)  # the watch lags behind
    server.put(INVENTORY, {"inventory.json": "edited"})
    pair.news()
    assert pair.exchange.mail().inventory == "edited"
    server.tell(INVENTORY, "DELETED", server.objects.pop(INVENTORY))
    pair.news()
    assert pair.exchange.mail().inventory == ""


def test_a_server_that_is_away_is_told_once(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(server)
    server.away = True
    with caplog.at_level("INFO", logger="disks"):
        assert not pair.exchange.publish("text")
        assert not pair.exchange.publish("text")
        server.away = False
        assert pair.exchange.publish("text")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("the inventory could not be written: PATCH ")
    assert said[0].endswith("connection refused; trying again")
    assert said[1] == "the inventory is written again"


def test_watches_that_stay_broken_are_told_once_and_again_after_they_worked(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    exchange = Pair(server).exchange
    with caplog.at_level("INFO", logger="disks"):
        for text in ("no connection", "no connection", "no connection", "", "no connection"):
            exchange._trouble(text)
    said = [record.getMessage() for record in caplog.records]
    words = "the requests for this node cannot be followed: no connection; trying again"
    assert said == [words, words]
