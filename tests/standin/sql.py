"""The SQL of the stand-in: one table `kv` (k, v) in every database, over the register; users and their passwords.

What a client of a real TiDB does first (SELECT 1, SHOW, SET, USE, CREATE DATABASE, CREATE USER, GRANT) works or is
accepted; everything that would need a second table, a transaction or a type is refused with the sentence that says
so. INSERT of a key that is there is error 1062, looked up before the write: two clients that insert the same key at
once may both succeed. Users are rows as well, under keys that no SELECT shows, so passwords survive what rows
survive.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import sqlglot.errors
from mysql_mimic.auth import IdentityProvider, NativePasswordAuthPlugin, User
from mysql_mimic.errors import ErrorCode, MysqlError
from mysql_mimic.session import Session
from sqlglot import exp
from sqlglot.executor import execute

from tests.standin.program import VERSION
from tests.standin.register import Register, UnavailableError

TABLE = "kv"
COLUMNS = ("k", "v")
HIDDEN = "\x00"
DUPLICATE_ENTRY = 1062
REGION_UNAVAILABLE = 9005
SERVER_VERSION = f"8.0.11-TiDB-v{VERSION}"
ONE_TABLE = "this stand-in has one table, kv (k, v), and no transactions: not a TiDB"
_USER = (
    r"(?:CREATE\s+USER(?:\s+IF\s+NOT\s+EXISTS)?|ALTER\s+USER|SET\s+PASSWORD\s+FOR)\s+"
    r"['\"`]?(?P<name>[^'\"`@\s]+)['\"`]?(?:@['\"`]?[^'\"`\s]*['\"`]?)?"
    r"(?:\s+(?:IDENTIFIED(?:\s+WITH\s+\S+)?\s+BY|=)\s+['\"](?P<password>[^'\"]*)['\"])?"
)
USER_STATEMENT = re.compile(rf"\s*{_USER}.*", re.IGNORECASE | re.DOTALL)
ACCEPTED = re.compile(r"\s*(GRANT|REVOKE|FLUSH|ANALYZE|SET\s+GLOBAL|ADMIN)\b", re.IGNORECASE)
REPLACE = re.compile(r"\s*REPLACE\s+(INTO\s+)?", re.IGNORECASE)
logging.getLogger("sqlglot").setLevel(logging.ERROR)
logging.getLogger("mysql_mimic").setLevel(logging.CRITICAL)


def refuse(text: str, code: int = ErrorCode.NOT_SUPPORTED_YET) -> MysqlError:
    """The error a client gets; the library's own codes are an enum, TiDB's further ones are plain numbers."""
    return MysqlError(text, code)  # type: ignore[arg-type]


class Users(IdentityProvider):
    """Users by name; `root` without a password until somebody sets one, as after TiDB's bootstrap."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._known: dict[str, str | None] = {}

    async def get_user(self, username: str) -> User | None:
        try:
            known = self._known[username] = await self._register.read(_user_key(username))
        except UnavailableError:
            # As TiDB, which has its users in memory: who could log in before still can.
            if username not in self._known:
                return None
            known = self._known[username]
        if known is None and username != "root":
            # As for a wrong password, which nobody can give: who exists is not told.
            return User(name=username, auth_string="*", auth_plugin=_NATIVE)
        if known is None:
            return User(name=username, auth_plugin=_NATIVE)
        return User(name=username, auth_string=json.loads(known) or None, auth_plugin=_NATIVE)

    async def set(self, name: str, password: str) -> None:
        digest = hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest()
        await self._register.write(_user_key(name), json.dumps(digest if password else ""))


_NATIVE = NativePasswordAuthPlugin.name


def _user_key(name: str) -> str:
    return f"{HIDDEN}user/{name}"


class KvSession(Session):
    """One connection."""

    def __init__(self, register: Register, users: Users) -> None:
        super().__init__()
        self.variables.set("version", SERVER_VERSION, force=True)
        self.variables.set("version_comment", "TiDB stand-in of helm-tidb", force=True)
        self.database = "test"
        self._register = register
        self._users = users

    async def handle_query(self, sql: str, attrs: dict[str, str]) -> Any:
        user = USER_STATEMENT.fullmatch(sql)
        try:
            if user:
                await self._users.set(user["name"], user["password"] or "")
                return [], []
            if ACCEPTED.match(sql):
                return [], []
            replace = REPLACE.match(sql)
            if replace:
                sql = f"INSERT INTO {sql[replace.end() :]} ON DUPLICATE KEY UPDATE v = VALUES(v)"
            return await super().handle_query(sql, attrs)
        except sqlglot.errors.ParseError as problem:
            raise refuse(
                f"You have an error in your SQL syntax: {problem}", ErrorCode.PARSE_ERROR
            ) from None
        except UnavailableError as problem:
            raise refuse(f"Region is unavailable: {problem}", REGION_UNAVAILABLE) from problem

    async def schema(self) -> dict[str, Any]:
        return {"test": {TABLE: dict.fromkeys(COLUMNS, "TEXT")}}

    async def query(self, expression: exp.Expression, *_: Any) -> Any:
        handlers: dict[type[exp.Expression], Callable[[Any], Awaitable[Any]]] = {
            exp.Insert: self._insert,
            exp.Update: self._update,
            exp.Delete: self._delete,
            exp.Select: self._select,
            exp.Create: self._create,
        }
        handler = handlers.get(type(expression))
        if handler is None:
            raise refuse(f"{type(expression).__name__.upper()}: {ONE_TABLE}")
        return await handler(expression)

    async def _create(self, create: exp.Create) -> Any:
        if create.kind not in ("DATABASE", "SCHEMA"):
            table = create.find(exp.Table)
            if create.kind != "TABLE" or table is None or table.name.lower() != TABLE:
                raise refuse(ONE_TABLE)
        return [], []

    async def _insert(self, insert: exp.Insert) -> Any:
        _check_table(insert)
        target = insert.this
        named = (
            [c.name.lower() for c in target.expressions] if isinstance(target, exp.Schema) else []
        )
        order = named or list(COLUMNS)
        if sorted(order) != sorted(COLUMNS) or not isinstance(insert.expression, exp.Values):
            raise refuse(ONE_TABLE)
        rows = []
        for values in insert.expression.expressions:
            if len(values.expressions) != len(order):
                raise refuse("Column count doesn't match value count at row 1", 1136)
            given = dict(zip(order, map(_literal, values.expressions), strict=True))
            rows.append((_not_null(given["k"]), given["v"] or ""))
        if not insert.args.get("conflict"):
            for key, _ in rows:
                if await self._register.read(key) is not None:
                    raise refuse(f"Duplicate entry '{key}' for key 'kv.PRIMARY'", DUPLICATE_ENTRY)
        await asyncio.gather(*(self._register.write(key, value) for key, value in rows))
        return [], []

    async def _update(self, update: exp.Update) -> Any:
        _check_table(update)
        change = update.expressions[0]
        if len(update.expressions) != 1 or change.this.name.lower() != "v":
            raise refuse("only v can be set: " + ONE_TABLE)
        value = _literal(change.expression) or ""
        keys = [row["k"] for row in await self._rows(update)]
        await asyncio.gather(*(self._register.write(key, value) for key in keys))
        return [], []

    async def _delete(self, delete: exp.Delete) -> Any:
        _check_table(delete)
        keys = [row["k"] for row in await self._rows(delete)]
        await asyncio.gather(*(self._register.write(key, None) for key in keys))
        return [], []

    async def _rows(self, statement: exp.Update | exp.Delete) -> list[dict[str, str]]:
        """The rows that an UPDATE or DELETE is for: one read for a key, else a scan and the WHERE in memory."""
        select = exp.select("k", "v").from_(TABLE)
        where = statement.args.get("where")
        if where:
            select = select.where(where.this.copy())
        found = await self._select(select)
        return [dict(zip(COLUMNS, row, strict=True)) for row in found[0]]

    async def _select(self, select: exp.Select) -> Any:
        tables = list(select.find_all(exp.Table))
        if not tables or any(t.name.lower() != TABLE for t in tables):
            raise refuse(ONE_TABLE)
        for table in tables:
            table.set("db", None)
        key = _key_of(select) if len(tables) == 1 else None
        if key is not None:
            value = await self._register.read(key)
            rows = [{"k": key, "v": value}] if value is not None else []
        else:
            everything = await self._register.scan()
            rows = [{"k": k, "v": v} for k, v in everything.items() if not k.startswith(HIDDEN)]
        names = select.named_selects
        if not rows:
            rows = [{"k": "", "v": ""}]  # the executor needs a row to know the columns
            select = select.where(exp.false())
        try:
            result = execute(select, tables={TABLE: rows})
        except sqlglot.errors.SqlglotError as problem:
            raise refuse(f"{problem}: {ONE_TABLE}") from None
        return result.rows, [str(c) for c in result.columns] or names


def _check_table(statement: exp.Expression) -> None:
    table = statement.find(exp.Table)
    if table is None or table.name.lower() != TABLE:
        raise refuse(ONE_TABLE)


def _literal(value: exp.Expression) -> str | None:
    if isinstance(value, exp.Null):
        return None
    if isinstance(value, exp.Literal):
        return str(value.this)
    if isinstance(value, exp.Neg) and isinstance(value.this, exp.Literal):
        return f"-{value.this.this}"
    raise refuse("values must be literals: " + ONE_TABLE)


def _not_null(key: str | None) -> str:
    if key is None or key.startswith(HIDDEN):
        raise refuse("Column 'k' cannot be null", 1048)
    return key


def _key_of(select: exp.Select) -> str | None:
    """The key of `WHERE k = 'x'` when that is the whole condition: then one row is read, not all."""
    where = select.args.get("where")
    condition = where.this if where else None
    if not isinstance(condition, exp.EQ) or not isinstance(condition.this, exp.Column):
        return None
    if condition.this.name.lower() != "k" or not isinstance(condition.expression, exp.Literal):
        return None
    return str(condition.expression.this)
