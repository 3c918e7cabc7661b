"""What TiKV and TiDB stand-ins tell PD and ask it, under /standin/v1/: gRPC in the real world. No job may use it.

Requests and answers are JSON; a refused registration is 409 with `{"error": {type, type_name, message}}`, pdpb's own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.standin import regions
from tests.standin.answers import body, plain, read_object
from tests.standin.model import Stats, Store
from tests.standin.program import StandinError
from tests.standin.stores import RefusedError, RegistrationError, not_bootstrapped

if TYPE_CHECKING:
    from tests.standin.pd_server import Pd

DEFAULT_REGIONS = 20


def region_count() -> int:
    """STANDIN_REGIONS; at most 100, because a bootstrap is one etcd transaction."""
    text = os.environ.get("STANDIN_REGIONS", str(DEFAULT_REGIONS))
    if not text.isdigit() or not 1 <= int(text) <= 100:
        raise StandinError(f"STANDIN_REGIONS is {text!r}: give a number from 1 to 100")
    return int(text)


def routes(pd: Pd) -> list[web.RouteDef]:
    door = Door(pd)
    v1 = "/standin/v1"
    return [
        web.get(f"{v1}/cluster", door.cluster),
        web.post(f"{v1}/ids", door.allocate),
        web.post(f"{v1}/bootstrap", door.bootstrap),
        web.post(f"{v1}/store", door.put_store),
        web.post(f"{v1}/heartbeat", door.heartbeat),
        web.get(f"{v1}/routes", door.routes),
        web.get(f"{v1}/lost", door.lost),
        web.post(f"{v1}/once/{{name}}", door.once),
        web.get("/metrics", door.metrics),
    ]


def _refused(problem: RegistrationError) -> web.Response:
    error = {"type": problem.kind, "type_name": problem.name, "message": problem.message}
    return body({"error": error}, 409)


class Door:
    def __init__(self, pd: Pd) -> None:
        self._pd = pd

    async def cluster(self, _: web.Request) -> web.Response:
        began = bool(self._pd.cluster.bootstrapped_at)
        return body({"cluster_id": self._pd.cluster_id, "bootstrapped": began})

    async def allocate(self, _: web.Request) -> web.Response:
        return body({"id": await self._pd.cluster.allocate()})

    async def bootstrap(self, request: web.Request) -> web.Response:
        store = await self._store(request)
        return body({"first": await self._pd.cluster.bootstrap(store, region_count())})

    async def _store(self, request: web.Request) -> Store:
        try:
            return Store(**(await read_object(request)))
        except TypeError as problem:
            raise RefusedError(400, f"not a store: {problem}") from problem

    async def put_store(self, request: web.Request) -> web.Response:
        try:
            await self._pd.cluster.register(await self._store(request))
        except RegistrationError as problem:
            return _refused(problem)
        return body({})

    async def heartbeat(self, request: web.Request) -> web.Response:
        """`{store_id, stats, regions: {id: bytes}}` → what the store should drop, and how many leaders it has."""
        cluster = self._pd.cluster
        given = await read_object(request)
        held = {int(k): v for k, v in given["regions"].items()}
        sizes = {r: max(1, size >> 20) for r, size in held.items() if r in cluster.regions}
        store_id = given["store_id"]
        try:
            await cluster.heartbeat(store_id, Stats(**given["stats"]), sizes)
        except RegistrationError as problem:
            return _refused(problem)
        wanted = {r.id for r in cluster.regions_of(store_id)}
        drop = [
            [r, cluster.regions[r].ballot] for r in held if r in cluster.regions and r not in wanted
        ]
        leaders = regions.leader_counts(cluster.regions.values())[store_id]
        return body({"drop": drop, "leaders": leaders, "regions": len(wanted)})

    async def routes(self, _: web.Request) -> web.Response:
        """Every region with its ballot and its voters' stores and addresses: what a TiDB needs."""
        cluster = self._pd.cluster
        if not cluster.bootstrapped_at:
            return _refused(not_bootstrapped())
        return body(
            [
                {
                    "id": r.id,
                    "start": r.start,
                    "end": r.end,
                    "ballot": r.ballot,
                    "voters": {
                        str(p.store_id): cluster.stores[p.store_id].address
                        for p in r.voters
                        if p.store_id in cluster.stores
                    },
                    "count": len(r.voters),
                }
                for r in cluster.regions.values()
            ]
        )

    async def lost(self, _: web.Request) -> web.Response:
        """What is lost for ever; looked for again at this moment. An empty list is what a test wants to read."""
        cluster = self._pd.cluster
        await cluster.find_losses()
        return body(list(cluster.losses.values()))

    async def once(self, request: web.Request) -> web.Response:
        """`{"first": true}` for exactly one caller in the cluster's life (TiDB's bootstrap)."""
        key = f"/standin-once/{request.match_info['name']}"
        return body({"first": await self._pd.etcd.create(key, "1") is not None})

    async def metrics(self, _: web.Request) -> web.Response:
        """The few series that alerts are written on, under PD's own names; the leader has the stores'."""
        cluster = self._pd.cluster
        lines = ["# TYPE pd_cluster_status gauge"]
        if self._pd.serving:
            names = [cluster.state_name(s) for s in cluster.stores.values()]
            words = {"up": "Up", "disconnected": "Disconnected", "down": "Down"}
            words |= {"offline": "Offline", "tombstone": "Tombstone"}
            counts: dict[str, Any] = {f"store_{k}_count": names.count(v) for k, v in words.items()}
            counts["region_count"] = len(cluster.regions)
            counts["leader_count"] = sum(regions.leader_counts(cluster.regions.values()).values())
            lines += [f'pd_cluster_status{{type="{k}"}} {v}' for k, v in counts.items()]
            lines.append("# TYPE pd_regions_status gauge")
            needed = cluster.config.number("replication.max-replicas")
            for check in regions.CHECKS:
                count = sum(regions.check(check, r, needed) for r in cluster.regions.values())
                lines.append(f'pd_regions_status{{type="{check}-region-count"}} {count}')
        lines.append("# TYPE standin_regions_lost gauge")
        lines.append(f"standin_regions_lost {len(cluster.losses)}")
        return plain("\n".join(lines) + "\n", 200, "text/plain; version=0.0.4; charset=utf-8")
