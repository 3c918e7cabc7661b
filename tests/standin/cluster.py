"""The PD leader's memory of the cluster, loaded from etcd when its term begins and written back under the leader's
guard.

Every change is one etcd transaction that holds only while this member has the leader key it won: a former leader can
answer from memory, and cannot change anything. What PD keeps only in memory is lost with the term here too:
heartbeats, sizes, progress. Regions' leaders survive if this process followed the one before (PD's region syncer),
else they read 0 until the stores report.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from tests.standin import loss, stores
from tests.standin.clock import Clock, format_time
from tests.standin.config import Config
from tests.standin.etcd import Etcd
from tests.standin.model import NodeState, Region, State, Stats, Store, first_regions
from tests.standin.progress import Progress
from tests.standin.schedulers import Schedulers

PREFIX = "/standin/"
ID_BATCH = (
    100  # ids that a leader takes from etcd at once; the rest of a batch is skipped after a change
)


class LeadershipLostError(Exception):
    """The write came after this member's term: nothing was changed."""


def unix_nanoseconds() -> int:
    return time.time_ns()


class Cluster:
    """See the module; `guard` gives the leader key and its revision at the time of a write."""

    def __init__(self, etcd: Etcd, clock: Clock, guard: Callable[[], tuple[str, int]]) -> None:
        self._etcd = etcd
        self._guard = guard
        self.clock = clock
        self.lock = asyncio.Lock()  # around every read-then-write of stores and regions
        self.bootstrapped_at = 0  # Unix nanoseconds; 0: not bootstrapped
        self.stores: dict[int, Store] = {}
        self.regions: dict[int, Region] = {}
        self.losses: dict[int, dict[str, Any]] = {}
        self.limits: dict[int, dict[str, float]] = {}
        self.maintenance: dict[str, Any] | None = None
        self.config = Config()
        self.schedulers = Schedulers()
        self.stats: dict[int, Stats] = {}
        self.sizes: dict[int, int] = {}
        self.heard: dict[int, float] = {}  # monotonic seconds of the last heartbeat in this term
        self.term_began = 0.0
        self.progress = Progress(clock)
        self._persisted: dict[int, float] = {}
        self._next_id = self._last_id = 0
        self._id_lock = asyncio.Lock()

    # -- a term begins -------------------------------------------------------

    async def load(self, *, followed: bool) -> None:
        """Read everything anew; `followed` says that this process was fed with regions by the leader before."""
        data = {k: json.loads(v) for k, v in (await self._etcd.range(PREFIX)).items()}
        self.bootstrapped_at = int(data.get(PREFIX + "bootstrap", 0))
        self.stores = {s.id: s for s in map(Store.from_json, _under(data, "store/"))}
        self.regions = {r.id: r for r in map(Region.from_json, _under(data, "region/"))}
        self.losses = {item["region"]: item for item in _under(data, "lost/")}
        self.limits = {int(k): v for k, v in data.get(PREFIX + "limits", {}).items()}
        self.maintenance = data.get(PREFIX + "maintenance")
        self.config = Config.from_json(data.get(PREFIX + "config"))
        self.schedulers = Schedulers.from_json(data.get(PREFIX + "schedulers"))
        self.stats, self.heard, self._persisted = {}, {}, {}
        self.progress = Progress(self.clock)
        self._next_id = self._last_id = 0
        self.term_began = time.monotonic()
        if not followed:
            self.sizes = {}
            self.regions = {r.id: replace(r, leader=None) for r in self.regions.values()}
        else:
            self.sizes = {r: self.sizes.get(r, 1) for r in self.regions}

    # -- writes --------------------------------------------------------------

    async def write(self, puts: dict[str, Any], deletes: Iterable[str] = ()) -> None:
        """Write under the guard; raises LeadershipLostError, or EtcdError when there is no quorum (unknown outcome)."""
        encoded = {PREFIX + k: json.dumps(v) for k, v in puts.items()}
        gone = [PREFIX + k for k in deletes]
        if not await self._etcd.write(self._guard(), encoded, gone):
            raise LeadershipLostError

    async def put_store(self, store: Store) -> None:
        await self.write({f"store/{store.id}": store.to_json()})
        old = self.stores.get(store.id)
        if old is not None:  # it may have sent a heartbeat meanwhile
            store.last_heartbeat = max(store.last_heartbeat, old.last_heartbeat)
            store.persisted_heartbeat = max(store.persisted_heartbeat, old.persisted_heartbeat)
        self.stores[store.id] = store
        if store.id not in self.limits:
            pace = 30.0 if store.is_tiflash else 15.0
            await self.set_limit([store.id], add=pace, remove=pace)

    async def put_regions(self, *regions: Region) -> None:
        for some in range(0, len(regions), 100):
            batch = regions[some : some + 100]
            await self.write({f"region/{r.id}": r.to_json() for r in batch})
            self.regions |= {r.id: r for r in batch}

    async def set_limit(
        self, ids: Iterable[int], *, add: float | None = None, remove: float | None = None
    ) -> None:
        limits = dict(self.limits)
        for store_id in ids:
            old = limits.get(store_id, {"add-peer": 15.0, "remove-peer": 15.0})
            limits[store_id] = {
                "add-peer": old["add-peer"] if add is None else add,
                "remove-peer": old["remove-peer"] if remove is None else remove,
            }
        await self.write({"limits": {str(k): v for k, v in limits.items()}})
        self.limits = limits

    async def allocate(self) -> int:
        """A new id: for stores, regions and peers alike, never given twice."""
        async with self._id_lock:
            if self._next_id == self._last_id:
                first = int(json.loads((await self._etcd.get(PREFIX + "ids") or ("1", 0))[0]))
                await self.write({"ids": first + ID_BATCH})
                self._next_id, self._last_id = first, first + ID_BATCH
            self._next_id += 1
            return self._next_id - 1

    async def bootstrap(self, store: Store, region_count: int) -> bool:
        """The first TiKV makes the cluster; False if another one was first."""
        async with self.lock:
            if self.bootstrapped_at:
                return False
            ids = [await self.allocate() for _ in range(2 * region_count)]
            now = unix_nanoseconds()
            regions = first_regions(region_count, ids, store.id)
            await self.write(
                {f"region/{r.id}": r.to_json() for r in regions}
                | {f"store/{store.id}": store.to_json(), "bootstrap": now}
            )
            self.regions = {r.id: r for r in regions}
            self.stores[store.id] = store
            self.bootstrapped_at = now
        await self.set_limit([store.id], add=15.0, remove=15.0)
        return True

    async def register(self, store: Store) -> None:
        """PutStore. A fresh identity at a living store's address is evidence that the disk behind that one is gone."""
        async with self.lock:
            if not self.bootstrapped_at:
                raise stores.not_bootstrapped()
            rival = stores.rival_of(self.stores, store)
            if rival is not None and store.id not in self.stores and not rival.disk_gone:
                await self.put_store(replace(rival, disk_gone=True))
                await self._find_losses()
            await self.put_store(stores.register(self.stores, store))

    async def heartbeat(self, store_id: int, stats: Stats, sizes: dict[int, int]) -> None:
        """A store reports; `sizes` in MiB by region. The time is written to etcd once in five minutes only."""
        if not self.bootstrapped_at:
            raise stores.not_bootstrapped()
        store = stores.heartbeat(self.stores, store_id)
        now = time.monotonic()
        store.last_heartbeat = unix_nanoseconds()
        self.stats[store_id] = stats
        self.sizes |= {r.id: 1 for r in self.regions_of(store_id) if r.id not in self.sizes} | sizes
        # Heartbeats of a destroyed store are accepted, and nothing is expected of it any more: PD was told that its
        # disk is gone. So its peers stay down, as their regions' leaders report them in the captures.
        if not store.physically_destroyed:
            self.heard[store_id] = now
        due = self.clock.wait(stores.PERSIST_EVERY)
        if now - self._persisted.get(store_id, -due) >= due:
            self._persisted[store_id] = now
            store.persisted_heartbeat = store.last_heartbeat
            await self.write({f"store/{store.id}": store.to_json()})

    async def remove_tombstones(self) -> None:
        async with self.lock:
            gone = [s.id for s in self.stores.values() if s.state is State.TOMBSTONE]
            if gone:
                await self.write({}, [f"store/{store_id}" for store_id in gone])
            for store_id in gone:
                del self.stores[store_id]
                for memory in (self.stats, self.heard, self._persisted):
                    memory.pop(store_id, None)

    # -- the clockwork of a term (`clockwork.py` calls these) ----------------

    async def check_stores(self) -> None:
        """PD's check every 10 s: new stores start to serve, drained ones are buried."""
        async with self.lock:
            for store in list(self.stores.values()):
                if store.state is State.OFFLINE and not self.regions_of(store.id):
                    await self.put_store(stores.bury(store))
                elif store.node_state is NodeState.PREPARING and store.last_heartbeat:
                    await self.put_store(replace(store, node_state=NodeState.SERVING))
            self.progress.observe(self.stores, self.region_counts())

    async def find_losses(self) -> None:
        async with self.lock:
            await self._find_losses()

    async def _find_losses(self) -> None:
        found = loss.find_losses(
            self.regions.values(), self.stores, self.losses, format_time(unix_nanoseconds())
        )
        if found:
            await self.write({f"lost/{item.region}": item.to_json() for item in found})
            self.losses |= {item.region: item.to_json() for item in found}

    # -- reading -------------------------------------------------------------

    def regions_of(self, store_id: int) -> list[Region]:
        return [
            r
            for r in self.regions.values()
            if store_id in r.stores
            or (r.move is not None and any(p.store_id == store_id for p in r.move.voters))
        ]

    def region_counts(self) -> dict[int, int]:
        return {store_id: len(self.regions_of(store_id)) for store_id in self.stores}

    def state_name(self, store: Store) -> str:
        down = self.config.seconds("schedule.max-store-down-time")
        return stores.state_name(store, unix_nanoseconds(), down, self.clock)

    def silence(self, store_id: int) -> float:
        """Real seconds without a heartbeat, counted from the term's begin for a store not heard since."""
        return time.monotonic() - max(self.heard.get(store_id, 0.0), self.term_began)


def _under(data: dict[str, Any], folder: str) -> list[Any]:
    return [value for key, value in sorted(data.items()) if key.startswith(PREFIX + folder)]
