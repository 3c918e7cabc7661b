"""PD's configuration, schedulers, maintenance task and the answers about the cluster as a whole."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from tests.standin.answers import JSON_V2, REDIRECTED, body, plain, read_object
from tests.standin.api_stores import bootstrapped
from tests.standin.clock import format_time
from tests.standin.cluster import Cluster
from tests.standin.config import Config
from tests.standin.regions import Operator
from tests.standin.schedulers import EVICT_LEADER, KNOWN, Schedulers
from tests.standin.stores import RefusedError

if TYPE_CHECKING:
    from tests.standin.pd_server import Pd


def routes(pd: Pd) -> list[web.RouteDef]:
    config, schedulers, tasks, whole = Configs(pd), SchedulerApi(pd), Maintenance(pd), Whole(pd)
    v1, v2 = "/pd/api/v1", "/pd/api/v2"
    return [
        web.get(f"{v1}/config", config.get),
        web.post(f"{v1}/config", config.post),
        web.get(f"{v1}/config/schedule", config.section("schedule")),
        web.get(f"{v1}/config/replicate", config.section("replication")),
        web.post(f"{v1}/config/replicate", config.post_section("replication")),
        web.post(f"{v1}/config/schedule", config.post_section("schedule")),
        web.get(f"{v1}/config/rules", config.rules),
        web.get(f"{v1}/config/placement-rule", config.bundles),
        web.get(f"{v1}/schedulers", schedulers.list),
        web.post(f"{v1}/schedulers", schedulers.add),
        web.delete(f"{v1}/schedulers/{{name}}", schedulers.delete),
        web.get(f"{v1}/scheduler-config/{{name}}/list", schedulers.configuration),
        web.get(f"{v2}/maintenance", tasks.get_any),
        web.get(f"{v2}/maintenance/{{type}}", tasks.get),
        web.put(f"{v2}/maintenance/{{type}}/{{id}}", tasks.put),
        web.delete(f"{v2}/maintenance/{{type}}/{{id}}", tasks.delete),
        web.get(f"{v1}/cluster", whole.cluster),
        web.get(f"{v1}/cluster/status", whole.status),
        web.get(f"{v1}/operators", whole.operators),
        web.get(f"{v1}/min-resolved-ts", whole.min_resolved_ts),
        web.get(f"{v1}/replication_mode/status", whole.replication_mode),
        web.get(f"{v1}/admin/unsafe/remove-failed-stores/show", whole.unsafe),
    ]


class Configs:
    def __init__(self, pd: Pd) -> None:
        self._pd = pd

    async def get(self, request: web.Request) -> web.Response:
        """Each member answers with its own flags, and needs the leader for the rest."""
        if self._pd.serving:
            whole = self._pd.cluster.config.whole()
            limits = self._pd.cluster.limits
            whole["schedule"]["store-limit"] = {str(k): v for k, v in limits.items()}
            return body(whole | self._pd.own_config)
        leader = self._pd.known_leader
        if leader is None or REDIRECTED in request.headers:
            raise RefusedError(500, "[PD:server:ErrLeaderNil]leader is nil")
        url = f"{leader.client_url}/pd/api/v1/config"
        try:
            async with self._pd.outbound.get(url, headers={REDIRECTED: self._pd.name}) as answer:
                if answer.status != 200:
                    raise RefusedError(500, (await answer.text()).strip().strip('"'))
                return body(await answer.json() | self._pd.own_config)
        except (aiohttp.ClientError, OSError):
            host = leader.client_url.split("//")[-1]
            raise RefusedError(
                500, f'Get "{url}": dial tcp {host}: connect: connection refused'
            ) from None

    async def post(self, request: web.Request) -> web.Response:
        items = await read_object(request)
        if "ttlSecond" in request.query:
            try:
                seconds = float(request.query["ttlSecond"])
            except ValueError as problem:
                raise RefusedError(400, str(problem)) from problem
            return await self._change(lambda config: config.change_for(items, seconds))
        return await self._change(lambda config: config.change(items))

    def post_section(self, name: str) -> Any:
        async def handler(request: web.Request) -> web.Response:
            items = {f"{name}.{key}": value for key, value in (await read_object(request)).items()}
            return await self._change(lambda config: config.change(items))

        return handler

    async def _change(self, change: Callable[[Config], str | None]) -> web.Response:
        """Write what was changed, also when a later item was refused: PD applies them one by one."""
        cluster = self._pd.cluster
        async with cluster.lock:
            config, refused, text = copy.deepcopy(cluster.config), None, None
            try:
                text = change(config)
            except RefusedError as problem:
                refused = problem
            await cluster.write({"config": config.to_json()})
            cluster.config = config
        if refused:
            raise refused
        return body(text or "The config is updated.")

    def section(self, name: str) -> Any:
        async def handler(_: web.Request) -> web.Response:
            section = self._pd.cluster.config.section(name)
            if name == "schedule":
                section["store-limit"] = {str(k): v for k, v in self._pd.cluster.limits.items()}
            return body(section)

        return handler

    async def rules(self, _: web.Request) -> web.Response:
        return body(self._pd.cluster.config.rules())

    async def bundles(self, _: web.Request) -> web.Response:
        group = {"group_id": "pd", "group_index": 0, "group_override": False}
        return body([group | {"rules": self._pd.cluster.config.rules()}])


class SchedulerApi:
    def __init__(self, pd: Pd) -> None:
        self._pd = pd

    async def list(self, _: web.Request) -> web.Response:
        return body(bootstrapped(self._pd).schedulers.names)

    async def add(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        given = await read_object(request)
        name, store_id = given.get("name"), given.get("store_id")
        if not isinstance(name, str):
            raise RefusedError(400, "missing scheduler name")
        if name not in KNOWN:
            raise RefusedError(400, "unknown scheduler")
        if name == EVICT_LEADER:
            if not isinstance(store_id, int | float):
                raise RefusedError(400, "missing store id")
            if int(store_id) not in cluster.stores:
                text = f"[PD:core:ErrStoreNotFound]store {int(store_id)} not found"
                raise RefusedError(500, text)
            known = EVICT_LEADER in cluster.schedulers.names
            await self._write(cluster, cluster.schedulers.evict(int(store_id)))
            return body(
                "The scheduler has been applied to the store."
                if known
                else "The scheduler is created."
            )
        if name not in cluster.schedulers.names:
            old = cluster.schedulers
            await self._write(cluster, Schedulers([*old.names, name], old.evicted, old.stopping))
        return body("The scheduler is created.")

    async def delete(self, request: web.Request) -> web.Response:
        cluster = bootstrapped(self._pd)
        name = request.match_info["name"]
        match = re.fullmatch(rf"{EVICT_LEADER}-(\d+)", name)
        if match:
            changed = cluster.schedulers.stop_evicting(int(match[1]))
            if changed is None:
                return body(None, 404)
        else:
            changed = cluster.schedulers.without(name)
            if changed is None:
                raise RefusedError(404, "[PD:scheduler:ErrSchedulerNotFound]scheduler not found")
        await self._write(cluster, changed)
        return body(None)

    async def _write(self, cluster: Cluster, schedulers: Schedulers) -> None:
        await cluster.write({"schedulers": schedulers.to_json()})
        cluster.schedulers = schedulers

    async def configuration(self, request: web.Request) -> web.Response:
        found = bootstrapped(self._pd).schedulers.configuration(request.match_info["name"])
        return plain("404 page not found\n", 404) if found is None else body(found)


class Maintenance:
    """One task for the whole cluster, of whatever type; no expiry."""

    def __init__(self, pd: Pd) -> None:
        self._pd = pd

    async def get_any(self, _: web.Request) -> web.Response:
        task = self._pd.cluster.maintenance
        if task is None:
            return body("No maintenance task is running", 404, JSON_V2)
        return body([task], 200, JSON_V2)

    async def get(self, request: web.Request) -> web.Response:
        task = self._of_type(request)
        if task is None:
            return body("No maintenance task is running for this type", 404, JSON_V2)
        return body(task, 200, JSON_V2)

    def _of_type(self, request: web.Request) -> dict[str, Any] | None:
        task = self._pd.cluster.maintenance
        return task if task and task["type"] == request.match_info["type"] else None

    async def put(self, request: web.Request) -> web.Response:
        cluster = self._pd.cluster
        description = await request.text()
        async with cluster.lock:
            if cluster.maintenance is not None:
                return self._conflict("Another maintenance task is already running")
            task = {
                "type": request.match_info["type"],
                "id": request.match_info["id"],
                "start_timestamp": int(time.time()),
                "description": description,
            }
            await cluster.write({"maintenance": task})
            cluster.maintenance = task
        return body("Maintenance task started successfully.", 200, JSON_V2)

    async def delete(self, request: web.Request) -> web.Response:
        cluster = self._pd.cluster
        async with cluster.lock:
            task = self._of_type(request)
            if task is None:
                return body("No maintenance task is running for this type", 404, JSON_V2)
            if task["id"] != request.match_info["id"]:
                return self._conflict("Task ID does not match the current task")
            await cluster.write({"maintenance": None})
            cluster.maintenance = None
        return body("Maintenance task deleted successfully.", 200, JSON_V2)

    def _conflict(self, text: str) -> web.Response:
        return body({"error": text, "existing_task": self._pd.cluster.maintenance}, 409, JSON_V2)


class Whole:
    def __init__(self, pd: Pd) -> None:
        self._pd = pd

    async def cluster(self, _: web.Request) -> web.Response:
        needed = self._pd.cluster.config.number("replication.max-replicas")
        return body({"id": self._pd.cluster_id, "max_peer_count": needed})

    async def status(self, _: web.Request) -> web.Response:
        began = self._pd.cluster.bootstrapped_at
        return body(
            {
                "raft_bootstrap_time": format_time(began) if began else "0001-01-01T00:00:00Z",
                "is_initialized": bool(began),
                "replication_status": "",
            }
        )

    async def operators(self, _: web.Request) -> web.Response:
        bootstrapped(self._pd)
        return body([self._describe(op) for op in self._pd.clockwork.mover.busy.values()])

    def _describe(self, operator: Operator) -> str:
        """The head of PD's text for an operator; its steps are not spelled out."""
        region = self._pd.cluster.regions[operator.region]
        source = next((p.store_id for p in region.peers if p.id == operator.remove), None)
        what = {
            (True, True): f"mv peer: store [{source}] to [{operator.add}]",
            (True, False): f"add peer: store [{operator.add}]",
            (False, True): f"rm peer: store [{source}]",
        }.get((operator.add is not None, source is not None), "change voters")
        return (
            f"{operator.kind} {{{what}}} (kind:{'replica,' if operator.replica else ''}region, "
            f"region:{region.id}({region.version}, {region.ballot}))"
        )

    async def min_resolved_ts(self, _: web.Request) -> web.Response:
        bootstrapped(self._pd)
        return body(
            {
                "is_real_time": True,
                "min_resolved_ts": 0,
                "persist_interval": "1s",
                "stores_min_resolved_ts": None,
            }
        )

    async def replication_mode(self, _: web.Request) -> web.Response:
        bootstrapped(self._pd)
        none = {"label_key": "", "state": "", "acid_consistent": False}
        return body({"mode": "majority", "dr-auto-sync": none})

    async def unsafe(self, _: web.Request) -> web.Response:
        bootstrapped(self._pd)
        return body([{"info": "No on-going recovery."}])
