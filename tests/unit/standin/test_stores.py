"""The life of a store: what PD accepts and refuses, in its words (the traps included)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.standin import stores as life
from tests.standin.clock import Clock
from tests.standin.model import NodeState, State, Stats, Store
from tests.standin.stores import RefusedError, RegistrationError
from tests.unit.standin.worlds import region, store, stores

SECOND = 1_000_000_000
MINUTES_30 = 1800.0


@pytest.mark.parametrize(
    ("silent", "name"),
    [(0, "Up"), (19, "Up"), (21, "Disconnected"), (1799, "Disconnected"), (1801, "Down")],
)
def test_a_store_is_called_by_the_age_of_its_heartbeat(silent: int, name: str) -> None:
    now = 2_000_000 * SECOND
    one = store(1, last_heartbeat=now - silent * SECOND)
    assert life.state_name(one, now, MINUTES_30, Clock()) == name
    sooner = store(1, last_heartbeat=now - silent * SECOND // 10)
    assert life.state_name(sooner, now, MINUTES_30, Clock(10)) == name


def test_an_offline_store_reads_offline_alive_or_dead() -> None:
    assert life.state_name(store(1, State.OFFLINE), 10**18, MINUTES_30, Clock()) == "Offline"


def test_delete_counts_stores_that_are_down_and_tiflash() -> None:
    four = stores(4)
    four[4].labels = {"engine": "tiflash"}
    assert life.delete(four, 1, 3, force=False).state is State.OFFLINE


def test_delete_needs_a_spare_store() -> None:
    with pytest.raises(
        RefusedError, match="number of up stores would be 2 while need 3"
    ) as refused:
        life.delete(stores(3), 1, 3, force=False)
    assert refused.value.status == 400


def test_force_is_never_refused_not_even_for_the_last_store() -> None:
    gone = life.delete(stores(1), 1, 3, force=True)
    assert (gone.state, gone.physically_destroyed) == (State.OFFLINE, True)


def test_a_plain_delete_of_a_destroyed_store_is_refused_and_a_forced_one_is_not() -> None:
    world = {1: life.delete(stores(3), 1, 3, force=True)}
    with pytest.raises(RefusedError, match="store 1 has been physically destroyed"):
        life.delete(world, 1, 3, force=False)
    assert life.delete(world, 1, 3, force=True) == world[1]


@pytest.mark.parametrize("force", [True, False])
def test_a_tombstone_is_final(force: bool) -> None:
    world = {1: life.bury(store(1))}
    with pytest.raises(RefusedError, match="store 1 has been removed") as refused:
        life.delete(world, 1, 3, force=force)
    assert refused.value.status == 410
    with pytest.raises(RefusedError, match="store 1 has been removed"):
        life.cancel(world, 1)


def test_an_offline_store_comes_back_unless_it_was_destroyed() -> None:
    offline = life.delete(stores(4), 1, 3, force=False)
    assert life.cancel({1: offline}, 1).state is State.UP
    destroyed = life.delete(stores(4), 1, 3, force=True)
    with pytest.raises(RefusedError, match="physically destroyed"):
        life.cancel({1: destroyed}, 1)


@pytest.mark.parametrize("act", [life.cancel, life.find])
def test_an_unknown_store_is_not_found(act: Callable[[dict[int, Store], int], Store]) -> None:
    with pytest.raises(RefusedError, match="store 9 not found") as refused:
        act(stores(1), 9)
    assert refused.value.status == 404


def test_an_address_is_taken_until_its_store_is_destroyed_or_buried() -> None:
    old, new = store(1), replace(store(2), address="tikv-1:20160")
    offline = life.delete({1: old, 3: store(3), 4: store(4), 5: store(5)}, 1, 3, force=False)
    for holder in (old, offline):
        with pytest.raises(RegistrationError, match=r"duplicated store address: id:2 .* by id:1 "):
            life.register({1: holder}, new)
    for holder in (life.delete({1: old}, 1, 3, force=True), life.bury(old)):
        assert life.register({1: holder}, new) == new


def test_a_tombstone_may_not_register_and_a_removed_record_may() -> None:
    with pytest.raises(RegistrationError, match="store is tombstone"):
        life.register({1: life.bury(store(1))}, store(1))
    assert life.register({}, store(1)).state is State.UP


def test_a_restart_keeps_the_state_that_pd_knows() -> None:
    offline = life.delete(stores(4), 1, 3, force=False)
    again = life.register({1: offline}, store(1, start_timestamp=7))
    assert (again.state, again.start_timestamp) == (State.OFFLINE, 7)


def test_heartbeats_of_tombstones_and_removed_records_are_refused() -> None:
    with pytest.raises(RegistrationError, match="store is tombstone"):
        life.heartbeat({1: life.bury(store(1))}, 1)
    with pytest.raises(RegistrationError, match="store 1 not found"):
        life.heartbeat({}, 1)
    destroyed = life.delete({1: store(1)}, 1, 3, force=True)
    assert life.heartbeat({1: destroyed}, 1) is destroyed


def test_labels_have_a_form() -> None:
    life.check_labels({"zone": "z-1_a.b/c", "host": ""})
    with pytest.raises(RefusedError, match="a b does not match format"):
        life.check_labels({"zone": "a b"})


def test_the_answer_leaves_out_what_pd_leaves_out() -> None:
    new = store(1)
    quiet = life.answer(new, "Down", None, [], {})
    assert not {"state", "labels", "last_heartbeat", "node_state", "physically_destroyed"} & set(
        quiet["store"]
    )
    assert quiet["status"]["capacity"] == "0B"
    assert not {"slow_score", "uptime"} & set(quiet["status"])
    known = replace(new, node_state=NodeState.SERVING, last_heartbeat=5 * SECOND, start_timestamp=1)
    full = life.answer(known, "Up", Stats(1 << 30, 1 << 29, 0), [region(1, 1, 2, 3)], {1: 60})
    assert full["store"]["node_state"] == 1
    assert (full["status"]["region_count"], full["status"]["leader_size"]) == (1, 60)
    assert full["status"]["uptime"] == "4s"
