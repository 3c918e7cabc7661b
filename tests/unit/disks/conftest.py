"""Disks for tests, and a node with an agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.disks.node import World
from tests.unit.disks.worlds import fill, folder, in_memory, mark


@pytest.fixture
def memory() -> Iterator[Path]:
    with in_memory() as made:
        yield made


@pytest.fixture
def disk(memory: Path) -> Path:
    """A disk in use: marker, generation 1 with a database's files, and a file beside the disk that nobody may touch."""
    root = memory / "disk"
    root.mkdir()
    mark(root)
    (root / "lost+found").mkdir()
    (root / folder()).mkdir()
    fill(root / folder())
    (memory / "outside").mkdir()
    (memory / "outside" / "precious").write_text("keep")
    (root / folder() / "escape").symlink_to(memory / "outside")
    return root


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
