"""Rows and their promises: in named cases, then in every order that crashes, delays and moves can bring about.

The model plays TiDBs with fresh and old routes, and PD leaders that die between any two steps of a change of voters
(`operators.py`), on the real `Rows`. After each step every acknowledged row must be what a majority of the committed
voters gives back.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.standin.operators import newest
from tests.standin.rows import Rows, StaleBallotError

REGION = 1


def put(
    rows: Rows, ballot: int, key: str, counter: int, value: str | None, writer: str = "a"
) -> None:
    row = {"key": key, "counter": counter, "writer": writer, "value": value}
    rows.operate({"op": "put", "region": REGION, "ballot": ballot, **row})


def get(rows: Rows, ballot: int, key: str) -> Any:
    return rows.operate({"op": "get", "region": REGION, "ballot": ballot, "key": key})


def test_the_higher_tag_wins_whatever_comes_first() -> None:
    rows = Rows(":memory:")
    put(rows, 1, "k", 2, "new")
    put(rows, 1, "k", 1, "old")
    assert get(rows, 1, "k") == [2, "a", "new"]
    put(rows, 1, "k", 2, "of a later writer", writer="b")
    assert get(rows, 1, "k")[2] == "of a later writer"


def test_a_seal_refuses_what_is_older_and_gives_every_row() -> None:
    rows = Rows(":memory:")
    put(rows, 1, "k", 1, None)
    assert rows.seal(REGION, 3) == [["k", 1, "a", None]]
    for act in (lambda: put(rows, 2, "k", 2, "x"), lambda: rows.seal(REGION, 2)):
        with pytest.raises(StaleBallotError):
            act()
    put(rows, 3, "k", 2, "x")


def test_a_late_drop_does_not_take_what_was_given_anew() -> None:
    rows = Rows(":memory:")
    rows.install(REGION, 5, [["k", 1, "a", "v"]])
    rows.drop(REGION, 4)
    assert get(rows, 5, "k") == [1, "a", "v"]
    rows.drop(REGION, 6)
    assert rows.sizes() == {}
    with pytest.raises(StaleBallotError):
        get(rows, 5, "k")


def test_rows_outlive_the_process(tmp_path: Path) -> None:
    first = Rows(tmp_path / "rows.db")
    first.begin()
    put(first, 1, "k", 1, "v")
    first.commit()
    assert get(Rows(tmp_path / "rows.db"), 1, "k") == [1, "a", "v"]


SOAK, SOAK_EXAMPLES = os.environ.get("HELM_TIDB_SOAK") == "1", 5000
STORES = st.sets(st.integers(0, 3))
Write = tuple[int, set[int]]
WRITES = st.lists(st.tuples(st.integers(0, 2), STORES), max_size=2)


class Moves(RuleBasedStateMachine):
    """Four stores; the region starts on three. What PD has in etcd is `voters`, `ballot` and `highest`."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = {store: Rows(":memory:") for store in range(4)}
        self.voters = frozenset({0, 1, 2})
        self.ballot = self.highest = 1
        self.counter = 0
        self.acknowledged = 0
        self.routes = [(self.ballot, self.voters)]

    @rule(old=st.integers(0, 2), reached=STORES)
    def write(self, old: int, reached: set[int]) -> None:
        """A TiDB with routes of now or of before reaches some of the voters that it knows."""
        ballot, voters = self.routes[max(0, len(self.routes) - 1 - old)]
        self.counter += 1
        took = 0
        for store in sorted(reached & voters):
            with suppress(StaleBallotError):
                put(self.rows[store], ballot, "k", self.counter, str(self.counter))
                took += 1
        if took >= majority(voters):
            self.acknowledged = self.counter

    @rule(
        voters=st.frozensets(st.integers(0, 3), min_size=1),
        sealing=STORES,
        installing=STORES,
        dies=st.sampled_from(["never", "never", "before seal", "before install", "before commit"]),
        writes=st.tuples(WRITES, WRITES, WRITES),
    )
    def change_voters(
        self,
        voters: frozenset[int],
        sealing: set[int],
        installing: set[int],
        dies: str,
        writes: tuple[list[Write], list[Write], list[Write]],
    ) -> None:
        """`Mover._change_voters`: some stores answer, the leader may die, clients write between any two steps."""
        self.highest += 1
        ballot = self.highest
        self._write_all(writes[0])
        if dies == "before seal":
            return
        sealed = {s: self.rows[s].seal(REGION, ballot) for s in sorted(sealing & self.voters)}
        self._write_all(writes[1])
        if dies == "before install" or len(sealed) < majority(self.voters):
            return
        installed = sorted(installing & voters)
        for store in installed:
            self.rows[store].install(REGION, ballot, newest(sealed.values()))
        self._write_all(writes[2])
        if dies == "before commit" or len(installed) < majority(voters):
            return
        self.voters, self.ballot = voters, ballot
        self.routes.append((ballot, voters))

    def _write_all(self, writes: list[Write]) -> None:
        for old, reached in writes:
            self.write(old, reached)

    @rule(stores=STORES)
    def drop(self, stores: set[int]) -> None:
        """By a heartbeat's answer: the region is not on these stores."""
        for store in stores - self.voters:
            self.rows[store].drop(REGION, self.ballot)

    @invariant()
    def acknowledged_rows_are_on_every_majority(self) -> None:
        # The most forgetful majority: the voters that know more do not answer.
        known = [
            self.rows[store].seal(REGION, self.rows[store].promised(REGION))
            for store in self.voters
        ]
        counters = sorted(max((row[1] for row in rows), default=0) for rows in known)
        assert counters[majority(self.voters) - 1] >= self.acknowledged

    def teardown(self) -> None:
        for rows in self.rows.values():
            rows.close()


def majority(voters: frozenset[int]) -> int:
    return len(voters) // 2 + 1


def test_no_order_of_moves_and_writes_loses_an_acknowledged_row() -> None:
    run_state_machine_as_test(
        Moves,
        settings=settings(
            max_examples=SOAK_EXAMPLES if SOAK else 80, stateful_step_count=20, deadline=None
        ),
    )
