"""Named cases of the plan: what confirms a loss and what does not. A world, the step it takes, and the reason for it
or for none.

The rules and rows of a real PD's recorded answers are named. What forbids the step is in test_gates.py, the steps
in test_steps.py and test_members.py, interleavings and crashes in test_explore.py and test_walks.py, what the API
server and PD may do to a call in tests/faults.
"""

from __future__ import annotations

import dataclasses

import pytest

from hooks import pd
from hooks.failover.actions import RetireStore
from hooks.failover.model import (
    Snapshot,
)
from hooks.failover.plan import plan
from tests.model.scene import (
    GONE,
    LOST,
    POLICY,
    fail_disk,
    lose,
    member_back,
    new_leader,
    noted,
    only,
    scene,
    see,
    see_pd,
    see_silent,
    see_store,
    steps,
    store,
    told,
)
from tests.model.sight import NOW_NS

# --- A healthy cluster ----------------------------------------------------------------------------


def test_nothing_to_do_stays_nothing_to_do() -> None:
    assert told(plan(scene(), POLICY)) == ([], [], [])


def test_the_same_world_gives_the_same_bytes() -> None:
    assert plan(scene(*LOST), POLICY).text() == plan(scene(*LOST), POLICY).text()


# --- What confirms a loss of a store --------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(scene(*LOST), ["mark"], id="NotReady for long, silent for long, twice read"),
        pytest.param(scene(*GONE), ["mark"], id="Node deleted, silent for long"),
        pytest.param(
            scene(*GONE, store(2, beat="short")), ["mark"], id="Node deleted: 20 s are enough"
        ),
        pytest.param(
            scene(*LOST, store(2, beat="short")),
            ["waits store-silent-too-briefly"],
            id="NotReady for long, PD heard it a minute ago",
        ),
        pytest.param(scene(fail_disk("tikv", 1)), ["mark"], id="disk failed on a living node"),
        pytest.param(
            scene(fail_disk("tikv", 1, "short")),
            ["waits store-silent-too-briefly"],
            id="disk failed a minute ago",
        ),
        pytest.param(
            scene(lose(2, "short"), member_back),
            ["waits node-not-ready"],
            id="NotReady for two minutes",
        ),
        pytest.param(
            see_silent(scene(), 11),
            ["waits place-fine"],
            id="PD calls it Down, its node and disk are fine",
        ),
        pytest.param(
            scene(*LOST, store(2, beat="fresh"), read="once"),
            [],
            id="never on Up, whatever Kubernetes says",
        ),
        pytest.param(
            scene(*LOST, read="once"), ["waits one-reading"], id="rule 2: never from one reading"
        ),
        pytest.param(
            scene(*LOST, read="left"), ["mark"], id="the first reading may be an earlier run's"
        ),
        pytest.param(
            scene(store(2, beat="never"), lose(2, "short"), member_back),
            ["waits node-not-ready"],
            id="row: new id registered reads Down",
        ),
    ],
)
def test_a_lost_store(seen: Snapshot, expected: list[str]) -> None:
    assert steps(seen) == expected


def test_out_of_service_counts_as_lost_at_once() -> None:
    seen = scene(lose(2, "short"), member_back, store(2, beat="long"))
    fenced = dataclasses.replace(seen.nodes["n2"], out_of_service=True)
    assert steps(see(seen, nodes={**seen.nodes, "n2": fenced})) == ["mark"]


def test_rule_2_all_stores_read_disconnected_after_a_leader_change() -> None:
    seen = scene(*GONE, new_leader(1), read="once")
    assert steps(seen)[0].startswith("waits")
    assert not plan(seen, POLICY).refusals, "that no store is Up for a moment is no double loss"


def test_rule_2_a_leader_that_changed_between_two_readings() -> None:
    seen = see_pd(scene(*LOST), leader_steady=False)
    assert steps(seen) == ["waits leader-changed"]
    assert seen.earlier is not None
    other = see(scene(*LOST), earlier=dataclasses.replace(seen.earlier, leader=1))
    assert steps(other) == ["waits leader-changed"]


def test_rule_2_a_leader_that_has_not_heard_it_and_was_not_watched() -> None:
    """Led, lost, led again between a reading that an earlier run left and this one: the live store is not yet
    heard.
    """
    seen = see_store(scene(*LOST, read="left"), 21, heard=False)
    assert steps(seen) == ["waits leader-new"]
    watched = see_store(scene(*LOST), 21, heard=False)
    assert steps(watched) == ["mark"]


def test_rule_2_others_must_move() -> None:
    seen = scene(*LOST)
    assert seen.earlier is not None
    beats = dict(seen.earlier.beats) | {1: NOW_NS}
    still = see(seen, earlier=dataclasses.replace(seen.earlier, beats=beats))
    assert steps(still) == ["waits others-stand-still"]


def test_rule_2_a_heartbeat_that_moved() -> None:
    seen = scene(*LOST)
    assert seen.earlier is not None
    beats = dict(seen.earlier.beats) | {21: 1}
    assert steps(see(seen, earlier=dataclasses.replace(seen.earlier, beats=beats))) == [
        "waits store-heartbeats"
    ]


def test_rule_5_an_offline_store_reads_offline_alive_or_dead() -> None:
    """Without a spare it would be forced; its heartbeat, not its state, says that it lives."""
    seen = scene(
        lose(2, "long"), member_back, store(2, kind="offline"), noted("tikv", 2, "Retiring")
    )
    action = only(seen)
    assert isinstance(action, RetireStore)
    assert action.force
    assert seen.earlier is not None
    beats = dict(seen.earlier.beats) | {21: 1}
    alive = see(seen, earlier=dataclasses.replace(seen.earlier, beats=beats))
    assert steps(alive) == ["waits store-heartbeats"]


def test_an_unknown_state_of_a_store_stops_everything() -> None:
    seen = see_store(scene(*LOST), 1, state=pd.StoreState.UNKNOWN, state_name="Preparing")
    assert steps(seen)[0].startswith(("waits", "refuses"))
    seen = see_store(scene(*LOST), 21, state=pd.StoreState.UNKNOWN, state_name="Preparing")
    assert steps(seen) == ["waits store-state"]
