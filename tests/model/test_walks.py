"""Random walks through larger clusters than can be explored: five stores or five members, every order of
steps, any number of faults.

The oath holds at every step (deeds.py), every world is possible (sight.py), and where a walk stops the world
ends in words. 200,000 transitions in `make test`, a million with HELM_TIDB_SOAK=1; a failure prints its seed
and the way.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import partial

import pytest

from hooks.failover.plan import plan
from tests.model.deeds import POLICY, BrokenOathError, perform
from tests.model.endings import ending
from tests.model.explore import successors
from tests.model.quick import SOAK
from tests.model.sight import impossible, snapshot
from tests.model.world import Step, World, start

TRANSITIONS = 1_000_000 if SOAK else 200_000
LENGTH = 200
SEED = int(os.environ.get("HELM_TIDB_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
FAULTS = 8
STARTS: dict[str, Callable[..., World]] = {
    "three and three": start,
    "five stores, spare ones": partial(start, nodes=6, tikv=5, pd=3),
    "five members": partial(start, nodes=6, tikv=3, pd=5),
    "four stores, two a node": partial(start, nodes=4, tikv=4, pd=3, soft=True),
}


@pytest.mark.parametrize("name", sorted(STARTS))
def test_walks(name: str) -> None:
    """What the job does is chosen more often than what breaks, and some walks meet few faults, or all would end in
    ruins.
    """
    dice = random.Random(f"{SEED} {name}")
    left = TRANSITIONS // len(STARTS)
    ends: dict[str, int] = {}
    memory: dict[int, str] = {}
    while left > 0:
        world, way = STARTS[name](faults=dice.randint(1, FAULTS)), ["start"]
        for _ in range(LENGTH):
            try:
                steps = list(successors(world))
            except BrokenOathError as broken:
                pytest.fail(told(broken, way), pytrace=False)
            # Each of them was looked at: the oath holds whatever happens next.
            left -= len(steps)
            if not steps:
                break  # all is well, and nothing more may break
            step, world = chosen(dice, steps)
            way.append(step)
            if wrong := impossible(world):
                pytest.fail(told(f"an impossible world: {wrong}", way), pytrace=False)
        if len(memory) < 20_000:
            end = ending(world, known=memory)
            ends[end] = ends.get(end, 0) + 1
            if end.startswith("never") or end == "silent":
                pytest.fail(told(f"it ends {end!r}", way), pytrace=False)
    assert ends.get("well", 0) > 0, ends


def chosen(dice: random.Random, steps: list[Step]) -> Step:
    return dice.choices(steps, [weight(told) for told, _ in steps])[0]


def onward(dice: random.Random, world: World) -> World:
    """One random step; the same world where there is none."""
    steps = list(successors(world))
    return chosen(dice, steps)[1] if steps else world


def told(broken: object, way: list[str]) -> str:
    return f"{broken}\nHELM_TIDB_SEED={SEED}\n" + "\n".join(way)


def weight(step: str) -> float:
    if step.startswith(("the job dies", "node", "Node", "disk", "the kubelet", "PD's leader")):
        return 0.15
    return 2.0 if step.startswith("the job") else 1.0


def test_any_subset_of_a_plan_in_any_order_is_safe_and_converges() -> None:
    """Plans of more than one action: each subset and order is tried, from worlds met on walks, and the rest is
    run to its end.
    """
    dice = random.Random(SEED)
    seen = 0
    for _ in range(400 if SOAK else 60):
        world = STARTS[dice.choice(sorted(STARTS))](faults=FAULTS)
        for _ in range(120):
            world = onward(dice, world)
            if world.job:
                seen += 1
                order = dice.sample(world.job, dice.randint(1, len(world.job)))
                cut = world
                for deed in order:
                    cut = perform(cut, deed)
                end = ending(cut._replace(job=None))
                assert not end.startswith("never"), (SEED, order, end)
    assert seen > 20


def test_the_same_world_gives_the_same_plan() -> None:
    dice = random.Random(SEED)
    world = STARTS["three and three"](faults=FAULTS)
    for _ in range(300):
        seen = snapshot(world)
        assert plan(seen, POLICY).text() == plan(snapshot(world), POLICY).text()
        world = onward(dice, world)
