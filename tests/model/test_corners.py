"""The plan's corners: what the named cases leave to a mutant. One sentence of the docstring each."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from hooks import pd
from hooks.failover.actions import DeletePod, NoteHomes, Settle
from hooks.failover.model import Component, Entry, EntryState, PdView, Policy, Regions, Snapshot
from hooks.failover.plan import plan
from hooks.failover.quorum import regions_without, survives
from tests.model.scene import (
    GONE,
    LOST,
    POLICY,
    claim_going,
    fail_disk,
    lose,
    member_back,
    misled,
    movable,
    noted,
    only,
    removed,
    scene,
    see,
    see_more_stores,
    see_pd,
    see_regions,
    see_silent,
    see_slot,
    see_store,
    steps,
    store,
    told,
)
from tests.model.sight import CLUSTER, NOW, NOW_NS, SECOND, node
from tests.model.world import Claim, Disk, Place, Pod, Store, World, put, start


def test_homes_are_noted_at_rest_once() -> None:
    seen = scene()
    held = {(c, i): f"pv-{2 * i + (c is Component.PD)}" for c in Component for i in range(3)}
    action = only(see(seen, homes={}, held=held))
    assert isinstance(action, NoteHomes)
    assert dict(action.homes) == {
        "store 1": "pv-0", "store 11": "pv-2", "store 21": "pv-4",
        f"member {2**60 + 1}": "pv-1", f"member {2**60 + 11}": "pv-3", f"member {2**60 + 21}": "pv-5",
    }  # fmt: skip
    assert steps(see(seen, homes=dict(action.homes), held=held)) == []
    gone = {**dict(action.homes), "store 99": "pv-x"}
    assert only(see(seen, homes=gone, held=held)) == action, "whom PD no longer knows has no home"


def test_homes_are_those_of_the_well() -> None:
    held = {(Component.TIKV, 1): "pv-new"}
    silent = see(see_silent(scene(), 11), homes={}, held=held)
    assert "note-homes" not in steps(silent), (
        "a silent store may not have lived on what its claim has now"
    )


@pytest.mark.parametrize(
    ("kind", "state"), [("destroyed", EntryState.DESTROYED), ("tombstone", EntryState.TOMBSTONE)]
)
def test_the_last_word_is_pds(kind: str, state: EntryState) -> None:
    action = only(scene(*LOST, store(2, kind=kind), noted("tikv", 2, "Retiring")))
    assert isinstance(action, Settle)
    assert action.state is state


def test_notes_of_another_cluster_are_left_alone() -> None:
    seen = scene(noted("tikv", 2, "Retiring"))
    other = tuple(dataclasses.replace(e, cluster=1) for e in seen.entries)
    assert steps(see(seen, entries=other)) == []


def test_a_disk_that_is_noted_as_anothers_is_for_a_person() -> None:
    seen = scene(*LOST, noted("tikv", 2, "Retiring"))
    other = tuple(dataclasses.replace(e, owner="store 77") for e in seen.entries)
    assert steps(see(seen, entries=other)) == ["refuses two-owners"]


def test_a_pod_that_is_stopping_on_a_living_node_is_given_its_time() -> None:
    seen = scene(removed(2), noted("pd", 2, "Removed"), claim_going("pd", 2))
    stopping = see_slot(
        seen,
        Component.PD,
        2,
        lambda s: dataclasses.replace(s, pod=s.pod and dataclasses.replace(s.pod, deleting=True)),
    )
    assert steps(stopping) == ["waits pod-stopping"]
    pending = see_slot(
        seen,
        Component.PD,
        2,
        lambda s: dataclasses.replace(s, pod=s.pod and dataclasses.replace(s.pod, node="")),
    )
    assert steps(pending) == ["waits claim-deleting"]


@pytest.mark.parametrize(
    ("state", "force"), [("up", False), ("short", False), ("long", True), ("gone", True)]
)
def test_a_pod_on_a_node_without_a_volume_goes(state: str, force: bool) -> None:
    """By force only where no kubelet will confirm it."""
    lost = (lose(2, "long"), member_back, store(2, kind="destroyed"), noted("tikv", 2, "Destroyed"))
    seen = scene(*lost, misled("tikv", 2, 3))
    where = {"n3": node(3, state)} if state != "gone" else {}
    others = {name: one for name, one in seen.nodes.items() if name != "n3"}
    seen = see(seen, nodes={**others, **where})
    action = only(seen)
    assert isinstance(action, DeletePod)
    assert (action.node, action.force, action.claim_uid) == ("n3", force, "claim-tikv-2")
    stopping = see_slot(
        seen,
        Component.TIKV,
        2,
        lambda s: dataclasses.replace(s, pod=s.pod and dataclasses.replace(s.pod, deleting=True)),
    )
    assert steps(stopping)[0] == ("delete-pod" if force else "waits pod-stopping")


def test_a_pod_without_a_claim_gets_one_from_its_stateful_set() -> None:
    seen = scene(removed(2), noted("pd", 2, "Removed"), misled("pd", 2, 2))
    bare = see_slot(seen, Component.PD, 2, lambda s: dataclasses.replace(s, claim=None))
    assert steps(seen) == ["delete-pod"]
    assert steps(bare) == ["waits pod-coming-up"]


def test_a_pod_kept_out_of_its_node_by_another_of_its_kind() -> None:
    seen = see_silent(scene(), 11)
    seen = see_slot(seen, Component.TIKV, 1, lambda s: dataclasses.replace(s, pod=None))
    taken = see(seen, busy={**seen.busy, (Component.TIKV, "n1"): "basic-tikv-7"})
    made = plan(taken, POLICY)
    assert told(made) == ([], ["pod-kept-out"], [])
    assert "where basic-tikv-7 has moved meanwhile" in made.waits[0].why


def test_a_claim_without_a_volume_is_a_loss_and_nothing_is_noted() -> None:
    seen = see_silent(scene(), 21)
    bare = see_slot(
        seen,
        Component.TIKV,
        2,
        lambda s: dataclasses.replace(
            s, claim=s.claim and dataclasses.replace(s.claim, volume=None)
        ),
    )
    assert steps(bare) == ["retire-store"]
    gone = see_slot(seen, Component.TIKV, 2, lambda s: dataclasses.replace(s, claim=None))
    assert steps(gone) == ["retire-store"]


@pytest.mark.parametrize(
    ("ago", "expected"), [(7200, ["mark"]), (60, ["waits store-silent-too-briefly"])]
)
def test_a_store_that_never_sent_a_heartbeat_is_as_old_as_its_process(
    ago: int, expected: list[str]
) -> None:
    seen = scene(*GONE, store(2, beat="never"))
    seen = see_store(see_regions(seen, 21), 21, start_ns=NOW_NS - ago * SECOND)
    assert steps(seen) == expected


def at_edge(span: timedelta, policy: Policy) -> list[str]:
    seen = scene(*GONE)
    beat = NOW_NS - int(span.total_seconds() * SECOND)
    seen = see_store(seen, 21, last_heartbeat_ns=beat)
    assert seen.earlier is not None
    earlier = dataclasses.replace(seen.earlier, beats={**seen.earlier.beats, 21: beat})
    return steps(see(seen, earlier=earlier), policy)


def test_the_edges_of_time() -> None:
    assert at_edge(timedelta(seconds=20), POLICY) == ["mark"]
    assert at_edge(timedelta(seconds=19), POLICY) == ["waits store-silent-too-briefly"]
    seen = scene(*LOST)
    assert seen.earlier is not None
    for seconds, expected in ((15, ["mark"]), (14, ["waits one-reading"])):
        earlier = dataclasses.replace(seen.earlier, taken=NOW - timedelta(seconds=seconds))
        assert steps(see(seen, earlier=earlier)) == expected
    for minutes, expected in ((30, ["mark"]), (29, ["waits node-not-ready"])):
        node = dataclasses.replace(seen.nodes["n2"], ready_since=NOW - timedelta(minutes=minutes))
        assert steps(see(seen, nodes={**seen.nodes, "n2": node})) == expected


def test_a_forced_store_whose_place_is_filled_waits_for_the_next_replacement() -> None:
    """Its last regions have nowhere to go before the second lost store is replaced; what each region can spare
    is asked apart.
    """

    def filled(made: World) -> World:
        disk = next(i for i, d in enumerate(made.disks) if d.node == 3 and d.content is None)
        old = [s._replace(kind="destroyed") if s.id == (0, 0) else s for s in made.stores]
        return made._replace(
            disks=put(made.disks, disk, Disk(3, True, ("tikv", 0, 1))),
            tikv=put(made.tikv, 0, Place(Claim(disk, False), Pod(3, False))),
            stores=tuple(sorted((*old, Store((0, 1), "live", "fresh")))),
        )

    seen = scene(filled, fail_disk("tikv", 1), base=start(faults=0, disks=3, soft=True))
    seen = see_pd(seen, regions=Regions(11, 34, 0))
    assert steps(seen) == ["mark"]
    assert steps(see_pd(seen, regions=Regions(11, 34, 1, (2,)))) == ["refuses regions-endangered"]


def region(
    number: int, voters: tuple[int, ...], down: tuple[int, ...] = (), learners: tuple[int, ...] = ()
) -> pd.Region:
    peers = tuple(pd.Peer(s, True) for s in voters) + tuple(pd.Peer(s, False) for s in learners)
    return pd.Region(number, peers, frozenset(down), frozenset(), voters[0])


@pytest.mark.parametrize(
    ("some", "expected"),
    [
        (region(1, (1, 4, 5), (5,)), True),
        (region(1, (1, 4, 5), (4, 5)), False),
        (region(1, (1, 4, 5), (4,)), False),
        (region(1, (1, 5), (5,)), False),
        (region(1, (1, 4, 5), (5,), (7,)), True),
        (region(1, (1, 4, 5, 6), (5,)), True),
        (region(1, (1, 5, 6, 7), (5, 6)), False),
        (region(1, (1, 4, 6), ()), True),
    ],
)
def test_what_a_region_can_spare(some: pd.Region, expected: bool) -> None:
    assert survives(some, {5}) is expected


def test_regions_are_counted_once_though_two_lists_have_them() -> None:
    whole, hurt = region(1, (1, 4, 5), (5,)), region(2, (1, 4, 5), (4, 5))
    assert regions_without(5, set(), [whole, hurt, whole, hurt]) == Regions(5, 2, 1, (2,))


def test_a_peer_on_a_store_that_was_given_up_is_no_copy_though_no_check_lists_it() -> None:
    assert regions_without(5, {4}, [region(1, (1, 4, 5)), region(2, (1, 4, 6))]) == Regions(
        5, 2, 1, (1,)
    )


def test_what_is_deleting_and_never_had_an_owner_goes_on() -> None:
    seen = scene(*LOST, store(2, kind="tombstone"), claim_going("tikv", 2))
    assert steps(seen) == ["delete-pod"]


def ready_again(seen: Snapshot) -> Snapshot:
    node = dataclasses.replace(seen.nodes["n2"], ready=True)
    return see(seen, nodes={**seen.nodes, "n2": node})


def test_an_abandoned_place_whose_node_returns_is_left_alone() -> None:
    assert steps(ready_again(scene(*LOST, store(2, kind="tombstone")))) == ["waits pod-coming-up"]


def test_a_store_that_is_new_is_not_the_one_in_question() -> None:
    seen = scene(*LOST, store(0, beat="never"), read="once")
    from hooks.failover.plan import store_in_question

    assert isinstance(seen.pd, PdView)
    new = see_store(seen, 1, state=pd.StoreState.DOWN, last_heartbeat_ns=0)
    assert isinstance(new.pd, PdView)
    asked = store_in_question(new.pd, ())
    assert asked is not None
    assert asked.id == 21


def test_a_place_without_a_claim_is_waited_for() -> None:
    seen = scene(*LOST, store(2, kind="tombstone"))
    for change in ({"claim": None}, {"claim": None, "pod": None}):
        bare = see_slot(seen, Component.TIKV, 2, lambda s, c=change: dataclasses.replace(s, **c))  # type: ignore[misc]
        assert steps(bare) == ["waits pod-coming-up"]
    seen = see(seen, disks=())
    bare = see_slot(seen, Component.TIKV, 2, lambda s: dataclasses.replace(s, claim=None, pod=None))
    assert steps(bare) == ["waits no-free-disk"]


def test_a_pod_between_two_nodes_is_waited_for() -> None:
    assert steps(movable(scene(*LOST), Component.TIKV, 2, gone=True)) == ["waits pod-moving"]
    assert steps(movable(scene(*LOST), Component.TIKV, 2, node="")) == ["waits pod-moving"]


def test_a_claim_that_waits_for_a_disk_says_so_and_a_bound_one_does_not() -> None:
    seen = see(scene(*LOST, store(2, kind="tombstone")), disks=())
    unbound = see_slot(
        seen,
        Component.TIKV,
        2,
        lambda s: dataclasses.replace(
            s, pod=None, claim=s.claim and dataclasses.replace(s.claim, volume=None)
        ),
    )
    assert steps(unbound) == ["waits no-free-disk"]
    bound = see_slot(
        ready_again(seen), Component.TIKV, 2, lambda s: dataclasses.replace(s, pod=None)
    )
    assert steps(bound) == ["waits pod-coming-up"]


def test_a_forced_store_is_waited_for_while_a_spare_store_can_take_its_last_regions() -> None:
    left = pd.Store(
        98,
        "basic-tikv-0.basic-tikv-peer.db.svc:20160",
        pd.StoreState.OFFLINE,
        "Offline",
        True,
        1,
        True,
        5,
        0,
    )
    four = scene(fail_disk("tikv", 3), base=start(nodes=4, tikv=4, soft=True, faults=0))
    assert steps(see_more_stores(four, left)) == ["waits others-leaving"]
    assert steps(see_more_stores(scene(*LOST), left)) == ["mark"]


def test_a_draining_store_has_no_spare_among_those_that_are_away() -> None:
    base = start(nodes=4, tikv=4, soft=True, faults=0)
    seen = scene(
        fail_disk("tikv", 3), store(3, kind="offline"), noted("tikv", 3, "Retiring"), base=base
    )
    away = see_store(seen, 1, state=pd.StoreState.DISCONNECTED, state_name="Disconnected")
    away = see_store(away, 11, state=pd.StoreState.DISCONNECTED, state_name="Disconnected")
    assert steps(away) == ["waits others-not-up"]


def test_a_node_out_of_service_has_no_room() -> None:
    seen = scene(*LOST)
    node = dataclasses.replace(seen.nodes["n3"], out_of_service=True)
    assert (
        plan(see(seen, nodes={**seen.nodes, "n3": node}), POLICY)
        .waits[0]
        .why.endswith("n3: out of service")
    )


def test_spans_as_values_yaml_writes_them() -> None:
    from hooks.failover.evidence import span

    assert [span(timedelta(seconds=s)) for s in (0, 45, 720, 5400, 3601)] == [
        "0s",
        "45s",
        "12m",
        "1h30m",
        "1h1s",
    ]


def test_a_pod_that_nobody_keeps_out_is_waited_for() -> None:
    seen = see_slot(
        see_silent(scene(), 11), Component.TIKV, 1, lambda s: dataclasses.replace(s, pod=None)
    )
    free = {key: name for key, name in seen.busy.items() if name != "basic-tikv-1"}
    assert steps(see(seen, busy=free)) == ["waits place-fine"]


def test_a_replacement_of_exactly_a_day_ago_no_longer_counts() -> None:
    old = Entry(
        "pv-x",
        "uid-x",
        "tikv-basic-tikv-1",
        "store 9",
        CLUSTER,
        EntryState.TOMBSTONE,
        NOW - timedelta(hours=24),
    )
    one = Policy(max_per_day=1)
    assert steps(see(scene(*LOST), entries=(old,)), one) == ["mark"]
    young = dataclasses.replace(old, at=NOW - timedelta(hours=24) + timedelta(seconds=1))
    assert steps(see(scene(*LOST), entries=(young,)), one) == ["refuses max-per-day"]
