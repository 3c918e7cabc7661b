"""Clients of the SQL port that keep account: which values were acknowledged, which may or may not be there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pymysql
from pymysql.cursors import Cursor

from tests.contract.programs import World, ask, wait_until

READY_SECONDS = 60.0
# Between two writes of one client: the processes that are killed need the processor to come back.
PAUSE = 0.01


def connect(world: World, tidb: str = "tidb-0", password: str = "", user: str = "root") -> Cursor:
    connection = pymysql.connect(
        host="127.0.0.1",
        port=world.tidb_port(tidb),
        user=user,
        password=password,
        autocommit=True,
        connect_timeout=5,
        read_timeout=40,
    )
    return connection.cursor()


def wait_ready(world: World, tidb: str = "tidb-0") -> None:
    url = f"http://127.0.0.1:{world.tidb_port(tidb) + 1}/status"
    wait_until(f"{tidb} ready", lambda: ask(url, seconds=2).status == 200, READY_SECONDS)


def everything(world: World) -> dict[str, str]:
    cursor = connect(world)
    cursor.execute("SELECT k, v FROM kv")
    return {str(k): str(v) for k, v in cursor.fetchall()}


@dataclass
class Account:
    """Per key: the last acknowledged value, and those sent after it without an answer. Each key has one writer."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    unsure: dict[str, set[str]] = field(default_factory=dict)
    count: int = 0

    def missing(self, found: dict[str, str]) -> list[str]:
        """A sentence for every key whose value is neither the last acknowledged one nor a later unsure one."""
        return [
            f"{key}: {found.get(key)!r} instead of {value!r}"
            + (f" or one of {sorted(self.unsure[key])}" if self.unsure.get(key) else "")
            for key, value in sorted(self.acknowledged.items())
            if found.get(key) != value and found.get(key) not in self.unsure.get(key, set())
        ]


class Writer(threading.Thread):
    """Overwrites its own few keys, one statement after the other, and keeps the account."""

    def __init__(
        self, connect: Callable[[], Cursor], number: int, keys: int, account: Account
    ) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self.errors: list[str] = []
        self._connect = connect
        self._keys = [f"w{number}-{i}" for i in range(keys)]
        self._account = account
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(timeout=60)
        assert not self.is_alive(), f"{self.name} hangs"

    def run(self) -> None:
        cursor: Cursor | None = None
        number = 0
        while not self._stop_asked.is_set():
            key, value = self._keys[number % len(self._keys)], str(number)
            try:
                cursor = cursor or self._connect()
            except pymysql.MySQLError as problem:
                self.errors.append(str(problem))
                time.sleep(0.1)
                continue
            # Before it is sent: from here on it may be there.
            self._account.unsure.setdefault(key, set()).add(value)
            number += 1
            try:
                cursor.execute("REPLACE INTO kv VALUES (%s, %s)", (key, value))
            except pymysql.MySQLError as problem:
                self.errors.append(str(problem))
                cursor = None
                continue
            self._account.acknowledged[key] = value
            self._account.unsure[key].clear()
            self._account.count += 1
            time.sleep(PAUSE)


class Ledger:
    """The accounts of several writers; what was acknowledged may be read when they have stopped."""

    def __init__(self, accounts: list[Account]) -> None:
        self._accounts = accounts

    @property
    def count(self) -> int:
        """Acknowledged writes so far."""
        return sum(account.count for account in self._accounts)

    def missing(self, found: dict[str, str]) -> list[str]:
        return [sentence for account in self._accounts for sentence in account.missing(found)]


@contextmanager
def writing(
    world: World | Callable[[], Cursor], writers: int = 4, keys: int = 10
) -> Iterator[Ledger]:
    """Write all the time that the block runs; afterwards every writer has stopped."""

    def connected() -> Cursor:
        return connect(world) if isinstance(world, World) else world()

    accounts = [Account() for _ in range(writers)]
    threads = [Writer(connected, i, keys, account) for i, account in enumerate(accounts)]
    for thread in threads:
        thread.start()
    try:
        yield Ledger(accounts)
    finally:
        for thread in threads:
            thread.stop()
