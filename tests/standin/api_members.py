"""PD's members: /members, /health, /leader, /ready and the rest that is about PD itself."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from tests.standin.answers import JSON_V2, body, parse_id, read_object
from tests.standin.cluster import PREFIX
from tests.standin.etcd import EtcdError, Member
from tests.standin.program import VERSION
from tests.standin.stores import RefusedError

if TYPE_CHECKING:
    from tests.standin.pd_server import Pd

PING_SECONDS = 3.0  # for each member of /health, measured
TRANSFER_SECONDS = 5.0
# A nameless member was deleted: the first join within this time fails, as captured, and the next one works.
HALF_JOINED_SECONDS = 20.0
HALF_JOINED = PREFIX + "half-joined-deleted"


def routes(pd: Pd) -> list[web.RouteDef]:
    members = Members(pd)
    v1 = "/pd/api/v1"
    return [
        web.get("/pd/ping", members.ping),
        web.get(f"{v1}/ping", members.ping),
        web.get("/pd/health", members.health),
        web.get(f"{v1}/health", members.health),
        web.get(f"{v1}/status", members.status),
        web.get(f"{v1}/version", members.version),
        web.get("/pd/api/v2/ready", members.ready),
        web.get(f"{v1}/members", members.list_members),
        web.delete(f"{v1}/members/name/{{name}}", members.delete_by_name),
        web.delete(f"{v1}/members/id/{{id}}", members.delete_by_id),
        web.post(f"{v1}/members/name/{{name}}", members.set_priority),
        web.get(f"{v1}/leader", members.leader),
        web.post(f"{v1}/leader/resign", members.resign),
        web.post(f"{v1}/leader/transfer/{{name}}", members.transfer),
        web.get("/standin/v1/members", members.door_list),
        web.post("/standin/v1/members", members.door_add),
    ]


class Members:
    def __init__(self, pd: Pd) -> None:
        self._pd = pd
        self._start = int(time.time())

    async def ping(self, _: web.Request) -> web.Response:
        return web.Response()

    async def status(self, _: web.Request) -> web.Response:
        return body(
            {
                "build_ts": "None",
                "version": f"v{VERSION}",
                "git_hash": "None",
                "start_timestamp": self._start,
            }
        )

    async def version(self, _: web.Request) -> web.Response:
        return body({"version": f"v{VERSION}", "build_time": "", "hash": "", "branch": ""})

    async def ready(self, request: web.Request) -> web.Response:
        """500 from a leader whose cluster is not bootstrapped; followers are ready at once."""
        loaded = not self._pd.serving or bool(self._pd.cluster.bootstrapped_at)
        status = 200 if loaded else 500
        if "verbose" in request.query:
            return body({"region_loaded": loaded}, status, JSON_V2)
        return web.Response(status=status)

    async def health(self, _: web.Request) -> web.Response:
        """Every member is pinged; no quorum is needed, so this proves nothing about service."""
        listed = await self._listed()
        healthy = await asyncio.gather(*(self._answers(m) for m in listed))
        return body(
            [
                {
                    "name": m.name,
                    "member_id": m.id,
                    "client_urls": list(m.client_urls) or None,
                    "health": well,
                }
                for m, well in zip(listed, healthy, strict=True)
            ]
        )

    async def _listed(self) -> list[Member]:
        """The members by the own etcd, or, once it is gone with this member's removal, by the leader's."""
        try:
            return await self._pd.etcd.members()
        except EtcdError:
            leader = self._pd.known_leader
            if leader is None:
                raise
            url = f"{leader.client_url}/standin/v1/members"
            async with self._pd.outbound.get(url, timeout=_seconds(PING_SECONDS)) as answer:
                return [
                    Member(m["id"], m["name"], tuple(m["peer_urls"]), tuple(m["client_urls"]))
                    for m in await answer.json()
                ]

    async def _answers(self, member: Member) -> bool:
        if member.name == self._pd.name:
            return True
        for url in member.client_urls:
            try:
                async with self._pd.outbound.get(
                    f"{url}/pd/api/v1/ping", timeout=_seconds(PING_SECONDS)
                ) as answer:
                    if answer.status == 200:
                        return True
            except (aiohttp.ClientError, TimeoutError, OSError):
                continue
        return False

    async def list_members(self, _: web.Request) -> web.Response:
        listed = await self._pd.etcd.members()
        priorities = await self._pd.etcd.range("/pd/priority/")
        entries = {m.id: _entry(m, priorities.get(f"/pd/priority/{m.name}")) for m in listed}
        status = await self._pd.etcd.status()
        answer: dict[str, Any] = {
            "header": {"cluster_id": self._pd.cluster_id},
            "members": list(entries.values()),
        }
        for key, member_id in (("leader", self._pd.member_id), ("etcd_leader", status.leader)):
            if member_id in entries:
                answer[key] = entries[member_id]
        return body(answer)

    async def leader(self, _: web.Request) -> web.Response:
        own = next((m for m in await self._own_list() if m.id == self._pd.member_id), None)
        if own is None:
            raise RefusedError(500, "[PD:server:ErrLeaderNil]leader is nil")
        return body(
            {
                "name": own.name,
                "member_id": own.id,
                "peer_urls": list(own.peer_urls),
                "client_urls": list(own.client_urls),
            }
        )

    async def _own_list(self) -> list[Member]:
        return await self._pd.etcd.members()

    async def delete_by_name(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        member = next((m for m in await self._pd.etcd.members() if m.name == name), None)
        if member is None:
            raise RefusedError(404, f"not found, pd: {name}")
        await self._remove(member.id)
        return body(f"removed, pd: {name}")

    async def delete_by_id(self, request: web.Request) -> web.Response:
        try:
            member_id = parse_id(request.match_info["id"])
        except ValueError as problem:
            raise RefusedError(400, str(problem)) from problem
        nameless = any(m.id == member_id and not m.name for m in await self._pd.etcd.members())
        await self._remove(member_id)
        if nameless:
            await self._pd.etcd.put(HALF_JOINED, str(time.time()))
        return body(f"removed, pd: {member_id}")

    async def _remove(self, member_id: int) -> None:
        try:
            await self._pd.etcd.remove_member(member_id)
        except EtcdError as problem:
            text = f"[PD:etcd:ErrEtcdMemberRemove]{problem}: {problem}"
            raise RefusedError(500, text) from problem

    async def set_priority(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if all(m.name != name for m in await self._pd.etcd.members()):
            raise RefusedError(404, f"not found, pd: {name}")
        value = (await read_object(request)).get("leader-priority")
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise RefusedError(400, f"bad format leader-priority: {value}")
        await self._pd.etcd.put(f"/pd/priority/{name}", str(int(value)))
        return body("success")

    async def resign(self, _: web.Request) -> web.Response:
        others = [m for m in await self._pd.etcd.members() if m.id != self._pd.member_id and m.name]
        alive = [m for m in others if await self._answers(m)]
        if not alive:
            raise RefusedError(500, "no valid pd to transfer etcd leader")
        await self._move_to(alive[0])
        return body("The resign command is submitted.")

    async def transfer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        member = next((m for m in await self._pd.etcd.members() if m.name == name), None)
        if member is None:
            raise RefusedError(500, "no valid pd to transfer etcd leader")
        if member.id != self._pd.member_id:
            await self._move_to(member)
        return body("The transfer command is submitted.")

    async def _move_to(self, member: Member) -> None:
        """Returns when the new leader serves, as PD does, or after TRANSFER_SECONDS."""
        try:
            await self._pd.etcd.move_leader(member.id)
        except EtcdError as problem:
            raise RefusedError(500, f"[PD:etcd:ErrEtcdMoveLeader]{problem}: {problem}") from problem
        until = time.monotonic() + TRANSFER_SECONDS
        while time.monotonic() < until:
            known = self._pd.known_leader
            if known is not None and known.member_id != self._pd.member_id:
                return
            await asyncio.sleep(0.02)

    # -- the door for members that join --------------------------------------

    async def door_list(self, _: web.Request) -> web.Response:
        return body([_plain(m) for m in await self._pd.etcd.members()])

    async def door_add(self, request: web.Request) -> web.Response:
        deleted = await self._pd.etcd.get(HALF_JOINED)
        if deleted:
            await self._pd.etcd.delete(HALF_JOINED)
            if time.time() - float(deleted[0]) < HALF_JOINED_SECONDS:
                return body("etcdserver: member not found", 500)
        urls = (await read_object(request)).get("peer_urls")
        try:
            return body(_plain(await self._pd.etcd.add_member(urls or [])))
        except EtcdError as problem:
            return body(str(problem), 500)


def _entry(member: Member, priority: str | None) -> dict[str, Any]:
    """One member of /members; one that never came up has neither name nor client URLs."""
    entry: dict[str, Any] = {"name": member.name} if member.name else {}
    entry |= {"member_id": member.id, "peer_urls": list(member.peer_urls)}
    if member.name:
        entry |= {
            "client_urls": list(member.client_urls),
            "deploy_path": "/",
            "binary_version": f"v{VERSION}",
            "git_hash": "None",
        }
    if priority and int(priority):
        entry["leader_priority"] = int(priority)
    return entry


def _plain(member: Member) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(member.__dict__))
    return data


def _seconds(total: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total)
