"""What the PD leader does by itself, one turn at a time, for the length of its term."""

from __future__ import annotations

import asyncio
import time

from tests.standin import regions
from tests.standin.cluster import Cluster, LeadershipLostError
from tests.standin.etcd import EtcdError
from tests.standin.model import Region
from tests.standin.operators import Mover
from tests.standin.program import say
from tests.standin.stores import DISCONNECTED_AFTER

TURN = 0.2  # real seconds
CHECK_STORES = 10.0
# Seconds without a heartbeat after which a region looks for another leader. TiKV's raft needs no PD for it and is
# faster; here a heartbeat is all there is, and one that a busy machine delays must not move leaders.
SILENT_AFTER = 30.0


class Pace:
    """The store limit: seconds a peer that a store receives, as a bucket that never holds more than one spare.

    A changed limit is a new bucket, as PD's StoreLimit.Reset makes one: nobody waits by the old rate.
    """

    def __init__(self) -> None:
        self._next: dict[int, tuple[float, float]] = {}

    def ready(self, store_id: int, seconds_a_peer: float) -> bool:
        return time.monotonic() >= self._due(store_id, seconds_a_peer)

    def spend(self, store_id: int, seconds_a_peer: float) -> None:
        due = max(time.monotonic(), self._due(store_id, seconds_a_peer)) + seconds_a_peer
        self._next[store_id] = due, seconds_a_peer

    def _due(self, store_id: int, seconds_a_peer: float) -> float:
        due, paced = self._next.get(store_id, (0.0, seconds_a_peer))
        return due if paced == seconds_a_peer else 0.0


class Clockwork:
    def __init__(self, cluster: Cluster) -> None:
        self.mover = Mover(cluster)
        self._cluster = cluster
        self._pace = Pace()
        self._stores_checked = 0.0

    async def run(self, serving: asyncio.Event) -> None:
        """Turn while `serving` is set; between terms everything that moves is stopped."""
        while True:
            await serving.wait()
            try:
                if self._cluster.bootstrapped_at:
                    await self._turn()
            except (LeadershipLostError, EtcdError) as problem:
                say(f"[WARN] pd-server: {problem or 'the term is over'}")
                await self.mover.stop()
            if not serving.is_set():
                await self.mover.stop()
            await asyncio.sleep(TURN)

    async def _turn(self) -> None:
        cluster = self._cluster
        stopping = [
            s for s, stats in cluster.stats.items() if stats.is_stopping and s in cluster.stores
        ]
        cluster.schedulers.choose_stopping(stopping)
        await self._report()
        await cluster.find_losses()
        now = time.monotonic()
        if now - self._stores_checked >= cluster.clock.wait(CHECK_STORES):
            self._stores_checked = now
            await cluster.check_stores()
        for operator in regions.plan(self._world()):
            if operator.add is not None:
                self._pace.spend(operator.add, self._seconds_a_peer(operator.add))
            self.mover.begin(operator)

    async def _report(self) -> None:
        """Every region's leader reports: leaders, down and pending peers."""
        cluster = self._cluster
        silent = self._silent()
        down = {s for s in cluster.stores if cluster.silence(s) > self._peer_down_after(s)}
        leaders = regions.leader_counts(cluster.regions.values())
        async with cluster.lock:
            changed: list[Region] = []
            for region in cluster.regions.values():
                new = regions.report(
                    region, cluster.stores, silent, down, cluster.schedulers.shunned(), leaders
                )
                if new is not region:
                    leaders.subtract(_some(region.leader_store))
                    leaders.update(_some(new.leader_store))
                    changed.append(new)
            await cluster.put_regions(*changed)

    def _silent(self) -> set[int]:
        """Stores that nobody hears: not since long, or not in this term yet."""
        cluster = self._cluster
        wait = cluster.clock.wait(SILENT_AFTER)
        return {s for s in cluster.stores if s not in cluster.heard or cluster.silence(s) > wait}

    def _peer_down_after(self, store_id: int) -> float:
        """max-peer-down-duration, yet no less than two heartbeats: TiKV's peers hear each other far more often."""
        stats = self._cluster.stats.get(store_id)
        configured = stats.max_peer_down_seconds if stats else 600.0
        return self._cluster.clock.wait(max(configured, DISCONNECTED_AFTER))

    def _world(self) -> regions.World:
        cluster = self._cluster
        config = cluster.config
        busy_on = [op.add for op in self.mover.busy.values()]
        paces = {s: self._seconds_a_peer(s) for s in cluster.stores}
        room = {
            s: regions.IN_FLIGHT_PER_STORE if self._pace.ready(s, pace) else 0
            for s, pace in paces.items()
        }
        # Slower than a turn: then it gets one peer at a time.
        paused = [s for s, pace in paces.items() if pace > TURN]
        room |= {s: min(room[s], busy_on.count(s) + 1) for s in paused}
        return regions.World(
            regions=cluster.regions,
            stores=cluster.stores,
            names={s.id: cluster.state_name(s) for s in cluster.stores.values()},
            silent=self._silent(),
            max_replicas=config.number("replication.max-replicas"),
            location_labels=config.location_labels,
            room=room,
            busy=self.mover.busy,
            replica_limit=config.number("schedule.replica-schedule-limit"),
            region_limit=config.number("schedule.region-schedule-limit"),
        )

    def _seconds_a_peer(self, store_id: int) -> float:
        rate = self._cluster.limits.get(store_id, {}).get("add-peer", 15.0)
        return self._cluster.clock.wait(60.0 / max(rate, 0.001))


def _some(store_id: int | None) -> list[int]:
    return [] if store_id is None else [store_id]
