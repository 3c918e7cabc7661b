"""What goes over the wire, and the seam for faults: a `Transport` sends one request.

`transport.py` has the real one. Tests wrap it in another that numbers every call and breaks a chosen one
(tests/faults); nothing above this seam knows the difference. Kept apart from transport.py because importing the
`kubernetes` package takes 0.4 s and 40 MB, which `--help`, pure plans and their tests don't need.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hooks.kube.errors import RetryableError

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: object = None
    content_type: str = "application/json"

    @property
    def write(self) -> bool:
        return self.method in WRITES

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Response:
    """Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Stream(Protocol):
    """An answer that is read while it comes, one line an event."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def lines(self) -> Iterator[bytes]:
        """Ends when the server ends the answer; RetryableError when it breaks or stays silent too long."""
        ...

    def body(self) -> bytes: ...

    def close(self) -> None: ...


class Transport(Protocol):
    """Errors: RetryableError (nothing was sent, or it was a read), UnknownOutcomeError (a write without its answer)."""

    def request(self, request: Request, seconds: float) -> Response:
        """`seconds` is the deadline for the whole answer."""
        ...

    def stream(self, request: Request, silence: float) -> Stream:
        """`silence`: seconds without a byte after which the connection counts as dead."""
        ...


def decode(what: str, body: bytes) -> Any:
    """JSON of an answer; RetryableError when it is none (a proxy's page, a cut answer)."""
    try:
        return json.loads(body)
    except ValueError as error:
        excerpt = body[:100].decode(errors="replace")
        raise RetryableError(f"{what}: the answer is not JSON: {excerpt!r}") from error
