"""The real transport against a real HTTP server that misbehaves in every way it knows."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kubernetes.client.configuration import Configuration

from hooks import kube
from hooks.kube.backoff import Backoff
from hooks.kube.transport import HttpTransport, connect, context_namespace

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """Answers requests with `script`, one after the other, the last one for ever."""

    port: int = 0
    script: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    def client(self, seconds: float = 5.0) -> kube.Client:
        def load(configuration: Configuration) -> None:
            configuration.host = f"http://127.0.0.1:{self.port}"
            configuration.api_key["BearerToken"] = "bearer secret-token"

        transport = HttpTransport(load, agent="helm-tidb/test")
        return kube.Client(
            transport, manager="test", seconds=seconds, backoff=lambda: Backoff(first=0.01)
        )


@pytest.fixture
def server() -> Iterator[Server]:
    played = Server()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            played.requests.append((self.command, self.path, body))
            (played.script.pop(0) if len(played.script) > 1 else played.script[0])(self)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    played.port = http.server_address[1]
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield played
    http.shutdown()
    http.server_close()


def say(status: int, document: object, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def status(code: int, reason: str, message: str, **headers: str) -> Answer:
    said = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return say(code, said, **headers)


def reset(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()


def cut(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"kind":')


def trickle(handler: BaseHTTPRequestHandler) -> None:
    """Never silent for long, and never done."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(200):
        try:
            handler.wfile.write(b" ")
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.05)


def silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(3)
    handler.close_connection = True


POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "u"}}


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", kube.InvalidError),
        (401, "Unauthorized", kube.UnauthorizedError),
        (403, "Forbidden", kube.ForbiddenError),
        (404, "NotFound", kube.NotFoundError),
        (409, "Conflict", kube.ConflictError),
        (409, "AlreadyExists", kube.AlreadyExistsError),
        (410, "Expired", kube.GoneError),
        (422, "Invalid", kube.InvalidError),
        (500, "InternalError", kube.UnknownOutcomeError),
        (504, "Timeout", kube.UnknownOutcomeError),
    ],
)
def test_errors_are_told_apart_by_remedy_and_keep_the_servers_words(
    server: Server, code: int, reason: str, kind: type[kube.KubeError]
) -> None:
    server.script = [status(code, reason, f"the server says {reason}")]
    with pytest.raises(kube.KubeError) as caught:
        server.client().create(POD)
    assert type(caught.value) is kind
    assert str(caught.value) == f"POST /api/v1/namespaces/n/pods: {code} the server says {reason}"
    assert (caught.value.status, caught.value.reason) == (code, reason)
    assert len(server.requests) == 1


def test_a_proxys_page_is_cut_and_shown(server: Server) -> None:
    server.script = [say(403, "<html>" + "x" * 5000)]
    with pytest.raises(kube.ForbiddenError) as caught:
        server.client().get(kube.NODE, "n1")
    assert len(str(caught.value)) < 260
    assert "<html>xxx" in str(caught.value)


def test_reads_are_repeated_until_they_succeed(server: Server) -> None:
    server.script = [status(500, "InternalError", "x"), reset, cut, say(200, POD)]
    assert server.client().get(kube.POD, "p", "n")["metadata"]["uid"] == "u"
    assert len(server.requests) == 4


@pytest.mark.parametrize("broken", [reset, cut])
def test_a_write_without_its_answer_is_never_repeated(server: Server, broken: Answer) -> None:
    server.script = [broken, say(201, POD)]
    with pytest.raises(kube.UnknownOutcomeError) as caught:
        server.client().create(POD)
    assert "the connection broke before the answer was whole" in str(caught.value)
    assert len(server.requests) == 1


def test_what_the_server_turned_away_untouched_is_repeated_after_its_time(server: Server) -> None:
    server.script = [
        status(429, "TooManyRequests", "slow down", Retry_After="0.2"),
        status(503, "ServiceUnavailable", "not yet", Retry_After="0.1"),
        say(201, POD),
    ]
    began = time.monotonic()
    server.client().create(POD)
    assert time.monotonic() - began >= 0.3
    assert len(server.requests) == 3


def test_a_503_without_retry_after_may_have_happened(server: Server) -> None:
    server.script = [status(503, "ServiceUnavailable", "proxy lost its way")]
    with pytest.raises(kube.UnknownOutcomeError):
        server.client().create(POD)
    assert len(server.requests) == 1


@pytest.mark.parametrize("slow", [trickle, silent])
def test_every_call_has_a_deadline(server: Server, slow: Answer) -> None:
    server.script = [slow]
    began = time.monotonic()
    with pytest.raises(kube.RetryableError):
        server.client(seconds=0.5).get(kube.POD, "p", "n")
    assert time.monotonic() - began < 2


def test_nobody_listens(server: Server) -> None:
    client = server.client(seconds=0.3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client.transport._configuration.host = f"http://127.0.0.1:{free.getsockname()[1]}"  # type: ignore[attr-defined]
        with pytest.raises(kube.RetryableError) as caught:
            client.create(POD)
    assert type(caught.value) is kube.RetryableError, "nothing was sent: the outcome is known"
    assert "is the API server up and reachable?" in str(caught.value)


def test_an_answer_that_is_no_json_is_tried_again(server: Server) -> None:
    server.script = [say(200, "<html>log in</html>")]
    with pytest.raises(kube.RetryableError, match="the answer is not JSON: '<html>log in</html>'"):
        server.client(seconds=0.3).get(kube.POD, "p", "n")


def test_the_token_is_sent_and_never_told(server: Server) -> None:
    server.script = [status(401, "Unauthorized", "no")]
    with pytest.raises(kube.UnauthorizedError) as caught:
        server.client().get(kube.POD, "p", "n")
    assert "secret-token" not in repr(caught.value)


def test_lists_come_in_pages_with_kinds_filled_in(server: Server) -> None:
    items = [{"metadata": {"name": f"p{n}"}} for n in range(3)]
    server.script = [
        say(200, {"items": items[:2], "metadata": {"resourceVersion": "7", "continue": "t o"}}),
        say(200, {"items": items[2:], "metadata": {"resourceVersion": "7"}}),
    ]
    found = server.client().list(kube.POD, "n", labels="a=b", fields="metadata.name=x", page=2)
    assert [(o["kind"], o["metadata"]["name"]) for o in found] == [
        ("Pod", f"p{n}") for n in range(3)
    ]
    assert server.requests[0][1].endswith(
        "/pods?limit=2&labelSelector=a%3Db&fieldSelector=metadata.name%3Dx"
    )
    assert server.requests[1][1].endswith("&continue=t+o")


def test_writes_say_who_and_on_what_condition(server: Server) -> None:
    server.script = [say(200, POD)]
    client = server.client()
    client.apply(POD, force=True)
    client.delete(kube.POD, "p", "n", uid="u", version="5", grace_seconds=0)
    client.merge_patch(kube.POD, "p", {"a": None}, "n", subresource="status")
    paths = [path for _, path, _ in server.requests]
    assert paths == [
        "/api/v1/namespaces/n/pods/p?fieldManager=test&force=true",
        "/api/v1/namespaces/n/pods/p",
        "/api/v1/namespaces/n/pods/p/status?fieldManager=test",
    ]
    deleted = json.loads(server.requests[1][2])
    assert deleted["preconditions"] == {"uid": "u", "resourceVersion": "5"}
    assert deleted["gracePeriodSeconds"] == 0


def test_a_delete_without_uid_is_a_defect() -> None:
    client = kube.Client(None, manager="test")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs the UID it was decided on"):
        client.delete(kube.POD, "p", "n", uid="")


def test_the_servers_clock_is_noted(server: Server) -> None:
    server.script = [say(200, POD, Date="Fri, 20 Nov 2020 10:00:00 GMT")]
    client = server.client()
    client.get(kube.POD, "p", "n")
    clocks = client.clocks()
    assert clocks.server is not None
    assert clocks.earlier < clocks.later
    assert clocks.apart_seconds > 1000


def test_without_a_cluster_the_remedy_is_named(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(kube.ConfigurationError) as caught:
        connect(agent="x", kubeconfig=f"{tmp_path}/none")
    assert "name a kubeconfig with --kubeconfig or KUBECONFIG" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clusters: [", "did not find expected node content|expected the node content"),
        ("[]", r"it is no kubeconfig \(list indices must be integers"),
        ("x", r"it is no kubeconfig \('str' object"),
        ("", "file is empty"),
        ("contexts: [{name: c}]\ncurrent-context: c", "Expected key context in"),
    ],
)
def test_a_kubeconfig_that_is_none_is_told_with_its_path(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(kube.ConfigurationError, match=said) as caught:
        connect(agent="x", kubeconfig=str(path), context="")
    assert f"; read kubeconfig {path}; " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert context_namespace(str(path)) == ""
