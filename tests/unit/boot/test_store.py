"""How TiKV and TiDB start: the table in hooks/boot/store.py, row by row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hooks.boot.model import Record, ServerSnapshot, StoreSnapshot, WriteRecord
from hooks.boot.store import plan_server, plan_store
from hooks.engine import Exit
from tests.unit.boot.worlds import (
    FIRST,
    FORMING,
    GIVEN_UP,
    ID,
    KNOWN,
    OTHER,
    SINCE,
    store_world,
    told,
)

START = "start --labels=zone=a,host=n1"

ROWS = {
    "PD is silent": (store_world(cluster_id=None), "wait pd-silent"),
    "PD is silent, no record": (store_world(cluster_id=None, record=None), "wait pd-silent"),
    "no record": (store_world(record=None), f"record  id {ID}"),
    "no id yet": (store_world(record=FORMING), f"record {','.join(FIRST)} id {ID}"),
    "the same id": (store_world(), START),
    "a Node without labels": (store_world(labels=()), "start"),
    "the same id again": (store_world(record=GIVEN_UP), f"record {','.join(FIRST)} id {ID}"),
    "recovering": (store_world(cluster_id=OTHER, record=GIVEN_UP), "wait recover"),
    "another id": (store_world(cluster_id=OTHER), "refuse other-cluster"),
    "another id, another one given up": (
        store_world(cluster_id=OTHER, record=replace(KNOWN, rebootstrap=OTHER)),
        "refuse other-cluster",
    ),
    "network volume": (store_world(volume_problem="nfs"), "refuse network-volume"),
    "no name": (store_world(dns_problem="no address"), "wait no-name"),
    "decided already": (store_world(written="--labels=zone=a"), "nothing"),
}


@pytest.mark.parametrize("row", ROWS)
def test_row(row: str) -> None:
    snapshot, expected = ROWS[row]
    assert told(plan_store(snapshot, "shop-cluster")) == expected


def test_the_record_is_dated_when_the_id_is_noted() -> None:
    (action,) = plan_store(store_world(record=FORMING), "shop-cluster").actions
    assert isinstance(action, WriteRecord)
    assert (action.before, action.now) == (FORMING, Record(FIRST, ID, SINCE, version="1"))


@pytest.mark.parametrize("snapshot", [store_world(record=None), store_world(record=FORMING)])
def test_nothing_starts_before_the_record_is_written(snapshot: StoreSnapshot) -> None:
    (first,) = plan_store(snapshot, "shop-cluster").actions
    assert isinstance(first, WriteRecord)
    after = plan_store(replace(snapshot, record=replace(first.now, version="3")), "shop-cluster")
    assert told(after) == START


def test_another_cluster_is_refused_in_words() -> None:
    plan = plan_store(store_world(cluster_id=OTHER), "shop-cluster")
    assert plan.refusals[0].why == f"PD is cluster {OTHER}, but this release is cluster {ID}"
    assert plan.refusals[0].remedy.endswith("the store was not started and its data not touched")
    assert plan.exit is Exit.REFUSED


def test_silence_is_told_with_its_cause() -> None:
    wait = plan_store(store_world(cluster_id=None), "shop-cluster").waits[0]
    assert wait.why == "PD does not answer (GET /pd/api/v1/members: connection refused)"
    assert wait.until == "a PD member leads: see the init containers of the PD pods"


def test_tidb_waits_for_a_first_store() -> None:
    assert told(plan_server(ServerSnapshot("shop-tidb-0", None, "no route"))) == "wait pd-silent"
    assert told(plan_server(ServerSnapshot("shop-tidb-0", False, ""))) == "wait no-store"
    assert told(plan_server(ServerSnapshot("shop-tidb-0", True, ""))) == "nothing"
