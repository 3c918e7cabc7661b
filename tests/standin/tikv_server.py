"""tikv-server: an identity and rows on a disk, a registration that can be refused, heartbeats, a graceful end.

As TiKV does: a fresh disk makes a new identity before anything else; "duplicated store address" ends the process, and
the next start tries again with the same identity; a disk of another cluster is refused; SIGTERM tells PD
`is_stopping` and waits until its leaders are gone, at most `server.graceful-shutdown-timeout`. A disk that fails ends
the process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.standin.clock import Clock, DurationError, parse_duration, parse_size
from tests.standin.pd_client import PdClient, PdRefusedError, PdUnavailableError
from tests.standin.program import (
    VERSION,
    Flags,
    StandinError,
    make_folder,
    on_terminate,
    read_config,
    run,
    say,
    serve,
    setting,
    split_address,
    start,
    watch_over,
)
from tests.standin.rows import FILE, Journal, Rows, StaleBallotError

HEARTBEAT = 10.0
IDENTITY = "standin-identity.json"


def flags() -> Flags:
    parser = Flags("tikv-server")
    parser.add_argument("-A", "--addr", default="")
    parser.add_argument("--advertise-addr", default="")
    parser.add_argument("--status-addr", default="")
    parser.add_argument("--advertise-status-addr", default="")
    parser.add_argument("-s", "--data-dir", default="")
    parser.add_argument("--capacity", default="")
    parser.add_argument("--labels", default="")
    parser.add_argument("--pd", "--pd-endpoints", dest="pd", default="")
    parser.add_argument("-C", "--config", default="")
    parser.add_argument("-f", "--log-file", default="")
    parser.add_argument("-L", "--log-level", default="info")
    parser.add_argument("--config-check", action="store_true")
    return parser


@dataclass(frozen=True)
class Settings:
    addr: str
    advertise_addr: str
    status_addr: str
    advertise_status_addr: str
    data_dir: str
    pd: str
    capacity: int  # bytes; 0: the disk's own size
    labels: dict[str, str]
    shutdown_seconds: float
    max_peer_down_seconds: float


def settle(args: argparse.Namespace, config: dict[str, Any]) -> Settings:
    """Flags over the configuration file over defaults; raises StandinError that names the key and its value."""

    def pick(flag: str, key: str, default: str) -> str:
        return str(getattr(args, flag) or setting(config, key, default))

    addr = pick("addr", "server.addr", "127.0.0.1:20160")
    status_addr = pick("status_addr", "server.status-addr", "127.0.0.1:20180")
    labels = dict(setting(config, "server.labels", {}))
    for pair in filter(None, args.labels.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise StandinError(f"--labels {args.labels!r}: {pair!r} is not key=value")
        labels[key] = value
    endpoints = setting(config, "pd.endpoints", [])
    capacity = pick("capacity", "raftstore.capacity", "0")
    try:
        capacity_bytes = parse_size(capacity)
    except ValueError as problem:
        raise StandinError(f"raftstore.capacity (--capacity): {problem}") from problem
    return Settings(
        addr=addr,
        advertise_addr=pick("advertise_addr", "server.advertise-addr", addr),
        status_addr=status_addr,
        advertise_status_addr=pick(
            "advertise_status_addr", "server.advertise-status-addr", status_addr
        ),
        data_dir=pick("data_dir", "storage.data-dir", "./"),
        pd=args.pd or ",".join(endpoints),
        capacity=capacity_bytes,
        labels=labels,
        shutdown_seconds=_duration(config, "server.graceful-shutdown-timeout", "20s"),
        max_peer_down_seconds=_duration(config, "raftstore.max-peer-down-duration", "10m"),
    )


def _duration(config: dict[str, Any], key: str, default: str) -> float:
    try:
        return parse_duration(str(setting(config, key, default)))
    except DurationError as problem:
        raise StandinError(f"{key} in the configuration file: {problem}") from problem


class Tikv:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.folder = make_folder(settings.data_dir, "--data-dir")
        self.pd = PdClient(settings.pd)
        self.store_id = 0
        self.leaders = 0
        self._stopping = asyncio.Event()
        self._disk_failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._began = int(time.time())
        try:
            rows = Rows(self.folder / FILE)
        except sqlite3.Error as problem:
            raise StandinError(f"--data-dir {settings.data_dir}: {FILE}: {problem}") from problem
        self._journal = Journal(rows, self._fail)

    def _fail(self, problem: str) -> None:
        if not self._disk_failed.done():
            self._disk_failed.set_exception(StandinError(f"the disk fails: {problem}"))

    async def run(self) -> int:
        runners = []
        on_terminate(self._stopping.set)
        try:
            await self._identify()
            runners.append(await serve(self._data_app(), self.settings.addr, "--addr"))
            runners.append(
                await serve(self._status_app(), self.settings.status_addr, "--status-addr")
            )
            await self._register()
            say(f"[INFO] tikv-server: store {self.store_id} is at {self.settings.advertise_addr}")
            await watch_over(self._beat(), self._end(), self._watch_disk())
        finally:
            for runner in runners:
                await runner.cleanup()
            self._journal.close()
            await self.pd.close()
        return 0

    async def _watch_disk(self) -> None:
        await self._disk_failed

    # -- identity and registration -------------------------------------------

    async def _identify(self) -> None:
        """Read the identity of the disk, or make one and have it on the disk before anybody hears of it."""
        cluster_id = (await self._patiently("GET", "cluster"))["cluster_id"]
        path = self.folder / IDENTITY
        if path.exists():
            known = json.loads(path.read_text())
            if known["cluster_id"] != cluster_id:
                raise StandinError(
                    f"cluster ID mismatch, local {known['cluster_id']} != remote {cluster_id}, you are trying "
                    f"to connect to another cluster, please reconnect to the correct PD"
                )
            self.store_id = known["store_id"]
            return
        self.store_id = (await self._patiently("POST", "ids"))["id"]
        write_durably(path, json.dumps({"cluster_id": cluster_id, "store_id": self.store_id}))

    async def _register(self) -> None:
        cluster = await self._patiently("GET", "cluster")
        record = {
            "id": self.store_id,
            "address": self.settings.advertise_addr,
            "peer_address": self.settings.advertise_addr,
            "status_address": self.settings.advertise_status_addr,
            "version": VERSION,
            "labels": self.settings.labels,
            "start_timestamp": self._began,
        }
        try:
            if not cluster["bootstrapped"] and self.settings.labels.get("engine") != "tiflash":
                await self._patiently("POST", "bootstrap", record)
            await self._patiently("POST", "store", record)
        except PdRefusedError as refused:
            raise StandinError(
                f'failed to start node: Grpc(RpcFailure(RpcStatus {{ code: 2-{refused.name}, message: "{refused}" }}))'
            ) from refused

    async def _patiently(self, method: str, path: str, body: Any = None) -> Any:
        """Ask PD until it answers; SIGTERM meanwhile ends the program."""
        asking = asyncio.ensure_future(self.pd.insist(method, path, body))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([asking, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise StandinError("stopped while it waited for PD")
            return asking.result()
        finally:
            asking.cancel()
            stopping.cancel()

    # -- the life of a store -------------------------------------------------

    async def _beat(self) -> None:
        while True:
            try:
                await self._heartbeat()
            except PdRefusedError as refused:
                say(f"[ERROR] tikv-server: store heartbeat failed: {refused}")
            except PdUnavailableError as problem:
                say(f"[WARN] tikv-server: store heartbeat failed: {problem}")
            await asyncio.sleep(self.clock.wait(HEARTBEAT))

    async def _heartbeat(self) -> None:
        sizes = await self._journal.do(lambda rows: rows.sizes())
        usage = shutil.disk_usage(self.folder)
        used = sum(sizes.values())
        capacity = self.settings.capacity or usage.total
        answer = await self.pd.call(
            "POST",
            "heartbeat",
            {
                "store_id": self.store_id,
                "stats": {
                    "capacity": capacity,
                    "available": min(usage.free, max(0, capacity - used)),
                    "used_size": used,
                    "is_stopping": self._stopping.is_set(),
                    "max_peer_down_seconds": self.settings.max_peer_down_seconds,
                },
                "regions": {str(k): v for k, v in sizes.items()},
            },
        )
        self.leaders = answer["leaders"]
        for region, ballot in answer["drop"]:
            await self._journal.do(partial(Rows.drop, region=region, ballot=ballot))

    async def _end(self) -> None:
        """After SIGTERM: report it at once, wait until no leader is left or the time-out is over."""
        await self._stopping.wait()
        until = time.monotonic() + self.clock.wait(self.settings.shutdown_seconds)
        while time.monotonic() < until:
            try:
                await self._heartbeat()
            except (PdRefusedError, PdUnavailableError) as problem:
                say(f"[WARN] tikv-server: stopping, and PD does not answer: {problem}")
            if not self.leaders:
                break
            await asyncio.sleep(min(0.2, self.clock.wait(1.0)))
        say(f"[INFO] tikv-server: store {self.store_id} stops with {self.leaders} leaders")

    # -- doors ---------------------------------------------------------------

    def _data_app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 28)
        app.add_routes(
            [
                web.post("/standin/v1/kv", self._kv),
                web.post("/standin/v1/seal", self._seal),
                web.post("/standin/v1/install", self._install),
            ]
        )
        return app

    def _status_app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.get("/status", self._status), web.get("/metrics", self._metrics)])
        return app

    async def _status(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _metrics(self, _: web.Request) -> web.Response:
        text = (
            "# TYPE tikv_raftstore_region_count gauge\n"
            f'tikv_raftstore_region_count{{type="leader"}} {self.leaders}\n'
        )
        return web.Response(text=text)

    async def _given(self, request: web.Request) -> dict[str, Any]:
        """The request's JSON, if it is for this store: another identity may answer at an address that was another's."""
        given: dict[str, Any] = await request.json(loads=json.loads)
        if given["store_id"] != self.store_id:
            raise web.HTTPConflict(
                text=f"store not match: request for {given['store_id']}, this is {self.store_id}"
            )
        return given

    async def _kv(self, request: web.Request) -> web.Response:
        """`{store_id, ops: [...]}` → one answer an operation: `{"ok": ...}`, or `{"stale": true}` for an old ballot."""
        given = await self._given(request)

        def work(rows: Rows) -> list[dict[str, Any]]:
            answers: list[dict[str, Any]] = []
            for op in given["ops"]:
                try:
                    answers.append({"ok": rows.operate(op)})
                except StaleBallotError:
                    answers.append({"stale": True})
            return answers

        return web.json_response(await self._journal.do(work))

    async def _seal(self, request: web.Request) -> web.Response:
        given = await self._given(request)
        try:
            rows = await self._journal.do(lambda r: r.seal(given["region"], given["ballot"]))
        except StaleBallotError:
            raise web.HTTPConflict(text="a higher ballot was promised") from None
        return web.json_response({"rows": rows})

    async def _install(self, request: web.Request) -> web.Response:
        given = await self._given(request)
        try:
            await self._journal.do(
                lambda r: r.install(given["region"], given["ballot"], given["rows"])
            )
        except StaleBallotError:
            raise web.HTTPConflict(text="a higher ballot was promised") from None
        return web.json_response({})


def write_durably(path: Path, text: str) -> None:
    """Written, fsynced, renamed into place, the folder fsynced: after a crash the file is whole or absent."""
    draft = path.with_suffix(".tmp")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def _main(argv: Sequence[str] | None) -> int:
    args, clock = start(flags(), argv)
    settings = settle(args, read_config(args.config))
    split_address(settings.addr, "--addr")
    split_address(settings.status_addr, "--status-addr")
    if args.config_check:
        print("config check successful")
        return 0
    return await Tikv(settings, clock).run()


def main(argv: Sequence[str] | None = None) -> int:
    return run("tikv-server", _main(argv))


if __name__ == "__main__":
    sys.exit(main())
