"""PD through the API server's proxy, so that `kubectl tidb` works from a laptop, with the caller's own rights.

The answers are kept as they came (`Recording`) and read again from a saved snapshot (`Replay`), by the same client
(hooks/pd) that the jobs use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from hooks.kube import Client, KubeError
from hooks.kube.wire import Request as KubeRequest
from hooks.pd import Pd, Request, Response, TransportError

_SECONDS = 5.0


class Proxy:
    """A transport (hooks.pd) that reaches pods and Services by their names in the cluster through the API server.

    `http://shop-pd-0.shop-pd-peer.db.svc:2379/…` becomes a GET of pod shop-pd-0, `http://shop-pd.db.svc:2379/…` one of
    Service shop-pd. Only GET: what changes PD belongs to the jobs, inside the cluster.
    """

    def __init__(self, client: Client, namespace: str, seconds: float = _SECONDS) -> None:
        self._client = client
        self._namespace = namespace
        self._seconds = seconds

    def send(self, request: Request) -> Response:
        if request.method != "GET":
            raise TransportError(f"{request.method} is not sent through the API server's proxy")
        parts = urlsplit(request.url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        target = self._target(parts.scheme, parts.hostname or "", parts.port or 2379)
        try:
            answer = self._client.transport.request(
                KubeRequest("GET", f"/api/v1/namespaces/{self._namespace}/{target}/proxy{path}"),
                self._seconds,
            )
        except KubeError as error:
            raise TransportError(str(error)) from error
        text = answer.body.decode("utf-8", "replace")
        if answer.status in (401, 403, 404, 500, 502, 503) and (said := _status_message(text)):
            # The API server's own word: no right to its proxy, no such Service, or nobody behind it.
            raise TransportError(f"the API server's proxy says {answer.status}: {said}")
        return Response(answer.status, iter([answer.body]))

    def _target(self, scheme: str, host: str, port: int) -> str:
        labels = host.split(".")
        is_pod = len(labels) > 2 and labels[2] == self._namespace
        return f"{'pods' if is_pod else 'services'}/{scheme}:{labels[0]}:{port}"


class Recording:
    """Asks one Service through the proxy, and keeps what came."""

    def __init__(self, client: Client, namespace: str, service: str, seconds: float) -> None:
        self._proxy = Proxy(client, namespace, seconds)
        self._base = f"http://{service}.{namespace}.svc:2379"
        self.answers: dict[str, str] = {}

    def send(self, request: Request) -> Response:
        parts = urlsplit(request.url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        answer = self._proxy.send(replace(request, url=self._base + path))
        body = b"".join(answer.chunks)
        if answer.status == 200:
            self.answers[path] = body.decode("utf-8", "replace")
        return Response(answer.status, iter([body]))


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


def _status_message(text: str) -> str:
    """The message of a Kubernetes Status; "" when the answer is PD's own."""
    try:
        document = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(document, dict) or document.get("kind") != "Status":
        return ""
    return str(document.get("message", ""))[:200]
