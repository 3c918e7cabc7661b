"""tidb-server: the MySQL protocol (mysql-mimic) on 4000 and /status on 10080, in front of the register.

As TiDB: nothing listens before PD has a bootstrapped cluster and the regions answer; `initialize-sql-file` runs once
in the cluster's life; on SIGTERM /status turns 500, and the process waits `graceful-wait-before-shutdown` seconds
before it closes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from mysql_mimic.control import LocalControl
from mysql_mimic.server import MysqlServer

from tests.standin.pd_client import PdClient, PdRefusedError
from tests.standin.program import (
    Flags,
    StandinError,
    cannot_listen,
    on_terminate,
    read_config,
    run,
    say,
    serve,
    setting,
    start,
)
from tests.standin.register import Register, UnavailableError
from tests.standin.sql import SERVER_VERSION, KvSession, Users


def flags() -> Flags:
    parser = Flags("tidb-server")
    # Go's flag package takes one dash as well as two.
    for name, default in (
        ("store", ""),
        ("path", ""),
        ("host", ""),
        ("status-host", ""),
        ("advertise-address", ""),
        ("config", ""),
        ("log-file", ""),
        ("log-slow-query", ""),
        ("socket", ""),
        ("temp-dir", ""),
        ("initialize-sql-file", ""),
        ("keyspace-name", ""),
        ("lease", ""),
        ("run-ddl", ""),
        ("tidb-service-scope", ""),
    ):
        parser.add_argument(f"--{name}", f"-{name}", default=default)
    parser.add_argument("-P", default="")
    parser.add_argument("--status", "-status", default="")
    parser.add_argument("-L", default="info")
    for name in ("config-check", "config-strict", "initialize-insecure", "initialize-secure"):
        parser.add_argument(f"--{name}", f"-{name}", action="store_true")
    return parser


@dataclass(frozen=True)
class Settings:
    host: str
    port: int
    status_host: str
    status_port: int
    path: str
    sql_file: str
    wait_seconds: float


def settle(args: argparse.Namespace, config: dict[str, Any]) -> Settings:
    """Flags over the configuration file over defaults; raises StandinError that names the key and its value."""
    store = args.store or setting(config, "store", "tikv")
    if store != "tikv":
        raise StandinError(f"--store {store!r}: this stand-in knows tikv only")

    def port(given: str, flag: str, key: str, default: int) -> int:
        text = str(given or setting(config, key, default))
        if not text.isdigit() or not 0 < int(text) < 65536:
            raise StandinError(f"{flag} {text!r} is no port")
        return int(text)

    return Settings(
        host=args.host or setting(config, "host", "0.0.0.0"),
        port=port(args.P, "-P", "port", 4000),
        status_host=args.status_host or setting(config, "status.status-host", "0.0.0.0"),
        status_port=port(args.status, "--status", "status.status-port", 10080),
        path=(args.path or setting(config, "path", "127.0.0.1:2379")).split("?")[0],
        sql_file=args.initialize_sql_file or setting(config, "initialize-sql-file", ""),
        wait_seconds=float(setting(config, "graceful-wait-before-shutdown", 0)),
    )


class Connections(LocalControl):
    @property
    def count(self) -> int:
        return len(self._connections)


class Tidb:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pd = PdClient(settings.path)
        self._register = Register(self._pd)
        self._users = Users(self._register)
        self._stopping = asyncio.Event()
        self._connections = Connections()
        self._server = MysqlServer(
            session_factory=lambda: KvSession(self._register, self._users),
            identity_provider=self._users,
            control=self._connections,
        )

    async def run(self) -> int:
        on_terminate(self._stopping.set)
        stopped = asyncio.ensure_future(self._stopping.wait())
        starting = asyncio.ensure_future(self._start())
        runner: web.AppRunner | None = None
        try:
            await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return 0
            runner = starting.result()
            say("[INFO] tidb-server: ready")
            await stopped
            await asyncio.sleep(self._settings.wait_seconds)
        finally:
            starting.cancel()
            stopped.cancel()
            self._server.close()
            if runner is not None:
                await runner.cleanup()
            await self._register.close()
            await self._pd.close()
        return 0

    async def _start(self) -> web.AppRunner:
        await self._wait_for_regions()
        await self._bootstrap()
        settings = self._settings
        try:
            await self._server.start_server(host=settings.host, port=settings.port)
        except OSError as problem:
            raise cannot_listen(f"-P {settings.port}", problem) from problem
        app = web.Application()
        app.add_routes([web.get("/status", self._status), web.get("/metrics", self._metrics)])
        return await serve(app, f"{settings.status_host}:{settings.status_port}", "--status")

    async def _wait_for_regions(self) -> None:
        """Until a majority of every region's peers answers."""
        while True:
            await self._pd.insist("GET", "cluster")
            try:
                await self._register.scan()
            except UnavailableError as problem:
                say(f"[WARN] tidb-server: waits for regions: {problem}")
                continue
            if self._register.has_routes:
                return
            await asyncio.sleep(0.2)

    async def _bootstrap(self) -> None:
        try:
            first = (await self._pd.insist("POST", "once/tidb-bootstrap"))["first"]
        except PdRefusedError as refused:
            raise StandinError(f"bootstrap: {refused}") from refused
        if first and self._settings.sql_file:
            await self._run_file(self._settings.sql_file)

    async def _run_file(self, path: str) -> None:
        try:
            text = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as problem:
            raise StandinError(f"cannot read initialize-sql-file {path}: {problem}") from problem
        session = KvSession(self._register, self._users)
        for statement in filter(None, (part.strip() for part in text.split(";"))):
            try:
                await session.handle_query(statement, {})
            except Exception as problem:  # noqa: BLE001 - TiDB logs each that fails and goes on
                say(f"[ERROR] tidb-server: initialize-sql-file: {statement!r}: {problem}")

    async def _status(self, _: web.Request) -> web.Response:
        if self._stopping.is_set():
            return web.Response(status=500)
        return web.json_response(
            {"connections": self._connections.count, "version": SERVER_VERSION, "git_hash": "None"}
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            text=f"# TYPE tidb_server_connections gauge\ntidb_server_connections {self._connections.count}\n"
        )


async def _main(argv: Sequence[str] | None) -> int:
    args, _ = start(flags(), argv)
    settings = settle(args, read_config(args.config))
    if args.config_check:
        print("config check successful")
        return 0
    return await Tidb(settings).run()


def main(argv: Sequence[str] | None = None) -> int:
    return run("tidb-server", _main(argv))


if __name__ == "__main__":
    sys.exit(main())
