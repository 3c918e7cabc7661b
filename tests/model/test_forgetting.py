"""What the exploration forgets of a world makes no difference to what can happen: a bisimulation, on random walks."""

from __future__ import annotations

import random

import pytest

from tests.model.canonical import numbered_anew
from tests.model.explore import successors
from tests.model.forgetting import forgotten
from tests.model.quick import SOAK
from tests.model.test_walks import FAULTS, SEED, STARTS, chosen
from tests.model.world import World

WORLDS = 20_000 if SOAK else 2_000
"""So many that have something to forget."""


def lighter(world: World) -> World:
    return numbered_anew(forgotten(world))


def reached(world: World, but: World) -> set[World]:
    """What it can become, but for what it is already once it has forgotten."""
    return {lighter(after) for _, after in successors(world)} - {but}


@pytest.mark.parametrize("name", sorted(STARTS))
def test_a_world_that_has_forgotten_goes_on_as_the_one_that_has_not(name: str) -> None:
    dice = random.Random(f"{SEED} {name}")
    differed = 0
    while differed < WORLDS:
        world, way = STARTS[name](faults=dice.randint(1, FAULTS)), ["start"]
        for _ in range(120):
            light = lighter(world)
            differed += light != world
            assert lighter(light) == light
            assert reached(world, light) == reached(light, light), (SEED, way)
            steps = list(successors(world))
            if not steps:
                break
            step, world = chosen(dice, steps)
            way.append(step)
