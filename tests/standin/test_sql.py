"""What a client of the SQL port can do, and how it is told what it cannot."""

from __future__ import annotations

from collections.abc import Iterator

import pymysql
import pytest
from pymysql.cursors import Cursor

from tests.clients import connect, wait_ready
from tests.contract.programs import World, ask, wait_until


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One PD, one TiKV, one TiDB whose bootstrap ran a file."""
    world = World(tmp_path_factory.mktemp("sql") / "world", scale=10.0)
    sql = world.folder / "init.sql"
    try:
        world.start_pds(1)
        world.start_tikv("tikv-0")
        sql.write_text(
            "CREATE USER 'app'@'%' IDENTIFIED BY 'secret';\nGRANT ALL ON *.* TO 'app'@'%';\n"
            "INSERT INTO kv VALUES ('from', 'the file');\nCREATE TABLE other (a INT);\n"
        )
        program = world.start_tidb()
        program.kill()
        program.start(f"--initialize-sql-file={sql}")
        wait_ready(world)
        yield world
    finally:
        world.stop()
        for program in world.programs():
            print(f"== {program.folder.name}\n{program.output()[-2000:]}")


@pytest.fixture
def cursor(world: World) -> Iterator[Cursor]:
    cursor = connect(world)
    yield cursor
    cursor.connection.close()


def rows(cursor: Cursor, sql: str) -> list[tuple[object, ...]]:
    cursor.execute(sql)
    return list(cursor.fetchall())


def test_what_was_written_is_read(cursor: Cursor) -> None:
    cursor.execute("CREATE DATABASE IF NOT EXISTS shop")
    cursor.execute("USE shop")
    cursor.execute("CREATE TABLE IF NOT EXISTS kv (k VARCHAR(64) PRIMARY KEY, v TEXT)")
    cursor.execute("INSERT INTO shop.kv (k, v) VALUES ('a', 'one'), ('b', 2)")
    cursor.execute("REPLACE INTO kv VALUES ('a', 'it''s \\\\ \"quoted\" ☃')")
    assert rows(cursor, "SELECT v FROM kv WHERE k = 'a'") == [('it\'s \\ "quoted" ☃',)]
    cursor.execute("UPDATE kv SET v = 'x' WHERE k = 'b'")
    assert rows(cursor, "SELECT k, v FROM kv WHERE k = 'b'") == [("b", "x")]
    cursor.execute("DELETE FROM kv WHERE k = 'a'")
    assert rows(cursor, "SELECT v FROM kv WHERE k = 'a'") == []
    assert rows(cursor, "SELECT COUNT(*) FROM kv WHERE k < 'c'") == [(1,)]


def test_a_key_that_is_there_is_a_duplicate(cursor: Cursor) -> None:
    cursor.execute("REPLACE INTO kv VALUES ('twice', '1')")
    with pytest.raises(pymysql.MySQLError, match="Duplicate entry 'twice' for key") as refused:
        cursor.execute("INSERT INTO kv VALUES ('twice', '2')")
    assert refused.value.args[0] == 1062
    cursor.execute("INSERT INTO kv VALUES ('twice', '3') ON DUPLICATE KEY UPDATE v = VALUES(v)")
    assert rows(cursor, "SELECT v FROM kv WHERE k = 'twice'") == [("3",)]


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("CREATE TABLE other (a INT)", "has one table, kv"),
        ("SELECT * FROM other", "has one table, kv"),
        ("INSERT INTO kv VALUES (UPPER('a'), 'x')", "values must be literals"),
        ("INSERT INTO kv VALUES ('a')", "Column count doesn't match"),
        ("UPDATE kv SET k = 'x'", "only v can be set"),
        ("SELEC 1", "error in your SQL syntax"),
        ("DROP TABLE kv", "DROP: this stand-in has one table"),
    ],
)
def test_what_it_cannot_do_is_said(cursor: Cursor, sql: str, text: str) -> None:
    with pytest.raises(pymysql.MySQLError, match=text):
        cursor.execute(sql)


def test_clients_may_ask_who_is_there(cursor: Cursor) -> None:
    assert rows(cursor, "SELECT 1") == [(1,)]
    assert rows(cursor, "SELECT VERSION()") == [("8.0.11-TiDB-v8.5.7",)]
    cursor.execute("SET NAMES utf8mb4")
    cursor.execute("USE test")
    assert ("kv",) in rows(cursor, "SHOW TABLES")


def test_the_file_ran_once_at_the_bootstrap(world: World, cursor: Cursor) -> None:
    assert rows(cursor, "SELECT v FROM kv WHERE k = 'from'") == [("the file",)]
    assert "initialize-sql-file: 'CREATE TABLE other (a INT)'" in world.tidbs["tidb-0"].output()
    app = connect(world, user="app", password="secret")
    assert rows(app, "SELECT 1") == [(1,)]


def test_passwords_are_asked_for(world: World) -> None:
    with pytest.raises(pymysql.MySQLError, match="Access denied"):
        connect(world, user="app", password="wrong")
    with pytest.raises(pymysql.MySQLError, match="Access denied"):
        connect(world, user="nobody")
    cursor = connect(world, user="app", password="secret")
    cursor.execute("ALTER USER 'app'@'%' IDENTIFIED BY 'new'")
    assert rows(connect(world, user="app", password="new"), "SELECT 1") == [(1,)]
    cursor.execute("ALTER USER 'app'@'%' IDENTIFIED BY 'secret'")


def test_status_counts_connections(world: World, cursor: Cursor) -> None:
    body = ask(f"http://127.0.0.1:{world.tidb_port('tidb-0') + 1}/status").body
    assert body["connections"] >= 1
    assert body["version"] == "8.0.11-TiDB-v8.5.7"
    assert rows(cursor, "SELECT 1") == [(1,)]


def test_without_its_only_store_a_write_fails_and_comes_back(world: World, cursor: Cursor) -> None:
    cursor.execute("REPLACE INTO kv VALUES ('before', '1')")
    world.tikvs["tikv-0"].kill()
    with pytest.raises(pymysql.MySQLError, match="Region is unavailable") as refused:
        cursor.execute("REPLACE INTO kv VALUES ('meanwhile', '1')")
    assert refused.value.args[0] == 9005
    world.tikvs["tikv-0"].start()
    wait_until(
        "the store", lambda: ask(f"http://{world.tikv_status('tikv-0')}/status").status == 200
    )
    assert rows(cursor, "SELECT v FROM kv WHERE k = 'before'") == [("1",)]
