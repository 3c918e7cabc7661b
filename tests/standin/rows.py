"""A store's rows on its disk: SQLite with every commit fsynced, and the promises that peers make.

A peer is a `region` row with `promised`, the highest ballot it has sealed or seen: it takes reads and writes only
under that ballot or a higher one. A row carries its tag (counter, writer); a higher tag wins, whatever the order of
arrival, and a deleted row stays as one without value. Nothing here is a cache: what a call returned is on the disk.

One thread owns the database (`Journal`): it takes all requests that wait, runs them in one transaction, and answers
when that is on the disk. So a hundred concurrent writes cost one fsync.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

FILE = "rows.db"
Answer = TypeVar("Answer")
SCHEMA = """
CREATE TABLE IF NOT EXISTS region (id INTEGER PRIMARY KEY, promised INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS row (
  region INTEGER NOT NULL, key TEXT NOT NULL, counter INTEGER NOT NULL, writer TEXT NOT NULL, value TEXT,
  PRIMARY KEY (region, key)
) WITHOUT ROWID;
"""
_UPSERT = """
INSERT INTO row VALUES (?, ?, ?, ?, ?) ON CONFLICT (region, key) DO UPDATE
SET counter = excluded.counter, writer = excluded.writer, value = excluded.value
WHERE (excluded.counter, excluded.writer) > (row.counter, row.writer)
"""


class StaleBallotError(Exception):
    """The request's ballot is below what the peer has promised: its sender must ask PD for the routes."""


class Rows:
    """The database, for one thread; the caller commits. `:memory:` is SQLite's own word for none on a disk."""

    def __init__(self, database: Path | str) -> None:
        self._db = sqlite3.connect(database, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(
            "PRAGMA synchronous=FULL"
        )  # fsync at every commit, not only at checkpoints
        self._db.execute("PRAGMA cache_size=-2048")
        self._db.executescript(SCHEMA)

    def begin(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()

    def operate(self, op: dict[str, Any]) -> Any:
        """One operation of a client: get or put of a key, or the scan of a region, under the client's ballot."""
        self._check(op["region"], op["ballot"])
        match op["op"]:
            case "put":
                values = (op["region"], op["key"], op["counter"], op["writer"], op["value"])
                self._db.execute(_UPSERT, values)
                return True
            case "get":
                found = self._db.execute(
                    "SELECT counter, writer, value FROM row WHERE region = ? AND key = ?",
                    (op["region"], op["key"]),
                ).fetchone()
                return list(found) if found else None
            case "scan":
                return self._all(op["region"])
            case other:
                raise ValueError(f"unknown operation {other!r}")

    def seal(self, region: int, ballot: int) -> list[list[Any]]:
        """Promise to take nothing below `ballot`, and give every row of the region."""
        if ballot < self.promised(region):
            raise StaleBallotError
        self._promise(region, ballot)
        return self._all(region)

    def install(self, region: int, ballot: int, rows: list[list[Any]]) -> None:
        if ballot < self.promised(region):
            raise StaleBallotError
        self._promise(region, ballot)
        self._db.executemany(_UPSERT, [(region, *row) for row in rows])

    def drop(self, region: int, ballot: int) -> None:
        """Forget the rows, keep the promise; ignored when the peer has been given the region anew since."""
        if ballot >= self.promised(region):
            self._promise(region, ballot)
            self._db.execute("DELETE FROM row WHERE region = ?", (region,))

    def promised(self, region: int) -> int:
        found = self._db.execute("SELECT promised FROM region WHERE id = ?", (region,)).fetchone()
        return int(found[0]) if found else 0

    def sizes(self) -> dict[int, int]:
        """Bytes of keys and values by region, of the regions that have rows."""
        return dict(
            self._db.execute(
                "SELECT region, SUM(LENGTH(key) + COALESCE(LENGTH(value), 0)) FROM row GROUP BY region"
            )
        )

    def _check(self, region: int, ballot: int) -> None:
        promised = self.promised(region)
        if ballot < promised:
            raise StaleBallotError
        if ballot > promised:
            self._promise(region, ballot)

    def _promise(self, region: int, ballot: int) -> None:
        self._db.execute(
            "INSERT INTO region VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET promised = excluded.promised",
            (region, ballot),
        )

    def _all(self, region: int) -> list[list[Any]]:
        found = self._db.execute(
            "SELECT key, counter, writer, value FROM row WHERE region = ?", (region,)
        )
        return [list(row) for row in found]


class Journal:
    """The thread that owns the database. `failed` is told when the disk refuses: the store must stop."""

    def __init__(self, rows: Rows, failed: Callable[[str], None]) -> None:
        self._rows = rows
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Callable[[Rows], Any], asyncio.Future[Any]] | None]
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[Rows], Answer]) -> Answer:
        """What `work` returned, once it is on the disk; its StaleBallotError or ValueError is passed on."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._queue.put((work, future))
        return await future

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            while (first := self._queue.get()) is not None:
                batch = [first]
                while len(batch) < 256 and not self._queue.empty():
                    more = self._queue.get()
                    if more is None:
                        self._queue.put(None)
                        break
                    batch.append(more)
                self._commit(batch)
            self._rows.close()
        except (sqlite3.Error, OSError) as problem:
            self._loop.call_soon_threadsafe(self._failed, f"{FILE}: {problem}")

    def _commit(self, batch: list[tuple[Callable[[Rows], Any], asyncio.Future[Any]]]) -> None:
        outcomes: list[tuple[asyncio.Future[Any], Any, Exception | None]] = []
        self._rows.begin()
        for work, future in batch:
            try:
                outcomes.append((future, work(self._rows), None))
            except (StaleBallotError, ValueError, KeyError) as refused:
                outcomes.append((future, None, refused))
        self._rows.commit()
        self._loop.call_soon_threadsafe(_resolve, outcomes)


def _resolve(outcomes: list[tuple[asyncio.Future[Any], Any, Exception | None]]) -> None:
    for future, answer, refused in outcomes:
        if future.done():
            continue
        if refused is None:
            future.set_result(answer)
        else:
            future.set_exception(refused)
