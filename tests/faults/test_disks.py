"""The agent's one kind of API call, broken at every one of a disk's life: crash before, crash after it was committed,
and no answer; single and in pairs. The end is that of an undisturbed run, and nothing is wiped twice.

A disk's life: found, folder made, bound, filled, released, wiped, made anew, bound and filled again.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from hooks.disks.agent import Mail
from tests.faults.faulty import CrashedError
from tests.unit.disks.node import Cluster, World
from tests.unit.disks.worlds import folder, in_memory, marked, request

Fault = Literal["crash before", "crash after", "no answer"]
FAULTS: tuple[Fault, ...] = ("crash before", "crash after", "no answer")
PV2 = "0b5e7d1c-1111-4c1c-8a55-aaaaaaaaaaaa"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with in_memory() as made:
        yield made


class FaultyCluster(Cluster):
    """`plan`: number of the write (from 0) → what happens to it."""

    def __init__(self, plan: Mapping[int, Fault]) -> None:
        super().__init__()
        self.plan = plan
        self.writes = 0

    def publish(self, text: str) -> bool:
        fault = self.plan.get(self.writes)
        self.writes += 1
        if fault == "crash before":
            raise CrashedError(self.writes)
        if fault == "no answer":
            return False
        super().publish(text)
        if fault == "crash after":
            raise CrashedError(self.writes)
        return True


def live(tmp_path: Path, plan: Mapping[int, Fault]) -> tuple[World, int]:
    """A disk's whole life under these faults; a crashed agent is started anew."""
    world = World(tmp_path)
    cluster = FaultyCluster(plan)
    world.cluster = cluster
    world.agent = world.start()

    def settle() -> dict[str, Any]:
        for _ in range(6):
            try:
                world.round()
            except CrashedError:
                world.finish()
                world.agent = world.start()
        return world.disk()

    settle()
    cluster.ask(request(make=True, pv=""))
    assert settle()["folders"] == [folder()]
    cluster.ask(request())
    assert settle()["marker"]["pvUID"]
    (world.root / folder() / "first").write_text("data of the first")
    settle()
    cluster.ask(request(wipe=True))
    assert settle()["wipe"]["state"] == "Done"
    cluster.ask(request(2, make=True, pv=""))
    assert settle()["folders"] == [folder(2)]
    cluster.ask(request(2, pv=PV2))
    settle()
    (world.root / folder(2) / "second").write_text("data of the second")
    settle()
    return world, cluster.writes


def end(world: World) -> tuple[object, ...]:
    said = {key: value for key, value in world.cluster.published[-1].items() if key != "writtenAt"}
    files = sorted(str(p.relative_to(world.root)) for p in world.root.rglob("*"))
    said["disks"][0]["path"] = "/disk"
    return said, marked(world.root), files


def pairs(writes: int) -> list[dict[int, Fault]]:
    """All of them in the long version; in the quick one neighbours, where one fault meets the repair of another."""
    far = writes if os.environ.get("HELM_TIDB_SOAK") else 2
    return [
        {first: one, second: other}
        for first, second in itertools.combinations(range(writes), 2)
        if second - first < far
        for one, other in itertools.product(FAULTS, FAULTS)
    ]


def test_every_write_broken_once_and_in_pairs_ends_alike(tmp_path: Path) -> None:
    undisturbed, writes = live(_folder(tmp_path, "undisturbed"), {})
    wanted = end(undisturbed)
    assert writes >= 8
    singles: list[dict[int, Fault]] = [{n: fault} for n in range(writes) for fault in FAULTS]
    for number, plan in enumerate([*singles, *pairs(writes)]):
        world, _ = live(_folder(tmp_path, str(number)), plan)
        assert end(world) == wanted, plan
        assert (world.root / folder(2) / "second").read_text() == "data of the second", plan


def test_a_rerun_at_rest_writes_nothing(tmp_path: Path) -> None:
    world, _ = live(tmp_path, {})
    said = len(world.cluster.published)
    for _ in range(3):
        world.agent = world.start()
        world.round(60.0)
    assert len(world.cluster.published) == said


def test_ten_minutes_without_an_api_server_destroy_nothing(tmp_path: Path) -> None:
    """For an agent that was started meanwhile, too: it knows neither requests nor what it said before."""
    world = World(tmp_path)
    world.settle()
    world.cluster.ask(request(make=True, pv=""))
    world.settle()
    world.cluster.ask(request())
    world.settle()
    (world.root / folder() / "data").write_text("keep")
    before = world.settle()
    said, world.cluster.said, world.cluster.away = world.cluster.said, Mail(), True
    world.agent = world.start()
    for _ in range(200):
        world.round(3.0)
    assert (world.root / folder() / "data").read_text() == "keep"
    world.cluster.said, world.cluster.away = said, False
    published = len(world.cluster.published)
    world.round(3.0)
    assert world.agent.entries[0].steady
    assert len(world.cluster.published) == published
    assert world.disk() == before


def _folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made
