"""What counts as lost, and what does not."""

from __future__ import annotations

from dataclasses import replace

from tests.standin.loss import find_losses
from tests.standin.model import State
from tests.unit.standin.worlds import region, stores


def test_one_of_three_gone_is_no_loss_and_two_are() -> None:
    world = stores(3)
    world[1].physically_destroyed = True
    assert find_losses([region(1, 1, 2, 3)], world, (), "now") == []
    world[2].disk_gone = True
    [loss] = find_losses([region(1, 1, 2, 3)], world, (), "now")
    assert (loss.region, loss.kind, loss.when) == (1, "majority", "now")
    assert loss.voters == {
        "1": "physically_destroyed",
        "2": "a TiKV with a new identity came up at its address",
        "3": "there",
    }


def test_none_left_is_told_apart() -> None:
    world = {1: replace(stores(1)[1], state=State.TOMBSTONE)}
    [loss] = find_losses([region(1, 1, 2)], world, (), "now")
    assert (loss.kind, loss.voters["2"]) == ("all", "its record was removed")


def test_a_store_that_is_only_down_has_lost_nothing() -> None:
    assert find_losses([region(1, 1, 2, 3)], stores(3), (), "now") == []


def test_a_learner_counts_for_nothing() -> None:
    world = stores(3)
    world[1].physically_destroyed = world[2].physically_destroyed = True
    held = region(1, 1, 2)
    learner = replace(held.peers[0], id=9, store_id=3, learner=True)
    assert find_losses([held.with_peers(*held.peers, learner)], world, (), "now")[0].kind == "all"


def test_what_is_recorded_is_not_recorded_again() -> None:
    assert find_losses([region(1, 1)], {}, [1], "now") == []
