"""The few etcd calls that a PD needs, over the JSON gateway that etcd itself serves (no client library for asyncio is
kept).

Keys and values are text; every call raises EtcdError with etcd's own message ("etcdserver: unhealthy cluster").
Source of the shapes: etcd's `api/etcdserverpb/rpc.proto` and its gateway documentation.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import Any

import aiohttp

JsonObject = dict[str, Any]


class EtcdError(Exception):
    """etcd refused, or did not answer within the time-out ("context deadline exceeded")."""


@dataclass(frozen=True)
class Member:
    """A member of the etcd cluster; one that was added and never came up has no name and no client URLs."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    cluster_id: int
    member_id: int
    leader: int  # 0: none


class Etcd:
    """A client of the etcd behind `connector` (the member's own child, on a Unix socket)."""

    def __init__(self, socket: str) -> None:
        self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=socket))

    async def close(self) -> None:
        await self._session.close()

    async def call(self, path: str, body: JsonObject, seconds: float = 5.0) -> JsonObject:
        """POST /v3/{path}; int64 values travel as text in both directions."""
        try:
            async with self._session.post(
                f"http://etcd/v3/{path}", json=body, timeout=aiohttp.ClientTimeout(total=seconds)
            ) as answer:
                data = json.loads(await answer.text())
        except TimeoutError:
            raise EtcdError("context deadline exceeded") from None
        except (aiohttp.ClientError, ValueError, OSError) as problem:
            raise EtcdError(f"etcd does not answer: {problem}") from problem
        if answer.status != 200 or "error" in data:
            raise EtcdError(str(data.get("message") or data.get("error") or data))
        result: JsonObject = data.get("result", data)
        return result

    async def status(self, seconds: float = 2.0) -> Status:
        data = await self.call("maintenance/status", {}, seconds)
        header = data["header"]
        return Status(
            int(header["cluster_id"]), int(header["member_id"]), int(data.get("leader", 0))
        )

    async def members(self, *, linearizable: bool = False) -> list[Member]:
        """By id, as PD lists them. Not linearizable: a follower without quorum still knows its last list."""
        data = await self.call("cluster/member/list", {"linearizable": linearizable})
        return sorted((_member(m) for m in data.get("members", [])), key=lambda m: m.id)

    async def add_member(self, peer_urls: list[str]) -> Member:
        data = await self.call("cluster/member/add", {"peerURLs": peer_urls}, 10)
        return _member(data["member"])

    async def remove_member(self, member_id: int) -> None:
        await self.call("cluster/member/remove", {"ID": str(member_id)}, 10)

    async def move_leader(self, member_id: int) -> None:
        await self.call("maintenance/transfer-leadership", {"targetID": str(member_id)}, 10)

    async def grant(self, seconds: int) -> str:
        return str((await self.call("lease/grant", {"TTL": str(seconds)}))["ID"])

    async def keep_alive(self, lease: str, seconds: float) -> bool:
        """Whether the lease lives; False when it has expired."""
        data = await self.call("lease/keepalive", {"ID": lease}, seconds)
        return int(data.get("TTL", 0)) > 0

    async def revoke(self, lease: str) -> None:
        await self.call("lease/revoke", {"ID": lease}, 2)

    async def get(self, key: str, seconds: float = 5.0) -> tuple[str, int] | None:
        """The value and its create revision, by a linearizable read: without quorum this times out."""
        data = await self.call("kv/range", {"key": _b64(key)}, seconds)
        return next(
            ((_text(kv["value"]), int(kv["create_revision"])) for kv in data.get("kvs", [])), None
        )

    async def range(self, prefix: str) -> dict[str, str]:
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        data = await self.call("kv/range", {"key": _b64(prefix), "range_end": _b64(end)}, 10)
        return {_text(kv["key"]): _text(kv.get("value", "")) for kv in data.get("kvs", [])}

    async def put(self, key: str, value: str, seconds: float = 5.0) -> None:
        await self.call("kv/put", {"key": _b64(key), "value": _b64(value)}, seconds)

    async def delete(self, key: str) -> None:
        await self.call("kv/deleterange", {"key": _b64(key)})

    async def create(self, key: str, value: str, lease: str | None = None) -> int | None:
        """The create revision if the key was not there; None if it was."""
        put: JsonObject = {"key": _b64(key), "value": _b64(value)}
        data = await self.call(
            "kv/txn",
            {
                "compare": [{"key": _b64(key), "target": "CREATE", "createRevision": "0"}],
                "success": [{"requestPut": put | ({"lease": lease} if lease else {})}],
            },
        )
        return int(data["header"]["revision"]) if data.get("succeeded") else None

    async def write(
        self,
        guard: tuple[str, int],
        puts: dict[str, str],
        deletes: list[str],
        seconds: float = 10.0,
    ) -> bool:
        """All of it if the guard key still has that create revision (the writer still leads PD), else nothing."""
        operations: list[JsonObject] = [
            {"requestPut": {"key": _b64(k), "value": _b64(v)}} for k, v in puts.items()
        ]
        operations += [{"requestDeleteRange": {"key": _b64(k)}} for k in deletes]
        key, revision = guard
        data = await self.call(
            "kv/txn",
            {
                "compare": [
                    {"key": _b64(key), "target": "CREATE", "createRevision": str(revision)}
                ],
                "success": operations,
            },
            seconds,
        )
        return bool(data.get("succeeded"))


async def wait_until_ready(etcd: Etcd, running: asyncio.Event) -> Status:
    """Wait, as long as it takes, until the member is up and knows a leader; stops when `running` is cleared."""
    while running.is_set():
        try:
            status = await etcd.status()
            if status.leader:
                return status
        except EtcdError:
            pass
        await asyncio.sleep(0.05)
    raise EtcdError("etcd has stopped")


def _member(data: JsonObject) -> Member:
    return Member(
        int(data["ID"]),
        data.get("name", ""),
        tuple(data.get("peerURLs", [])),
        tuple(data.get("clientURLs", [])),
    )


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _text(data: str) -> str:
    return base64.b64decode(data).decode()
