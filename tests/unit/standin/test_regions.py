"""Where peers go: PD's checkers in named cases, then random worlds in which no step may take what none can spare."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.standin import regions
from tests.standin.model import Move, Peer, Region, State
from tests.standin.regions import Operator, check, plan, report
from tests.unit.standin.worlds import region, store, stores, world


def kinds(operators: list[Operator]) -> list[str]:
    return [op.kind for op in operators]


def test_a_missing_replica_is_made_up_on_the_emptiest_store() -> None:
    held = [region(1, 1, 2), region(2, 1, 2, 3), region(3, 1, 2, 3)]
    [operator] = plan(world(held, stores(4)))
    assert (operator.kind, operator.region, operator.add) == ("make-up-replica", 1, 4)


def test_a_disconnected_store_is_left_alone_and_a_down_one_replaced_once_reported() -> None:
    lost = region(1, 1, 2, 3)
    assert plan(world([lost], stores(4), {3: "Disconnected"}, silent={3})) == []
    assert plan(world([lost], stores(4), {3: "Down"}, silent={3})) == []
    reported = replace(lost, down=(103,))
    [operator] = plan(world([reported], stores(4), {3: "Down"}, silent={3}))
    assert (operator.kind, operator.add, operator.remove) == ("replace-rule-down-peer", 4, 103)


def test_an_offline_store_is_drained_at_once_if_there_is_a_place() -> None:
    three = stores(3)
    assert plan(world([region(1, 1, 2, 3)], three, {3: "Offline"})) == []
    [operator] = plan(world([region(1, 1, 2, 3)], stores(4), {3: "Offline"}))
    assert operator.kind == "replace-rule-offline-peer"


def test_tiflash_takes_no_peers() -> None:
    four = stores(4)
    four[4].labels = {"engine": "tiflash"}
    assert plan(world([region(1, 1, 2, 3)], four, {3: "Offline"})) == []


def test_without_a_majority_nothing_is_done() -> None:
    assert plan(world([region(1, 1, 2, 3)], stores(4), {1: "Offline"}, silent={2, 3})) == []


def test_a_paused_replacement_starts_nothing_but_ends_what_was_begun() -> None:
    begun = region(1, 1, 2, 3, move=Move(2, (Peer(101, 1),)))
    needy = region(2, 1, 2)
    assert kinds(plan(world([begun, needy], stores(4), replica_limit=0))) == ["resume-voter-change"]


def test_a_left_over_learner_goes_before_anything_is_added() -> None:
    held = region(1, 1, 2, 3)
    left = held.with_peers(*held.peers, Peer(9, 4, learner=True))
    assert kinds(plan(world([left], stores(4)))) == ["remove-left-over-learner"]


def test_the_pace_of_a_store_is_kept() -> None:
    held = [region(i, 1, 2) for i in range(1, 10)]
    assert len(plan(world(held, stores(3)))) == 4
    assert plan(world(held, stores(3), room={3: 0})) == []


def test_locations_come_before_emptiness() -> None:
    four = stores(4)
    for s, zone in ((1, "a"), (2, "b"), (3, "a"), (4, "c")):
        four[s].labels = {"zone": zone}
    full = [region(i, 1, 2, 4) for i in range(2, 6)]
    operators = plan(world([region(1, 1, 2), *full], four, location_labels=("zone",)))
    assert operators[0].add == 4


def test_balance_moves_from_the_fullest_when_all_is_well() -> None:
    held = [region(i, 1, 2, 3) for i in range(1, 6)]
    [operator] = plan(world(held, stores(4)))
    assert (operator.kind, operator.add, operator.replica) == ("balance-region", 4, False)
    assert plan(world(held, stores(4), region_limit=0)) == []


def test_a_dead_leader_is_followed_by_the_store_with_the_fewest() -> None:
    led = region(1, 1, 2, 3)
    new = report(led, stores(3), {1}, {1}, (), Counter({2: 3, 3: 1}))
    assert (new.leader, new.down) == (103, (101,))


def test_without_leader_and_majority_nobody_reports() -> None:
    led = region(1, 1, 2, 3)
    assert report(led, stores(3), {1, 2}, {1, 2}, (), Counter()) is led
    # A leader that lives still reports what it misses.
    assert report(led, stores(3), {2, 3}, {2, 3}, (), Counter()).down == (102, 103)


def test_offline_is_looked_at_only_when_something_else_changes() -> None:
    led, world_ = region(1, 1, 2, 3), stores(3)
    world_[3].state = State.OFFLINE
    assert not report(led, world_, (), (), (), Counter({1: 1})).offline
    assert report(led, world_, {3}, {3}, (), Counter({1: 1})).offline


def test_evicted_leaders_stay_when_nobody_else_can_lead() -> None:
    led = region(1, 1, 2, 3)
    assert report(led, stores(3), (), (), {1}, Counter()).leader_store == 2
    assert report(led, stores(3), (), (), {1, 2, 3}, Counter()).leader_store == 1


def test_checks_read_what_was_reported() -> None:
    held = region(1, 1, 2, 3)
    learner = Peer(9, 4, learner=True)
    moving = held.with_peers(*held.peers, learner, pending=(9,), offline=True)
    assert [c for c in regions.CHECKS if check(c, moving, 3)] == [
        "extra-peer",
        "pending-peer",
        "offline-peer",
        "learner-peer",
    ]
    assert [c for c in regions.CHECKS if check(c, region(1, 1, 2, down=(102,)), 3)] == [
        "miss-peer",
        "down-peer",
    ]


NAMES = st.sampled_from(["Up", "Up", "Up", "Disconnected", "Down", "Offline"])


@st.composite
def worlds(draw: st.DrawFn) -> regions.World:
    count = draw(st.integers(1, 6))
    names = {s: draw(NAMES) for s in range(1, count + 1)}
    silent = {s for s, n in names.items() if n in ("Disconnected", "Down") or draw(st.booleans())}
    all_stores = {
        s: store(s, State.OFFLINE if names[s] == "Offline" else State.UP, labels=draw(LABELS))
        for s in names
    }
    held: list[Region] = []
    for i in range(1, draw(st.integers(1, 8)) + 1):
        on = draw(st.lists(st.sampled_from(sorted(names)), min_size=1, max_size=4, unique=True))
        one = region(i, *on)
        held.append(replace(one, down=tuple(p.id for p in one.peers if p.store_id in silent)))
    return world(held, all_stores, names, silent & set(names))


LABELS = st.sampled_from([{}, {"zone": "a"}, {"zone": "b"}, {"engine": "tiflash"}])


@given(worlds())
@settings(max_examples=150, deadline=None)
def test_no_operator_takes_what_cannot_be_spared(given_world: regions.World) -> None:
    operators = plan(given_world)
    assert len({op.region for op in operators}) == len(operators)
    assert operators == plan(given_world)
    received = Counter(op.add for op in operators if op.add is not None)
    assert all(received[s] <= given_world.room[s] for s in received)
    for op in operators:
        held = given_world.regions[op.region]
        assert given_world.quorate(held)
        left = [p for p in held.voters if p.id != op.remove]
        assert left or op.add is not None
        if op.remove is not None and op.add is None:
            assert len(left) >= given_world.max_replicas
        if op.add is not None:
            target = given_world.stores[op.add]
            assert given_world.names[op.add] == "Up"
            assert op.add not in held.stores | set(given_world.silent)
            assert not target.is_tiflash
