"""Worlds for the stand-ins' own tests; every one that stored rows is asked at its end whether a region is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.programs import World

MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Make worlds that are stopped with the test; their logs are shown when it fails."""
    made: list[World] = []

    def make(scale: float = 10.0, **more: object) -> World:
        world = World(tmp_path / f"world-{len(made)}", scale=scale, **more)  # type: ignore[arg-type]
        made.append(world)
        return world

    yield make
    for world in made:
        world.stop()
        for program in world.programs():
            print(f"== {program.folder.name}\n{program.output()[-2000:]}")
