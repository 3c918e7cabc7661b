"""What the controller remembers of the cluster, and what it looks at again when something changes."""

from __future__ import annotations

from typing import Any

from hooks.volumes.builders import MANAGER_LABEL
from hooks.volumes.world import World


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
