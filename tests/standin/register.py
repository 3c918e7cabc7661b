"""The ABD register: how a TiDB writes to and reads from the peers of a region (Attiya, Bar-Noy, Dolev 1995).

A write asks a majority for the key's tag, takes a higher one, and is acknowledged when a majority has row and tag on
its disk. A read asks a majority, takes the row with the highest tag, and, unless that majority agreed, writes it to a
majority first: so no later read can miss what an earlier one has seen. A request under an old ballot is refused by
the peer; then the routes are asked for anew and it is tried again, with the same tag if it is a write's second half.

Requests to one store that wait at the same time travel as one (`_Lane`).
"""

from __future__ import annotations

import asyncio
import bisect
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.standin.model import place_of
from tests.standin.pd_client import PdClient, PdRefusedError, PdUnavailableError

CALL_SECONDS = 3.0
GIVE_UP_SECONDS = 15.0  # then the statement fails: not acknowledged, perhaps written
RETRY_SECONDS = 0.05


class UnavailableError(Exception):
    """No majority of the region's peers answered in time. A write may or may not be there."""


@dataclass(frozen=True)
class Route:
    id: int
    start: int
    end: int
    ballot: int
    voters: dict[int, str]
    count: int  # of voters, those included whose store PD no longer knows

    @property
    def majority(self) -> int:
        return self.count // 2 + 1


@dataclass(frozen=True)
class Row:
    key: str
    counter: int
    writer: str
    value: str | None

    @property
    def tag(self) -> tuple[int, str]:
        return (self.counter, self.writer)


class Register:
    def __init__(self, pd: PdClient) -> None:
        self._pd = pd
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=CALL_SECONDS),
            connector=aiohttp.TCPConnector(limit_per_host=4),
        )
        self._lanes: dict[tuple[int, str], _Lane] = {}
        self._routes: list[Route] = []
        self._asked = 0.0
        self._asking = asyncio.Lock()
        self._writer = uuid.uuid4().hex[:12]
        self._last_counter = 0

    async def close(self) -> None:
        for lane in self._lanes.values():
            lane.close()
        await self._session.close()

    @property
    def has_routes(self) -> bool:
        return bool(self._routes)

    async def read(self, key: str) -> str | None:
        answers = await self._majority(place_of(key), {"op": "get", "key": key})
        best = _best(key, answers)
        if best is None:
            return None
        if any(_row(key, a) != best for a in answers):
            await self._put(best)
        return best.value

    async def write(self, key: str, value: str | None) -> None:
        """Returns when the row is acknowledged; `None` deletes. Raises UnavailableError."""
        answers = await self._majority(place_of(key), {"op": "get", "key": key})
        best = _best(key, answers)
        # Above what was seen and above all that this process has given: two writes here never share a tag.
        self._last_counter = max(self._last_counter, best.counter if best else 0) + 1
        await self._put(Row(key, self._last_counter, self._writer, value))

    async def scan(self) -> dict[str, str]:
        """Every row. Not one moment's state: each region by itself, like reads one after the other."""
        await self._refresh(0)
        found = await asyncio.gather(*(self._scan(route.start) for route in self._routes))
        return {row.key: row.value for rows in found for row in rows if row.value is not None}

    async def _scan(self, place: int) -> list[Row]:
        answers = await self._majority(place, {"op": "scan"})
        rows: dict[str, list[Row]] = {}
        for answer in answers:
            for key, counter, writer, value in answer:
                rows.setdefault(key, []).append(Row(key, counter, writer, value))
        best = {key: max(some, key=lambda r: r.tag) for key, some in rows.items()}
        torn = [row for key, row in best.items() if rows[key] != [row] * len(answers)]
        await asyncio.gather(*(self._put(row) for row in torn))
        return list(best.values())

    async def _put(self, row: Row) -> None:
        operation = {
            "op": "put",
            "key": row.key,
            "counter": row.counter,
            "writer": row.writer,
            "value": row.value,
        }
        await self._majority(place_of(row.key), operation)

    async def _majority(self, place: int, operation: dict[str, Any]) -> list[Any]:
        """The answers of a majority of the region's voters, all under one ballot; tried anew with fresh routes."""
        give_up = time.monotonic() + GIVE_UP_SECONDS
        problem = "PD gave no routes"
        while time.monotonic() < give_up:
            began = time.monotonic()
            route = self._find(place)
            if route is not None:
                op = {**operation, "region": route.id, "ballot": route.ballot}
                answers = await self._ask(route, op)
                if len(answers) >= route.majority:
                    return answers
                problem = f"{len(answers)} of {route.count} peers of region {route.id} answered"
            await asyncio.sleep(RETRY_SECONDS)
            await self._refresh(began)
        raise UnavailableError(problem)

    async def _ask(self, route: Route, op: dict[str, Any]) -> list[Any]:
        """Answers as they come, until a majority has answered; those still on their way are left to themselves."""
        waiting: set[asyncio.Future[Any]] = {
            self._lane(store_id, address).send(op) for store_id, address in route.voters.items()
        }
        answers: list[Any] = []
        while waiting and len(answers) < route.majority:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                answer = future.result()
                if answer is not None and "ok" in answer:
                    answers.append(answer["ok"])
        return answers

    def _lane(self, store_id: int, address: str) -> _Lane:
        key = (store_id, address)
        if key not in self._lanes:
            self._lanes[key] = _Lane(self._session, store_id, address)
        return self._lanes[key]

    def _find(self, place: int) -> Route | None:
        if not self._routes:
            return None
        return self._routes[bisect.bisect_right(self._routes, place, key=lambda r: r.start) - 1]

    async def _refresh(self, older_than: float) -> None:
        """Ask PD for the routes, unless somebody did since `older_than` (0: whenever none are known)."""
        async with self._asking:
            if self._routes and self._asked >= older_than:
                return
            try:
                answer = await self._pd.call("GET", "routes")
            except (PdUnavailableError, PdRefusedError):
                return  # the old routes may still be good
            routes = [
                Route(**{**item, "voters": {int(k): v for k, v in item["voters"].items()}})
                for item in answer
            ]
            self._routes = sorted(routes, key=lambda r: r.start)
            self._asked = time.monotonic()


class _Lane:
    """The way to one store: what arrives while a request is under way goes with the next."""

    def __init__(self, session: aiohttp.ClientSession, store_id: int, address: str) -> None:
        self._session = session
        self._store_id = store_id
        self._url = f"http://{address}/standin/v1/kv"
        self._waiting: list[tuple[dict[str, Any], asyncio.Future[Any]]] = []
        self._task: asyncio.Task[None] | None = None

    def send(self, op: dict[str, Any]) -> asyncio.Future[Any]:
        """The store's answer to come; None when it did not answer."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((op, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return future

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:256], self._waiting[256:]
            answers = await self._post([op for op, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _post(self, ops: list[dict[str, Any]]) -> Iterable[Any]:
        body = {"store_id": self._store_id, "ops": ops}
        try:
            async with self._session.post(self._url, json=body) as answer:
                if answer.status == 200:
                    data: list[Any] = await answer.json()
                    return data
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            pass
        return [None] * len(ops)


def _row(key: str, answer: Any) -> Row | None:
    return Row(key, *answer) if answer else None


def _best(key: str, answers: Iterable[Any]) -> Row | None:
    rows = [row for row in (_row(key, answer) for answer in answers) if row is not None]
    return max(rows, key=lambda r: r.tag, default=None)
