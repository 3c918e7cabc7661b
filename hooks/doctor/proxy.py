"""PD through the API server's proxy, so that `kubectl tidb` works from a laptop, with the caller's own rights.

The answers are kept as they came (`Recording`) and read again from a saved snapshot (`Replay`), by the same client
(hooks/pd) that the jobs use.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from hooks.kube import Client, KubeError
from hooks.kube.wire import Request as KubeRequest
from hooks.pd import Pd, Request, Response, TransportError

# An answer that took a second more would make `status` slower than its promise.
_SECONDS = 1.2


class Recording:
    """A transport that asks one Service or pod through the API server, and keeps what came. Only GET."""

    def __init__(self, client: Client, namespace: str, target: str) -> None:
        self._client = client
        self._base = f"/api/v1/namespaces/{namespace}/{target}/proxy"
        self.answers: dict[str, str] = {}
        self.refused: KubeError | None = None

    def send(self, request: Request) -> Response:
        parts = urlsplit(request.url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            answer = self._client.transport.request(KubeRequest("GET", self._base + path), _SECONDS)
        except KubeError as error:
            self.refused = error
            raise TransportError(str(error)) from error
        text = answer.body.decode("utf-8", "replace")
        if answer.status in (401, 403, 404, 503) and '"kind":"Status"' in text.replace(" ", ""):
            # The API server's own word: no right to its proxy, no such Service, or nobody behind it.
            raise TransportError(f"the API server's proxy says {answer.status}: {_message(text)}")
        if answer.status == 200:
            self.answers[path] = text
        return Response(answer.status, iter([answer.body]))


class Replay:
    """A transport that gives back what a Recording kept."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self._answers = answers

    def send(self, request: Request) -> Response:
        parts = urlsplit(request.url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        if path not in self._answers:
            raise TransportError(f"the snapshot has no answer to {path}")
        return Response(200, iter([self._answers[path].encode()]))


def pd_of(transport: Recording | Replay) -> Pd:
    return Pd(["http://pd"], transport=transport, patience_seconds=0)


def _message(text: str) -> str:
    import json

    try:
        return str(json.loads(text).get("message", ""))[:200]
    except ValueError:
        return text[:200]
