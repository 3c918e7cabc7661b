"""How a peer moves: the only code that changes which stores hold a region, and why no acknowledged row is lost by it.

**Invariant: every acknowledged row is, durably, on a majority of its region's committed voters.** A change of voters:

1. *begin*: a ballot higher than any before is written to etcd with the voters to come, under the leader's guard;
2. *seal*: a majority of the old voters promises, on disk, to take nothing below that ballot, and gives its rows. A
   write of the old configuration that is acknowledged has met one of them before its promise: its row is in what they
   gave;
3. *install*: those rows (highest tag a key) go to a majority of the new voters, and to the new peer, on disk;
4. *commit*: the new voters are written to etcd, again under the guard. Only now do routes name them and their ballot.

A leader that dies in between leaves `region.move` behind; the next one seals again with a higher ballot, from the
voters that are committed. Two leaders at once cannot both commit: the guard holds for one of them. Rows of peers that
were taken away are dropped later, when their store's heartbeat shows that it still has them.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp

from tests.standin.cluster import Cluster, LeadershipLostError
from tests.standin.etcd import EtcdError
from tests.standin.model import Move, Peer, Region
from tests.standin.program import say
from tests.standin.regions import Operator, refreshed

SNAPSHOT_SECONDS = 0.5  # that a new peer stays a pending learner
LEAST_SNAPSHOT_SECONDS = (
    0.2  # real ones, however fast the clock: a move must be visible to be tested
)
CALL_SECONDS = 5.0


class MoveFailedError(Exception):
    """Too few stores answered; what was begun is taken up again by a later operator."""


class Mover:
    """Carries out operators, one a region at a time; `busy` is what runs."""

    def __init__(self, cluster: Cluster) -> None:
        self.busy: dict[int, Operator] = {}
        self._cluster = cluster
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS))

    @property
    def _snapshot_seconds(self) -> float:
        return max(LEAST_SNAPSHOT_SECONDS, self._cluster.clock.wait(SNAPSHOT_SECONDS))

    def begin(self, operator: Operator) -> None:
        self.busy[operator.region] = operator
        self._tasks[operator.region] = asyncio.create_task(self._run(operator))

    async def stop(self) -> None:
        """The term is over: nothing more is written."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        self.busy.clear()

    async def close(self) -> None:
        await self.stop()
        await self._session.close()

    async def _run(self, operator: Operator) -> None:
        try:
            await self._carry_out(operator)
        except (MoveFailedError, LeadershipLostError, EtcdError) as problem:
            say(f"[WARN] pd-server: {operator.kind} of region {operator.region}: {problem}")
            await asyncio.sleep(0.5)  # before the plan may choose the same again
        finally:
            self.busy.pop(operator.region, None)
            self._tasks.pop(operator.region, None)

    async def _carry_out(self, operator: Operator) -> None:
        region = self._cluster.regions[operator.region]
        voters = tuple(p for p in region.voters if p.id != operator.remove)
        added: Peer | None = None
        if operator.add is not None:
            added = Peer(await self._cluster.allocate(), operator.add)
            await self._change(
                region.id, lambda r: r.with_peers(*r.peers, replace(added, learner=True))
            )
            await asyncio.sleep(self._snapshot_seconds)
            voters = (*voters, added)
        if not voters:
            raise MoveFailedError("it would leave no voter")
        await self._change_voters(region.id, voters, added)

    async def _change_voters(
        self, region_id: int, voters: tuple[Peer, ...], added: Peer | None
    ) -> None:
        def begin(r: Region) -> Region:
            ballot = max(r.ballot, r.move.ballot if r.move else 0) + 1
            return replace(r, move=Move(ballot, voters))

        region = await self._change(region_id, begin)
        assert region.move is not None
        ballot = region.move.ballot
        sealed = await self._ask_all("seal", region, ballot, region.voters, rows=None)
        if len(sealed) < region.majority:
            raise MoveFailedError(
                f"{len(sealed)} of {len(region.voters)} voters sealed it, {region.majority} are needed"
            )
        rows = newest(answer["rows"] for answer in sealed.values())
        installed = await self._ask_all("install", region, ballot, voters, rows=rows)
        missing = added is not None and added.store_id not in installed
        if missing or len(installed) < len(voters) // 2 + 1:
            raise MoveFailedError(
                f"{len(installed)} of {len(voters)} new voters took its rows"
                + (f", store {added.store_id} did not" if added and missing else "")
            )

        def commit(r: Region) -> Region:
            if r.move is None or r.move.ballot != ballot:
                raise MoveFailedError("another change of voters was begun meanwhile")
            leader = r.leader if any(p.id == r.leader for p in voters) else None
            return r.with_peers(*voters, ballot=ballot, move=None, leader=leader)

        await self._change(region_id, commit)

    async def _change(self, region_id: int, change: Any) -> Region:
        """Read, change and write one region; its checks are looked at anew, as when a region reports in PD."""
        async with self._cluster.lock:
            region: Region = change(self._cluster.regions[region_id])
            ids = {p.id for p in region.peers}
            region = replace(
                region,
                pending=tuple(p.id for p in region.learners),
                down=tuple(i for i in region.down if i in ids),
            )
            region = refreshed(region, self._cluster.stores)
            await self._cluster.put_regions(region)
            return region

    async def _ask_all(
        self, verb: str, region: Region, ballot: int, peers: tuple[Peer, ...], rows: Any
    ) -> dict[int, dict[str, Any]]:
        """The answers of the stores that answered, by store id."""
        answers = await asyncio.gather(*(self._ask(verb, region, ballot, p, rows) for p in peers))
        return {p.store_id: a for p, a in zip(peers, answers, strict=True) if a is not None}

    async def _ask(
        self, verb: str, region: Region, ballot: int, peer: Peer, rows: Any
    ) -> dict[str, Any] | None:
        store = self._cluster.stores.get(peer.store_id)
        if store is None:
            return None
        body = {"store_id": store.id, "region": region.id, "ballot": ballot, "rows": rows}
        try:
            async with self._session.post(
                f"http://{store.address}/standin/v1/{verb}", json=body
            ) as answer:
                if answer.status != 200:
                    say(
                        f"[WARN] pd-server: store {store.id} refused to {verb} region {region.id}: "
                        f"{await answer.text()}"
                    )
                    return None
                data: dict[str, Any] = await answer.json()
                return data
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None


def newest(answers: Any) -> list[list[Any]]:
    """The union of several stores' rows `[key, counter, writer, value]`: of each key the one with the highest tag."""
    best: dict[str, list[Any]] = {}
    for rows in answers:
        for row in rows:
            old = best.get(row[0])
            if old is None or (row[1], row[2]) > (old[1], old[2]):
                best[row[0]] = row
    return list(best.values())
