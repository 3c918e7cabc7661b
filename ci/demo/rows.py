"""A client of the database: writes rows, and counts what is still there. Any MySQL client would do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pymysql


@dataclass(frozen=True)
class Sql:
    """Through the NodePort of a node that lives."""

    host: str
    port: int

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with (
            pymysql.connect(
                host=self.host, port=self.port, user="root", autocommit=True,
                connect_timeout=5, read_timeout=20,
            ) as connection,
            connection.cursor() as cursor,
        ):  # fmt: skip
            yield cursor

    def answers(self) -> str:
        """The server's version; "" while nobody answers."""
        try:
            with self._cursor() as cursor:
                cursor.execute("SELECT VERSION()")
                return str(cursor.fetchone()[0])
        except (pymysql.MySQLError, OSError):
            return ""

    def make_table(self) -> None:
        with self._cursor() as cursor:
            cursor.execute("CREATE DATABASE IF NOT EXISTS shop")
            cursor.execute("USE shop")
            cursor.execute("CREATE TABLE IF NOT EXISTS kv (k VARCHAR(64) PRIMARY KEY, v TEXT)")

    def write(self, first: int, number: int) -> None:
        """Rows k-<first> … in batches; each is on disk when its INSERT returns."""
        with self._cursor() as cursor:
            cursor.execute("USE shop")
            for start in range(first, first + number, 25):
                batch = range(start, min(start + 25, first + number))
                values = ", ".join(f"('k-{key}', 'value {key}')" for key in batch)
                cursor.execute(f"INSERT INTO kv VALUES {values}")

    def missing(self, number: int) -> list[str]:
        """Keys of k-0 … k-<number - 1> that are not there, or have another value than was written."""
        with self._cursor() as cursor:
            cursor.execute("USE shop")
            cursor.execute("SELECT k, v FROM kv")
            found = dict(cursor.fetchall())
        return [f"k-{key}" for key in range(number) if found.get(f"k-{key}") != f"value {key}"]
