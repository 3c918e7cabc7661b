"""Which disk is it? What the agent makes of disks that were exchanged or moved, of twins and of markers."""

from __future__ import annotations

from pathlib import Path

import pytest

from hooks.disks import marker
from schema import names
from tests.unit.disks import worlds
from tests.unit.disks.node import World, in_use
from tests.unit.disks.worlds import IDENTITY, candidate, folder, mark, marked, request


def test_two_disks_that_answer_to_one_identity_are_both_told(world: World, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    real = world.see
    world.see = lambda: [*real(), candidate(second, unit="nvme1n1")]
    world.cluster.ask(request(make=True, pv=""))
    world.settle()
    for index in (0, 1):
        assert [p["code"] for p in world.disk(index)["problems"]] == ["duplicate-identity"]
    assert list(world.root.iterdir()) == list(second.iterdir()) == []


def test_a_disk_exchanged_for_another_is_told_until_it_is_steady(world: World) -> None:
    world.settle()
    world.see = lambda: [candidate(world.root, "serial-new")]
    world.round()
    (problem,) = world.disk()["problems"]
    assert problem["code"] == "changed"
    assert problem["message"] == f"is another disk than before on this path (was {IDENTITY})"
    disk = world.settle()
    assert (disk["problems"], disk["steady"], disk["identity"]) == ([], True, "serial-new")


def test_a_disk_that_moved_keeps_its_volume(world: World, tmp_path: Path) -> None:
    in_use(world)
    moved = tmp_path / "elsewhere"
    world.root.rename(moved)
    world.see = lambda: [candidate(moved, unit="nvme7n1")]
    world.cluster.ask(request())
    disk = world.settle()
    assert (disk["identity"], disk["path"], disk["device"]) == (IDENTITY, str(moved), "nvme7n1")
    assert (disk["problems"], disk["folders"]) == ([], [folder()])


def test_the_marker_of_another_disk_is_a_copy(world: World) -> None:
    mark(world.root, identity="serial-original")
    (problem,) = world.settle()["problems"]
    assert problem["code"] == "marker"
    assert f"is of the disk serial-original, this disk is {IDENTITY}" in problem["message"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"volume": "x"}',
        '{"volume": 1, "identity": "", "generation": 1, "folder": "tv-", "pvUID": ""}',
    ],
)
def test_a_marker_that_cannot_be_read_is_told(world: World, text: str) -> None:
    (world.root / marker.NAME).write_text(text)
    disk = world.settle()
    assert [problem["code"] for problem in disk["problems"]] == ["marker"]
    assert "marker" not in disk
    world.cluster.ask(request(make=True, pv=""))
    world.settle()
    assert not (world.root / folder()).exists()


def test_names_follow_from_the_identity(world: World) -> None:
    assert worlds.volume() == names.volume_name(IDENTITY)
    in_use(world)
    assert world.disk()["marker"]["volume"] == worlds.volume()
    assert marked(world.root) is not None
