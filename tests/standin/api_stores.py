"""PD's stores and regions over HTTP: lists, DELETE, state, labels, limits, progress, region checks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.standin import regions, stores
from tests.standin.answers import body, input_error, parse_id, read_object
from tests.standin.cluster import Cluster
from tests.standin.model import Region, State, Store
from tests.standin.stores import RefusedError

if TYPE_CHECKING:
    from tests.standin.pd_server import Pd

NOT_BOOTSTRAPPED = (
    "[PD:cluster:ErrNotBootstrapped]TiKV cluster not bootstrapped, please start TiKV first"
)


def bootstrapped(pd: Pd) -> Cluster:
    """The cluster, or PD's 500 while no TiKV has ever started."""
    if not pd.cluster.bootstrapped_at:
        raise RefusedError(500, NOT_BOOTSTRAPPED)
    return pd.cluster


def routes(pd: Pd) -> list[web.RouteDef]:
    api = Stores(pd)
    v1 = "/pd/api/v1"
    return [
        web.get(f"{v1}/stores", api.list_stores),
        web.get(f"{v1}/stores/check", api.check),
        web.get(f"{v1}/stores/limit", api.limits),
        web.post(f"{v1}/stores/limit", api.set_limits),
        web.get(f"{v1}/stores/progress", api.progress),
        web.delete(f"{v1}/stores/remove-tombstone", api.remove_tombstone),
        web.get(f"{v1}/store/{{id}}", api.get),
        web.delete(f"{v1}/store/{{id}}", api.delete),
        web.post(f"{v1}/store/{{id}}/state", api.set_state),
        web.post(f"{v1}/store/{{id}}/label", api.set_labels),
        web.post(f"{v1}/store/{{id}}/weight", api.set_weight),
        web.post(f"{v1}/store/{{id}}/limit", api.set_limit),
        web.get(f"{v1}/regions/check/{{check}}", api.region_check),
        web.get(f"{v1}/regions", api.regions),
        web.get(f"{v1}/regions/store/{{id}}", api.regions_of_store),
        web.get(f"{v1}/region/id/{{id}}", api.region),
        web.get(f"{v1}/stats/region", api.region_stats),
    ]


class Stores:
    def __init__(self, pd: Pd) -> None:
        self._pd = pd

    def _answer(self, store: Store) -> dict[str, Any]:
        cluster = self._pd.cluster
        return stores.answer(
            store,
            cluster.state_name(store),
            cluster.stats.get(store.id),
            cluster.regions.values(),
            cluster.sizes,
        )

    def _list(self, chosen: list[Store]) -> web.Response:
        return body({"count": len(chosen), "stores": [self._answer(s) for s in chosen]})

    async def list_stores(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        wanted = {State.UP, State.OFFLINE}
        if "state" in request.query:
            wanted = set()
            for text in request.query.getall("state"):
                if not text.isdigit() or int(text) > State.TOMBSTONE:
                    raise RefusedError(500, f"unknown StoreState: {text}")
                wanted.add(State(int(text)))
        return self._list([s for s in cluster.stores.values() if s.state in wanted])

    async def check(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        words = {word.lower(): word for word in stores.STATE_WORDS}
        wanted = list(words.values())
        if "state" in request.query:
            asked = request.query.getall("state")
            for text in asked:
                if text.lower() not in words:
                    raise RefusedError(400, f"unknown StoreState: {text}")
            wanted = [words[text.lower()] for text in asked]
        return self._list([s for s in cluster.stores.values() if cluster.state_name(s) in wanted])

    def _id(self, request: web.Request) -> int:
        return parse_id(request.match_info["id"])

    async def get(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        try:
            return body(self._answer(stores.find(cluster.stores, self._id(request))))
        except ValueError as problem:
            return input_error(str(problem))

    async def delete(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        try:
            store_id = self._id(request)
        except ValueError as problem:
            return input_error(str(problem))
        # Presence alone: ?force=false forces, as in PD.
        await self._set_offline(cluster, store_id, force="force" in request.query)
        return body("The store is set as Offline.")

    async def _set_offline(self, cluster: Cluster, store_id: int, *, force: bool) -> None:
        async with cluster.lock:
            needed = cluster.config.number("replication.max-replicas")
            store = stores.delete(cluster.stores, store_id, needed, force=force)
            await cluster.put_store(store)
            cluster.progress.begin(store_id, len(cluster.regions_of(store_id)))
        await cluster.find_losses()

    async def set_state(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        try:
            store_id = self._id(request)
        except ValueError as problem:
            return input_error(str(problem))
        wanted = request.query.get("state", "")
        stores.find(cluster.stores, store_id)
        if wanted == "Offline":
            await self._set_offline(cluster, store_id, force=False)
        elif wanted == "Up":
            async with cluster.lock:
                await cluster.put_store(stores.cancel(cluster.stores, store_id))
                cluster.progress.cancel(store_id)
        else:
            raise RefusedError(400, f"invalid state {wanted}")
        return body("The store's state is updated.")

    async def set_labels(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        labels = {k: str(v) for k, v in (await read_object(request)).items()}
        try:
            store = stores.find(cluster.stores, self._id(request))
            stores.check_labels(labels)
        except ValueError as problem:
            return input_error(str(problem))
        except RefusedError as refused:
            if refused.status != 400:
                raise
            return input_error(refused.text)
        async with cluster.lock:
            await cluster.put_store(replace(store, labels=store.labels | labels))
        return body("The store's label is updated.")

    async def set_weight(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        given = await read_object(request)
        store = stores.find(cluster.stores, self._id(request))
        for key in ("leader", "region"):
            if not isinstance(given.get(key), int | float) or given[key] < 0:
                raise RefusedError(400, f"bad format {key} weight")
        async with cluster.lock:
            await cluster.put_store(
                replace(store, leader_weight=given["leader"], region_weight=given["region"])
            )
        return body("The store's weight is updated.")

    async def limits(self, _: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        return body({str(s): cluster.limits[s] for s in cluster.stores if s in cluster.limits})

    async def set_limits(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        await self._limit(cluster, list(cluster.stores), await read_object(request))
        return body("Set store limit successfully.")

    async def set_limit(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        store = stores.find(cluster.stores, self._id(request))
        await self._limit(cluster, [store.id], await read_object(request))
        return body("The store's limit is updated.")

    async def _limit(self, cluster: Cluster, ids: list[int], given: dict[str, Any]) -> None:
        rate, kind = given.get("rate"), given.get("type")
        if not isinstance(rate, int | float) or rate <= 0:
            raise RefusedError(400, "rate unset" if rate is None else "invalid rate")
        if kind not in (None, "add-peer", "remove-peer"):
            raise RefusedError(400, "unknown type")
        await cluster.set_limit(
            ids,
            add=rate if kind != "remove-peer" else None,
            remove=rate if kind != "add-peer" else None,
        )

    async def progress(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        missing = "[PD:progress:ErrProgressNotFound]no progress found for the "
        if "id" in request.query:
            text = request.query["id"]
            try:
                found = cluster.progress.of_store(parse_id(text))
            except ValueError as problem:
                raise RefusedError(400, str(problem)) from problem
            missing += f"given store ID: {text}"
        elif "action" in request.query:
            found = cluster.progress.of_action(request.query["action"])
            missing += f"action: {request.query['action']}"
        else:
            raise RefusedError(400, "need query parameters")
        if found is None:
            raise RefusedError(404, missing)
        return body(found)

    async def remove_tombstone(self, _: web.Request) -> web.Response:
        await bootstrapped(self._pd).remove_tombstones()
        return body("Remove tombstone successfully.")

    # -- regions -------------------------------------------------------------

    def _regions(self, chosen: list[Region]) -> web.Response:
        cluster = self._pd.cluster
        silence = {s: round(cluster.silence(s) * cluster.clock.scale) for s in cluster.stores}
        answers = [regions.answer(r, silence, cluster.sizes.get(r.id, 0)) for r in chosen]
        return body({"count": len(answers), "regions": answers}, 200, "application/octet-stream")

    async def region_check(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        name = request.match_info["check"]
        if name not in regions.CHECKS:
            raise web.HTTPNotFound
        needed = cluster.config.number("replication.max-replicas")
        return self._regions(
            [r for r in cluster.regions.values() if regions.check(name, r, needed)]
        )

    async def regions(self, _: web.Request) -> web.Response:
        return self._regions(list(bootstrapped(self._pd).regions.values()))

    async def regions_of_store(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        try:
            store_id = self._id(request)
        except ValueError as problem:
            return input_error(str(problem))
        return self._regions([r for r in cluster.regions.values() if store_id in r.stores])

    async def region(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        try:
            region = cluster.regions.get(self._id(request))
        except ValueError as problem:
            return input_error(str(problem))
        if region is None:
            return body(None)
        return body(regions.answer(region, {}, cluster.sizes.get(region.id, 0)))

    async def region_stats(self, _: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        held = regions.peer_counts(cluster.regions.values())
        led = regions.leader_counts(cluster.regions.values())
        sizes = dict.fromkeys(held, 0)
        leader_sizes = dict.fromkeys(led, 0)
        for region in cluster.regions.values():
            size = cluster.sizes.get(region.id, 0)
            for store_id in region.stores:
                sizes[store_id] += size
            if region.leader_store is not None:
                leader_sizes[region.leader_store] += size

        def texts(counts: dict[int, int]) -> dict[str, int]:
            return {str(k): v for k, v in counts.items()}

        none = dict.fromkeys(held, 0)
        return body(
            {
                "count": len(cluster.regions),
                "empty_count": 0,
                "storage_size": sum(cluster.sizes.get(r, 0) for r in cluster.regions),
                "user_storage_size": 0,
                "storage_keys": 0,
                "store_leader_count": texts(led),
                "store_peer_count": texts(held),
                "store_leader_size": texts(leader_sizes),
                "store_leader_keys": texts(dict.fromkeys(led, 0)),
                "store_peer_size": texts(sizes),
                "store_peer_keys": texts(none),
            }
        )
