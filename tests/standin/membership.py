"""How a PD member starts and joins: the rules of PD's `join.go`, and the real etcd that carries them out as a child.

Precedence, as in release-8.5 `server/join/join.go`: `<data>/join` from an earlier join; else a non-empty
`<data>/member` (then --join is ignored); else ask the members, refuse if this name is listed ("missing data or join a
duplicated pd") or one has no name yet, and add this member. `--initial-cluster` of an emptied but listed member is
refused by etcd itself.

Two things PD has because etcd is inside its process, and we arrange: etcd dies with us, whatever kills us
(PR_SET_PDEATHSIG), and a removed member's HTTP port stays open.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.standin.clock import Clock
from tests.standin.etcd import Member
from tests.standin.program import StandinError, say

# Relative, because a socket's path may not exceed 108 bytes; pd-server works in its data folder.
SOCKET = "etcd.sock:0"
REMOVED_SIGNS = ("permanently removed", "must be removed", "membership: ID not found")
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class MemberFlags:
    name: str
    data_dir: Path
    client_urls: str
    advertise_client_urls: str
    peer_urls: str
    advertise_peer_urls: str
    initial_cluster: str
    join: str
    force_new_cluster: bool = False


@dataclass(frozen=True)
class Start:
    """What etcd is started with: its --initial-cluster (empty: its data folder knows) and --initial-cluster-state."""

    initial_cluster: str
    state: str


async def decide_start(
    flags: MemberFlags,
    list_members: Callable[[], Awaitable[list[Member]]],
    add_member: Callable[[], Awaitable[Member]],
) -> Start:
    """Apply the precedence above. Raises StandinError with PD's text when the member may not join."""
    if flags.join and flags.initial_cluster:
        raise StandinError("-initial-cluster and -join can not be provided at the same time")
    if not flags.join:
        own = f"{flags.name}={flags.advertise_peer_urls}"
        return Start(flags.initial_cluster or own, "new")
    if flags.join == flags.advertise_client_urls:
        raise StandinError('join meet error: "join self is forbidden"')
    earlier = flags.data_dir / "join"
    if earlier.exists():
        return Start(earlier.read_text().strip(), "existing")
    member = flags.data_dir / "member"
    if member.is_dir() and any(member.iterdir()):
        return Start("", "existing")
    listed = await list_members()
    for other in listed:
        if not other.name:
            raise _join_error(f"there is a member {other.id} that has not joined successfully")
    if any(other.name == flags.name for other in listed):
        raise _join_error("missing data or join a duplicated pd")
    added = await add_member()
    peers = [
        f"{flags.name if m.id == added.id else m.name}={url}"
        for m in await list_members()
        for url in m.peer_urls
    ]
    initial_cluster = ",".join(peers)
    earlier.write_text(initial_cluster)
    return Start(initial_cluster, "existing")


def _join_error(text: str) -> StandinError:
    return StandinError(f'join meet error: "{text}"')


class Peers:
    """The members that --join names, asked through their own door (/standin/v1/members), one after the other."""

    def __init__(self, urls: str, own_peer_urls: str) -> None:
        self._urls = [url.strip().rstrip("/") for url in urls.split(",") if url.strip()]
        self._own_peer_urls = own_peer_urls.split(",")

    async def list(self) -> list[Member]:
        listed = await self._ask("GET", None)
        return [_member(item) for item in listed] if isinstance(listed, list) else []

    async def add(self) -> Member:
        return _member(await self._ask("POST", {"peer_urls": self._own_peer_urls}))

    async def _ask(self, method: str, body: object) -> object:
        problem = "no address given"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            for url in self._urls:
                try:
                    async with session.request(
                        method, f"{url}/standin/v1/members", json=body
                    ) as answer:
                        data = json.loads(await answer.text())
                except (aiohttp.ClientError, TimeoutError, ValueError) as unreachable:
                    problem = f"{url} does not answer ({unreachable or 'timed out'})"
                    continue
                if answer.status == 200:
                    return data
                raise _join_error(str(data))
        raise _join_error(problem)


def _member(data: object) -> Member:
    if not isinstance(data, dict):
        raise _join_error(f"not a member: {data!r}")
    return Member(data["id"], data["name"], tuple(data["peer_urls"]), tuple(data["client_urls"]))


def find_etcd() -> str:
    """The etcd binary: STANDIN_ETCD, else PATH, else the checkout's pinned tools."""
    given = os.environ.get("STANDIN_ETCD") or shutil.which("etcd")
    if given:
        return given
    try:
        from ci import tools
    except ImportError:
        raise StandinError("there is no etcd: put it on PATH or name it in STANDIN_ETCD") from None
    try:
        return str(tools.path("etcd"))
    except tools.ToolError as problem:
        raise StandinError(f"there is no etcd: {problem}") from problem


def command(flags: MemberFlags, start: Start, clock: Clock, binary: str) -> list[str]:
    election = round(clock.election * 1000)
    arguments = [
        binary,
        f"--name={flags.name}",
        f"--data-dir={flags.data_dir}",
        f"--listen-client-urls=unix://{SOCKET}",
        f"--advertise-client-urls={flags.advertise_client_urls}",
        f"--listen-peer-urls={flags.peer_urls}",
        f"--initial-advertise-peer-urls={flags.advertise_peer_urls}",
        "--initial-cluster-token=pd-cluster",
        f"--initial-cluster-state={start.state}",
        f"--heartbeat-interval={max(election // 10, 100)}",
        f"--election-timeout={election}",
        "--max-request-bytes=33554432",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=5m",
        "--log-format=json",
    ]
    if start.initial_cluster:
        arguments.append(f"--initial-cluster={start.initial_cluster}")
    if flags.force_new_cluster:
        arguments.append("--force-new-cluster")
    return arguments


class EtcdChild:
    """The running etcd. `removed` says that it ended because this member is no longer in the list."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.running = asyncio.Event()
        self.running.set()
        self.removed = False
        self.last_words = "no output"
        self._process = process
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def spawn(cls, arguments: list[str], folder: Path) -> EtcdChild:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            cwd=folder,
            # A small heap suits the stand-in: four stores' records, not a cluster's.
            env=os.environ | {"GOGC": "40", "GOMEMLIMIT": "64MiB"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_die_with_parent,
        )
        return cls(process)

    async def wait(self) -> int:
        """The exit code, after its last line was read."""
        await self._reader
        return await self._process.wait()

    def terminate(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()

    async def _read(self) -> None:
        assert self._process.stderr is not None
        while line := (await self._process.stderr.readline()).decode(errors="replace").strip():
            self._hear(line)
        self.running.clear()

    def _hear(self, line: str) -> None:
        try:
            data = json.loads(line)
        except ValueError:
            data = {"level": "info", "msg": line}
        text = " ".join(str(data[part]) for part in ("msg", "error") if data.get(part))
        if any(sign in text for sign in REMOVED_SIGNS):
            self.removed = True
        if data.get("level") in ("fatal", "error", "panic") or "already in use" in text:
            self.last_words = text
        if data.get("level") not in ("info", "debug"):
            say(f"[{str(data.get('level')).upper()}] etcd: {text}")


def _die_with_parent() -> None:
    """In the child before exec: the kernel kills it when pd-server is gone, however that died."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
