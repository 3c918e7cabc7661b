"""One HTTP exchange with one PD member, and nothing else: no retries, no meaning.

`Transport` is the place where tests put faults: everything the jobs say to PD goes through `send`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import urllib3

CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Request:
    """`url` is absolute; `body` is JSON text or None.

    `timeout_seconds` bounds the connection and each read, `whole_seconds` the answer from its first byte to
    its last: a server that sends a byte now and then must not hold a job.
    """

    method: str
    url: str
    body: bytes | None
    timeout_seconds: float
    whole_seconds: float


@dataclass(frozen=True)
class Response:
    """`chunks` can be read once; it may raise TransportError half-way."""

    status: int
    chunks: Iterator[bytes]

    def text(self, at_most_bytes: int) -> str:
        """The whole body. Raises TransportError when it is longer than that."""
        parts: list[bytes] = []
        size = 0
        for chunk in self.chunks:
            parts.append(chunk)
            size += len(chunk)
            if size > at_most_bytes:
                raise TransportError(f"the answer is longer than {at_most_bytes} bytes")
        return b"".join(parts).decode("utf-8", "replace")


class TransportError(Exception):
    """There was no answer, or it broke off: refused, reset, timed out, TLS failed, name unknown."""


class Transport(Protocol):
    """Sends one request. Raises TransportError when no status came back."""

    def send(self, request: Request) -> Response: ...


@dataclass(frozen=True)
class Tls:
    """The files of PD's own `security` section: authority, client certificate, its key."""

    ca: Path
    certificate: Path
    key: Path


class Http:
    """The real transport, on urllib3; connections are kept for the life of a job."""

    def __init__(self, tls: Tls | None = None) -> None:
        if tls is None:
            self._pool = urllib3.PoolManager(retries=False)
        else:
            self._pool = urllib3.PoolManager(
                retries=False,
                cert_reqs="CERT_REQUIRED",
                ca_certs=str(tls.ca),
                cert_file=str(tls.certificate),
                key_file=str(tls.key),
            )

    def send(self, request: Request) -> Response:
        headers = {"Content-Type": "application/json"} if request.body is not None else {}
        with _as_transport_error():
            answer = self._pool.request(
                request.method,
                request.url,
                body=request.body,
                headers=headers,
                timeout=urllib3.Timeout(
                    connect=request.timeout_seconds, read=request.timeout_seconds
                ),
                redirect=False,
                preload_content=False,
            )
        return Response(answer.status, _chunks(answer, time.monotonic() + request.whole_seconds))


def _chunks(answer: urllib3.BaseHTTPResponse, give_up: float) -> Iterator[bytes]:
    with _as_transport_error():
        while chunk := answer.read1(CHUNK_BYTES):
            if time.monotonic() > give_up:
                answer.close()
                raise TransportError("the answer trickles and did not end in time")
            yield chunk
    answer.release_conn()


@contextmanager
def _as_transport_error() -> Iterator[None]:
    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TransportError(f"{type(error).__name__}: {error}") from error
