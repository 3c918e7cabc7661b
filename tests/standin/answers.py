"""PD's way to answer: Go's JSON, its texts and content types, and the forwarding of followers to the leader."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import aiohttp
from aiohttp import web

from tests.standin.cluster import Cluster, LeadershipLostError
from tests.standin.etcd import EtcdError
from tests.standin.leadership import Leader
from tests.standin.stores import RefusedError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
JSON_V1 = "application/json; charset=UTF-8"
JSON_V2 = "application/json; charset=utf-8"
WAIT_FOR_LEADER = 3.0  # real seconds, then 503; measured
REDIRECTED = "PD-Redirector"
LEADER = "Standin-Leader"  # who answered, for stand-ins that keep to the leader as gRPC clients do
# What a member answers by itself; everything else is the leader's.
LOCAL = frozenset(
    {
        "/pd/ping",
        "/pd/health",
        "/pd/api/v1/ping",
        "/pd/api/v1/health",
        "/pd/api/v1/status",
        "/pd/api/v1/version",
        "/pd/api/v1/config",
        "/pd/api/v2/ready",
        "/standin/v1/members",
        "/metrics",
    }
)


class Server(Protocol):
    """What a handler may use of pd-server."""

    cluster: Cluster
    started: asyncio.Event
    outbound: aiohttp.ClientSession

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def serving(self) -> bool: ...
    @property
    def known_leader(self) -> Leader | None: ...


def body(data: Any, status: int = 200, content_type: str = JSON_V1) -> web.Response:
    """PD indents its JSON and ends it with a line feed; whole floats are written as integers, as Go does."""
    text = json.dumps(_go(data), indent=2, ensure_ascii=False) + "\n"
    return web.Response(body=text.encode(), status=status, headers={"Content-Type": content_type})


def plain(text: str, status: int, content_type: str = "text/plain; charset=utf-8") -> web.Response:
    return web.Response(body=text.encode(), status=status, headers={"Content-Type": content_type})


def _go(data: Any) -> Any:
    if isinstance(data, float) and data.is_integer() and abs(data) < 1e21:
        return int(data)
    if isinstance(data, dict):
        return {key: _go(value) for key, value in data.items()}
    return [_go(item) for item in data] if isinstance(data, list | tuple) else data


def input_error(text: str) -> web.Response:
    """PD's object for input that it cannot parse."""
    answer = body({"code": "input", "msg": text, "data": {}}, 400)
    answer.headers["Tidb-Error-Code"] = "input"
    return answer


def parse_id(text: str) -> int:
    """A uint64 of a path; ValueError with Go's text."""
    if not text.isascii() or not text.isdigit() or int(text) >= 1 << 64:
        kind = "value out of range" if text.isascii() and text.isdigit() else "invalid syntax"
        raise ValueError(f'strconv.ParseUint: parsing "{text}": {kind}')
    return int(text)


async def read_object(request: web.Request) -> dict[str, Any]:
    """The request's JSON object; RefusedError with Go's text for anything else."""
    raw = await request.text()
    try:
        data = json.loads(raw or "{}")
    except ValueError:
        text = "unexpected end of JSON input" if not raw.strip() else "invalid character in JSON"
        raise RefusedError(400, text) from None
    if not isinstance(data, dict):
        kinds = {str: "string", int: "number", float: "number", bool: "bool", list: "array"}
        raise RefusedError(
            400,
            f"json: cannot unmarshal {kinds.get(type(data), 'null')} into Go value of type map[string]interface {{}}",
        )
    return data


def forwarding(server: Server) -> Any:
    """The middleware before every handler: wait until started, send the leader what is its, word the errors."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Before etcd is ready nothing is answered; a member that was removed and restarted hangs here for ever.
        await server.started.wait()
        if request.match_info.http_exception is not None:
            return _not_found(request, request.match_info.http_exception.status)
        local = request.path in LOCAL and (request.method == "GET" or "/members" in request.path)
        if not local and not server.serving:
            return await _forward(server, request)
        try:
            answer = await handler(request)
            if server.serving:
                answer.headers[LEADER] = server.url
            return answer
        except RefusedError as refused:
            return body(refused.text, refused.status)
        except web.HTTPNotFound:
            return _not_found(request, 404)
        except EtcdError:
            text = "[PD:etcd:ErrEtcdKVPut]context deadline exceeded: context deadline exceeded"
            return body(text, 400 if request.path.endswith("/config") else 500)
        except LeadershipLostError:
            text = "[PD:etcd:ErrEtcdTxnConflict]etcd transaction failed, conflicted and rolled back"
            return body(text, 500)

    return middleware


def _not_found(request: web.Request, status: int) -> web.Response:
    if status == 405:
        return plain("", 405)
    if request.path.startswith("/pd/api/v2/"):
        return plain("404 page not found", 404, "text/plain")
    return plain("404 page not found\n", 404)


async def _forward(server: Server, request: web.Request) -> web.StreamResponse:
    if REDIRECTED in request.headers:
        return plain("[PD:apiutil:ErrRedirectToNotLeader]redirect to not leader\n", 500)
    leader = await _wait_for_leader(server)
    if leader is None:
        return plain("[PD:apiutil:ErrRedirectNoLeader]redirect finds no leader\n", 503)
    try:
        # No time-out: PD has none either, and a request to a frozen leader hangs until its client gives up.
        async with server.outbound.request(
            request.method,
            leader.client_url + str(request.rel_url),
            data=await request.read(),
            headers={REDIRECTED: server.name, "Content-Type": request.content_type},
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            headers = {}
            for name in ("Content-Type", "Tidb-Error-Code", LEADER):
                if name in answer.headers:
                    headers[name] = answer.headers[name]
            return web.Response(body=await answer.read(), status=answer.status, headers=headers)
    except (aiohttp.ClientError, OSError):
        return plain("[PD:apiutil:ErrRedirect]redirect failed\n", 500)


async def _wait_for_leader(server: Server) -> Leader | None:
    for _ in range(round(WAIT_FOR_LEADER / 0.1)):
        leader = server.known_leader
        if leader is not None and leader.name != server.name:
            return leader
        await asyncio.sleep(0.1)
    return None
