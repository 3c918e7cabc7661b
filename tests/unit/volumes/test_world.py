"""What the controller remembers of the cluster, and what it looks at again when something changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hooks.volumes.builders import MANAGER_LABEL
from hooks.volumes.model import Now
from hooks.volumes.world import World
from schema import names

NOW = Now(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC))
VOLUME = names.volume_name("wwn-1")
PV = names.folder_name(VOLUME, 1)


def tidb_volume(name: str, manager: str, version: int = 1) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": {MANAGER_LABEL: manager},
        },
        "spec": {"identity": f"serial-{name}", "generation": 1},
    }


def test_when_another_releases_last_volume_goes_every_disk_is_looked_at_again() -> None:
    """This release left them all alone because of it; nothing else would tell that it may begin."""
    world = World()
    for name in ("tv-1", "tv-2"):
        world.volume(tidb_volume(name, "theirs.shop"))
    world.volume(tidb_volume("tv-3", "ours.shop"))
    assert world.volume_gone("tv-1").volumes == {"tv-1"}
    assert world.volume_gone("tv-2").volumes == {"tv-3"}


def test_when_another_releases_last_volume_is_taken_over_every_disk_is_looked_at_again() -> None:
    world = World()
    for name in ("tv-1", "tv-2"):
        world.volume(tidb_volume(name, "theirs.shop"))
    assert world.volume(tidb_volume("tv-1", "ours.shop", version=2)).volumes == {"tv-1"}
    assert world.volume(tidb_volume("tv-2", "ours.shop", version=2)).volumes == {"tv-1", "tv-2"}


def pv(name: str, uid: str, version: int) -> dict[str, Any]:
    metadata = {"name": name, "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Available"}}


def pvs(world: World, volume: str) -> list[tuple[str, str]]:
    return [(one.uid, one.version) for one in world.view(volume, NOW).pvs]


def test_what_is_gone_stays_gone_when_an_answer_about_it_comes_late() -> None:
    """The answers to our own reads come in beside the watch, and no watch would tell of it again."""
    world = World()
    world.pv(pv(PV, "uid-1", 5))
    world.pv_gone(PV, "uid-1", "7")
    world.pv(pv(PV, "uid-1", 6))
    assert pvs(world, VOLUME) == []
    world.volume(tidb_volume("tv-1", "ours.shop", version=5))
    world.volume_gone("tv-1", "uid-tv-1", "7")
    world.volume(tidb_volume("tv-1", "ours.shop", version=6))
    assert not world.knows("tv-1")


def test_what_lost_its_label_and_has_it_again_is_there_again() -> None:
    """A watch with a label tells DELETED for both; only a later word is news."""
    world = World()
    world.pv(pv(PV, "uid-1", 5))
    world.pv_gone(PV, "uid-1", "7")
    world.pv(pv(PV, "uid-1", 8))
    assert pvs(world, VOLUME) == [("uid-1", "8")]


def test_the_end_of_one_is_not_that_of_the_next_of_its_name() -> None:
    world = World()
    world.pv(pv(PV, "uid-2", 9))
    world.pv_gone(PV, "uid-1", "7")
    world.pv_gone(PV, "uid-1")
    assert pvs(world, VOLUME) == [("uid-2", "9")]
    world.volume(tidb_volume("tv-1", "ours.shop"))
    world.volume_gone("tv-1", "another")
    assert world.knows("tv-1")
    world.pv_gone(PV)
    assert pvs(world, VOLUME) == [], "a new list does not have it"
