"""pd-server: a real etcd for membership and memory, PD's HTTP API on top. See the package's docstring."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
from aiohttp import web

from tests.standin import api_config, api_members, api_stores, door, membership
from tests.standin.answers import forwarding
from tests.standin.clock import Clock
from tests.standin.clockwork import Clockwork
from tests.standin.cluster import Cluster
from tests.standin.config import DEFAULTS, file_changes
from tests.standin.etcd import Etcd, EtcdError, wait_until_ready
from tests.standin.leadership import Leader, Leadership
from tests.standin.membership import EtcdChild, MemberFlags
from tests.standin.program import (
    Flags,
    StandinError,
    make_folder,
    on_terminate,
    read_config,
    run,
    say,
    serve,
    start,
    watch_over,
)
from tests.standin.stores import RefusedError

CLUSTER_ID_KEY = "/pd/cluster_id"


def flags() -> Flags:
    parser = Flags("pd-server")
    for name, default in (
        ("--name", ""),
        ("--data-dir", ""),
        ("--client-urls", "http://127.0.0.1:2379"),
        ("--advertise-client-urls", ""),
        ("--peer-urls", "http://127.0.0.1:2380"),
        ("--advertise-peer-urls", ""),
        ("--initial-cluster", ""),
        ("--join", ""),
        ("--config", ""),
        ("--log-file", ""),
        ("--metrics-addr", ""),
        ("--cacert", ""),
        ("--cert", ""),
        ("--key", ""),
    ):
        parser.add_argument(name, default=default)
    parser.add_argument("-L", "--log-level", default="info")
    parser.add_argument("--force-new-cluster", action="store_true")
    parser.add_argument("--config-check", action="store_true")
    return parser


class Pd:
    """One member: its child etcd, its view of the leader, and the cluster while it leads."""

    def __init__(
        self, given: MemberFlags, tables: dict[str, Any], clock: Clock, log_file: str
    ) -> None:
        self._log_file = log_file
        self.given = given
        self.name = given.name
        self.started = asyncio.Event()
        self.outbound = aiohttp.ClientSession()
        self.etcd = Etcd(membership.SOCKET)
        self.member_id = 0
        self.cluster_id = 0
        self.leadership: Leadership | None = None
        self.cluster = Cluster(self.etcd, clock, self._guard)
        self.clockwork = Clockwork(self.cluster)
        self._first_config = file_changes(tables)
        self._clock = clock
        self._term = asyncio.Event()

    @property
    def url(self) -> str:
        return self.given.advertise_client_urls.split(",")[0]

    @property
    def serving(self) -> bool:
        return self.leadership is not None and self.leadership.serving

    @property
    def known_leader(self) -> Leader | None:
        return self.leadership.known if self.leadership else None

    @property
    def own_config(self) -> dict[str, Any]:
        """What /config says of the member itself."""
        return {
            "client-urls": self.given.client_urls,
            "peer-urls": self.given.peer_urls,
            "advertise-client-urls": self.given.advertise_client_urls,
            "advertise-peer-urls": self.given.advertise_peer_urls,
            "name": self.name,
            "data-dir": str(self.given.data_dir),
            "force-new-cluster": self.given.force_new_cluster,
            "initial-cluster": self.given.initial_cluster,
            "initial-cluster-state": "new",
            "log": DEFAULTS["log"]
            | {"file": DEFAULTS["log"]["file"] | {"filename": self._log_file}},
            "metric": DEFAULTS["metric"] | {"job": self.name},
            "join": self.given.join,
        }

    def app(self) -> web.Application:
        app = web.Application(middlewares=[forwarding(self)], client_max_size=1 << 28)
        for part in (api_members, api_stores, api_config, door):
            app.add_routes(part.routes(self))
        return app

    async def run(self) -> int:
        runner: web.AppRunner | None = None
        child: EtcdChild | None = None
        stop = asyncio.Event()
        on_terminate(stop.set)
        try:
            peers = membership.Peers(self.given.join, self.given.advertise_peer_urls)
            how = await membership.decide_start(self.given, peers.list, peers.add)
            binary = membership.find_etcd()
            runner = await serve(self.app(), self.given.client_urls.split(",")[0], "--client-urls")
            arguments = membership.command(self.given, how, self._clock, binary)
            child = await EtcdChild.spawn(arguments, self.given.data_dir)
            await watch_over(self._live(child), self._end_with(child), _until(stop))
        finally:
            if self.serving and self.leadership is not None:
                await self.leadership.resign()
            if child is not None:
                child.terminate()
            if runner is not None:
                await runner.cleanup()
            await self.clockwork.mover.close()
            await self.outbound.close()
            await self.etcd.close()
        return 0

    async def _live(self, child: EtcdChild) -> None:
        try:
            status = await wait_until_ready(self.etcd, child.running)
            self.member_id = status.member_id
            self.cluster_id = await self._find_cluster_id(child)
        except EtcdError:
            # etcd ended before it was ready: `_end_with` tells why, or this member hangs, as a removed one does.
            await asyncio.Event().wait()
        own = Leader(self.name, self.member_id, self.url)
        self.leadership = Leadership(self.etcd, own, self._clock, self._take_office)
        self.started.set()
        await watch_over(self.leadership.run(), self.clockwork.run(self._term), self._follow_term())

    async def _find_cluster_id(self, child: EtcdChild) -> int:
        """PD's own id of the cluster: the time of its birth and a random part; the first member to come writes it."""
        born = str((int(time.time()) << 32) + random.getrandbits(32))
        while child.running.is_set():
            try:
                await self.etcd.create(CLUSTER_ID_KEY, born)
                found = await self.etcd.get(CLUSTER_ID_KEY)
                if found:
                    return int(found[0])
            except EtcdError:
                await asyncio.sleep(0.1)
        raise EtcdError("etcd has stopped")

    async def _take_office(self) -> None:
        assert self.leadership is not None
        await self.cluster.load(followed=self.leadership.followed)
        if self._first_config and not self.cluster.config.changed:
            self.cluster.config.changed = dict(self._first_config)

    async def _follow_term(self) -> None:
        """Let the clockwork turn exactly while this member serves."""
        while True:
            if self.serving:
                self._term.set()
            else:
                self._term.clear()
            await asyncio.sleep(0.05)

    async def _end_with(self, child: EtcdChild) -> None:
        """etcd's end is ours, unless it ended because this member was removed: then PD's process stays."""
        code = await child.wait()
        if not child.removed:
            raise StandinError(f"etcd has ended with {code}: {child.last_words}")
        say("[WARN] pd-server: data-dir used by this member must be removed")
        await asyncio.Event().wait()

    def _guard(self) -> tuple[str, int]:
        assert self.leadership is not None
        return self.leadership.guard


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


async def _main(argv: Sequence[str] | None) -> int:
    args, clock = start(flags(), argv)
    tables = read_config(args.config)
    try:
        file_changes(tables)
    except RefusedError as refused:
        raise StandinError(f"--config {args.config}: {refused.text}") from refused
    door.region_count()
    name = args.name or tables.get("name") or f"pd-{os.uname().nodename}"
    folder = make_folder(args.data_dir or tables.get("data-dir") or f"default.{name}", "--data-dir")
    if args.config_check:
        print("config check successful")
        return 0
    given = MemberFlags(
        name=name,
        data_dir=folder,
        client_urls=args.client_urls,
        advertise_client_urls=args.advertise_client_urls or args.client_urls,
        peer_urls=args.peer_urls,
        advertise_peer_urls=args.advertise_peer_urls or args.peer_urls,
        initial_cluster=args.initial_cluster,
        join=args.join,
        force_new_cluster=args.force_new_cluster,
    )
    os.chdir(folder)  # etcd's socket is named relative to it
    return await Pd(given, tables, clock, args.log_file).run()


def main(argv: Sequence[str] | None = None) -> int:
    return run("pd-server", _main(argv))


if __name__ == "__main__":
    sys.exit(main())
