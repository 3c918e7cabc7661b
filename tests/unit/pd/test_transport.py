"""PD's door over real sockets: plain and TLS, and what a broken peer looks like from inside."""

from __future__ import annotations

import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hooks import pd

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def server(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            """The test says what it has to say."""

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.handle_error = lambda *_: None  # type: ignore[method-assign]  # a peer that left is the test's own doing
    if context is not None:
        made.socket = context.wrap_socket(made.socket, server_side=True)
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        made.server_close()


def whole(handler: BaseHTTPRequestHandler, status: int = 200, body: bytes = b'{"id": 7}') -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def asked(url: str, transport: pd.Http | None = None) -> pd.Pd:
    return pd.Pd([url], transport=transport, patience_seconds=0)


def test_plain() -> None:
    with server(whole) as url:
        assert asked(url).cluster_id() == 7


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a member's certificate, a client's, and an authority of somebody else."""
    folder = tmp_path_factory.mktemp("keys")

    def openssl(name: str, *more: str) -> None:
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        out = ("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt"))
        subprocess.run(
            ["openssl", "req", "-x509", *curve, *out, "-subj", f"/CN={name}", *more],
            check=True,
            capture_output=True,
        )

    signed = ("-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"))
    openssl("ca")
    openssl("stranger")
    openssl("member", *signed, "-addext", "subjectAltName=IP:127.0.0.1")
    openssl("client", *signed)
    return folder


@pytest.fixture
def secured(keys: Path) -> Iterator[str]:
    """A member that wants to see a certificate, as PD does with `cacert-path`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "member.crt", keys / "member.key")
    context.load_verify_locations(keys / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    with server(whole, context) as url:
        yield url


def tls(keys: Path, authority: str = "ca", client: str = "client") -> pd.Http:
    return pd.Http(
        pd.Tls(keys / f"{authority}.crt", keys / f"{client}.crt", keys / f"{client}.key")
    )


def test_tls_with_a_certificate_of_the_clusters_authority(secured: str, keys: Path) -> None:
    assert asked(secured, tls(keys)).cluster_id() == 7


def test_a_member_of_another_authority_is_not_believed(secured: str, keys: Path) -> None:
    with pytest.raises(pd.PdUnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        asked(secured, tls(keys, authority="stranger")).cluster_id()


def test_a_certificate_of_another_authority_is_refused(secured: str, keys: Path) -> None:
    with pytest.raises(pd.PdUnreachableError, match="reached no PD member"):
        asked(secured, tls(keys, client="stranger")).cluster_id()


def test_without_a_certificate_there_is_no_answer(secured: str) -> None:
    with pytest.raises(pd.PdUnreachableError):
        asked(secured, pd.Http()).cluster_id()


def test_a_member_that_sends_a_byte_now_and_then_holds_nobody() -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)

    request = pd.Request("GET", "", None, timeout_seconds=2.0, whole_seconds=0.3)
    with server(trickle) as url:
        began = time.monotonic()
        answer = pd.Http().send(pd.Request(request.method, url + "/x", None, 2.0, 0.3))
        with pytest.raises(pd.TransportError, match="trickles and did not end in time"):
            answer.text(10_000)
        assert time.monotonic() - began < 2


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"id": 7')

    with server(cut) as url, pytest.raises(pd.PdUnreachableError, match="IncompleteRead"):
        asked(url).cluster_id()


def test_a_redirect_to_somebody_else_is_not_followed() -> None:
    def away(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", "http://127.0.0.1:1/elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with server(away) as url, pytest.raises(pd.PdAnswerError, match="307"):
        asked(url).cluster_id()


def test_a_body_that_is_too_long_is_cut() -> None:
    with (
        server(lambda handler: whole(handler, body=b"x" * 5000)) as url,
        pytest.raises(pd.TransportError, match="the answer is longer than 4096 bytes"),
    ):
        pd.Http().send(pd.Request("GET", url, None, 2.0, 2.0)).text(4096)
