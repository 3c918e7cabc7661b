"""`helm test`: what is missing is said; what is there passes. SQL and PD are asked over real sockets that refuse."""

from __future__ import annotations

import socket

import pytest

from hooks.check.job import _address
from hooks.check.observe import Observer
from hooks.check.plan import Snapshot, StoreState, plan
from hooks.engine import Exit

UP = tuple(StoreState(f"shop-tikv-{n}:20160", "Up") for n in range(3))


def world(
    sql_problem: str = "",
    pd_problem: str = "",
    stores: tuple[StoreState, ...] = UP,
    wanted: int = 3,
) -> Snapshot:
    return Snapshot("shop-tidb:4000", sql_problem, pd_problem, stores, wanted)


@pytest.mark.parametrize("snapshot", [world(), world(wanted=2), world(stores=(*UP, UP[0]))])
def test_a_healthy_cluster_passes(snapshot: Snapshot) -> None:
    assert plan(snapshot).exit is Exit.DONE


@pytest.mark.parametrize(
    ("snapshot", "codes", "said"),
    [
        (world(sql_problem="refused"), ["sql"], "refused"),
        (world(pd_problem="silence", stores=()), ["pd"], "silence"),
        (world(stores=UP[:2]), ["too-few-stores"], "2 of 3 stores are Up"),
        (world(stores=()), ["too-few-stores"], "0 of 3 stores are Up"),
        (
            world(stores=(*UP, StoreState("shop-tikv-3:20160", "Down"))),
            ["store-not-up"],
            "PD says Down",
        ),
        (
            world(stores=(*UP[:2], StoreState("shop-tikv-2:20160", "Offline"))),
            ["too-few-stores", "store-not-up"],
            "2 of 3 stores are Up",
        ),
    ],
)
def test_what_is_missing_is_said(snapshot: Snapshot, codes: list[str], said: str) -> None:
    decided = plan(snapshot)
    assert sorted(wait.code for wait in decided.waits) == sorted(codes)
    assert any(said in wait.why for wait in decided.waits)
    assert decided.exit is Exit.WAITING


def test_nobody_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        seen = Observer("127.0.0.1", port, "root", f"http://127.0.0.1:{port}", 3).look()
    assert seen.sql_problem.startswith("SELECT 1 as root failed: ")
    assert "refused" in seen.sql_problem
    assert "GET /pd/api/v1/stores/check" in seen.pd_problem
    assert plan(seen).exit is Exit.WAITING


def test_addresses_are_read_strictly() -> None:
    assert _address("shop-tidb.db.svc:4000") == ("shop-tidb.db.svc", 4000)
    for wrong in ("shop", ":4000", "shop:", "shop:x"):
        with pytest.raises(Exception, match="expected HOST:PORT"):
            _address(wrong)
