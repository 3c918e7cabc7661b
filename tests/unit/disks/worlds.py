"""A disk for tests: a real folder in the place of a mounted file system, described as discovery would describe it.

Everything that touches files (looking, marking, making, wiping) is the product's own code on the real folder; only
what lies beneath the mount is said instead of found.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hooks.disks import filesystem, marker
from hooks.disks.inventory import Entry
from hooks.disks.judge import Policy, judge
from hooks.disks.marker import Marker, WipeRecord
from hooks.disks.mountinfo import Mount
from hooks.disks.observe import Candidate, Snapshot
from hooks.disks.requests import Request, WipeRequest
from hooks.disks.stack import Disk, Stack
from hooks.disks.wipe import Progress, clear
from schema import names

IDENTITY = "nvme-eui.0025388b710116a1"
PV = "5d9a6a6e-7a54-4b57-9d2f-0f3c9a1f2b3c"


def volume(identity: str = IDENTITY) -> str:
    return names.volume_name(identity)


def folder(generation: int = 1, identity: str = IDENTITY) -> str:
    return names.folder_name(volume(identity), generation)


def request(
    generation: int = 1,
    *,
    identity: str = IDENTITY,
    make: bool = False,
    pv: str = PV,
    wipe: bool = False,
    foreign: bool = False,
) -> Request:
    name = folder(generation, identity)
    asked = WipeRequest(generation, pv, name, foreign) if wipe else None
    return Request(identity, volume(identity), generation, name, make, pv, asked)


def mark(
    root: Path,
    generation: int = 1,
    *,
    pv: str = PV,
    record: WipeRecord | None = None,
    identity: str = IDENTITY,
) -> Marker:
    written = Marker(
        volume(identity), identity, generation, folder(generation, identity), pv, record
    )
    with opened(root) as descriptor:
        marker.write(descriptor, written)
    return written


def marked(root: Path) -> Marker | None:
    with opened(root) as descriptor:
        return marker.read(descriptor)


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder that costs no disk: for hundreds of copies, where the order of steps is what is tested and not the
    disk's own cache."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as made:
        yield Path(made)


class opened:  # noqa: N801 - reads as a verb
    """`with opened(root) as descriptor`"""

    def __init__(self, root: Path) -> None:
        self._descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def mount_of(root: Path, unit: str) -> Mount:
    with opened(root) as descriptor:
        device = os.fstat(descriptor).st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        return Mount(
            filesystem.mount_id_of(descriptor),
            1,
            number,
            "/",
            str(root),
            "xfs",
            f"/dev/{unit}",
            False,
        )


def candidate(root: Path, identity: str = IDENTITY, *, unit: str = "nvme0n1") -> Candidate:
    disk = Disk(unit, "259:0", unit, identity, 1 << 40, False, True, "live")
    stack = Stack("259:0", unit, (), (disk,), identity, (), 1 << 40)
    mount = mount_of(root, unit)
    return Candidate(
        path=str(root),
        mount=mount,
        stacks=(stack,),
        contents=filesystem.look(mount),
    )


def snapshot(*candidates: Candidate) -> Snapshot:
    return Snapshot(discovery="/mnt/disks", candidates=candidates)


def entry(root: Path, asked: Request | None = None, identity: str = IDENTITY) -> Entry:
    """The disk as the inventory shows it, steady."""
    wanted = {asked.identity: asked} if asked else {}
    (found,) = judge(snapshot(candidate(root, identity)), Policy(), wanted)
    return replace(found, steady=True)


def fill(path: Path) -> None:
    """A database's files: nested, hard-linked, symbolic links out of the folder, odd names, no rights."""
    (path / "db" / "000001").mkdir(parents=True)
    (path / "db" / "LOCK").touch()
    for number in range(4):
        (path / "db" / f"{number:06}.sst").write_bytes(b"x" * 5000)
    os.link(path / "db" / "000000.sst", path / "db" / "000001" / "linked.sst")
    (path / "raft").mkdir(mode=0o700)
    (path / "raft" / "odd\nname \udcff").write_bytes(b"y")
    (path / "out").symlink_to("/etc")
    (path / "gone").symlink_to("nowhere")
    os.mkfifo(path / "pipe")


def names_in(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def run_wipe(root: Path, asked: Request, *, proceed: Callable[[], bool] = lambda: True) -> Progress:
    progress = Progress()
    with opened(root) as descriptor:
        clear(descriptor, asked, proceed=proceed, progress=progress, trim=False)
    return progress
