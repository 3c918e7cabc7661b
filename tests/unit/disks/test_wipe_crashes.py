"""A crash at every step of clearing a folder, or of making one, and again at a step of what follows.

Crashes are real: a child process runs the product's code and dies before its n-th change of the disk, n = 1, 2, …
until it gets through.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hooks.disks import folders, marker
from hooks.disks.marker import WipeRecord
from hooks.disks.plan import wiped
from hooks.disks.wipe import RefusedError
from tests.unit.disks import worlds
from tests.unit.disks.node import World
from tests.unit.disks.worlds import (
    PV,
    entry,
    folder,
    mark,
    marked,
    names_in,
    opened,
    request,
    run_wipe,
)

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink"}
NEVER = ("subprocess.", "os.exec", "os.posix_spawn", "os.system", "os.fork", "shutil.")
CRASHED = 77


def crash_at(change: int, work: Callable[[], object]) -> bool:
    """Run `work` in a child that dies before its `change`-th change of a disk; whether it died."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        seen = 0

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            if event.startswith(NEVER):
                os._exit(99)
            flags = arguments[2] if event == "open" else 0
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if event in CHANGES or (event == "open" and writes):
                seen += 1
                if seen == change:
                    os._exit(CRASHED)

        sys.addaudithook(watch)
        try:
            work()
        except BaseException:  # noqa: BLE001 - the child must not run the tests' own clean-up
            os._exit(98)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, CRASHED), code
    return code == CRASHED


def at_every_step(
    memory: Path, disk: Path, work: Callable[[Path], object], *, pairs: bool = True
) -> list[Path]:
    """For n = 1, 2, …: a copy of the disk on which `work` died before its n-th change; with `pairs` also copies on
    which it died a second time when it was run again."""
    left: list[Path] = []
    for change in range(1, 500):
        for again in sorted({0, 1, change // 2 + 1}) if pairs else (0,):
            copy = memory / f"crash-{change}-{again}"
            shutil.copytree(disk, copy, symlinks=True, ignore=_no_pipes)
            died = crash_at(change, lambda copy=copy: work(copy))  # type: ignore[misc]
            if not died:
                return left
            if again:
                crash_at(again, lambda copy=copy: work(copy))  # type: ignore[misc]
            left.append(copy)
    raise AssertionError("the work does not come to an end")


def _no_pipes(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "pipe"}


def test_a_crash_at_every_step_ends_in_the_same_state(disk: Path, memory: Path) -> None:
    copies = at_every_step(memory, disk, lambda root: run_wipe(root, request(wipe=True)))
    assert len(copies) > 40
    for copy in copies:
        run_wipe(copy, request(wipe=True))
        assert names_in(copy) == {marker.NAME, "lost+found"}, copy.name
        done = marked(copy)
        assert done
        assert done.wipe
        assert (done.wipe.done, done.wipe.generation, done.wipe.pv_uid) == (True, 1, PV)
    assert (memory / "outside" / "precious").read_text() == "keep"


def test_an_agent_finishes_what_a_crash_left_at_any_step(disk: Path, memory: Path) -> None:
    """Looking and planning included: what a crash leaves behind must not look like somebody else's files."""
    copies = at_every_step(
        memory, disk, lambda root: run_wipe(root, request(wipe=True)), pairs=False
    )
    for copy in copies:
        (memory / f"{copy.name}-node").mkdir()
        world = World(memory / f"{copy.name}-node")
        world.root = copy
        world.cluster.ask(request(wipe=True))
        assert world.settle().get("wipe", {}).get("state") == "Done", (copy.name, world.disk())
        assert names_in(copy) == {marker.NAME, "lost+found"}


def test_no_second_wipe_after_any_crash(disk: Path, memory: Path) -> None:
    """After the wipe the next generation is made and filled; the same request, come late, finds it untouched."""

    def wipe_make_fill(root: Path) -> None:
        found = marked(root)
        if found and found.generation == 1:
            run_wipe(root, request(wipe=True))
        with opened(root) as descriptor:
            folders.make(descriptor, request(2, make=True, pv=""), worlds.IDENTITY)
        if not (root / folder(2) / "new").exists():
            (root / folder(2) / "new").write_text("precious")

    for copy in at_every_step(memory, disk, wipe_make_fill, pairs=False):
        found = marked(copy)
        if found and found.generation == 2:
            with pytest.raises(RefusedError):
                run_wipe(copy, request(wipe=True))
            before = names_in(copy)
            assert wiped(entry(copy, request(wipe=True)), request(wipe=True))
            assert names_in(copy) == before
        else:
            wipe_make_fill(copy)
        if not (copy / folder(2) / "new").exists():
            wipe_make_fill(copy)
        assert (copy / folder(2) / "new").exists()
        assert not (copy / folder(1)).exists()


def test_making_a_folder_survives_a_crash_at_every_step(memory: Path) -> None:
    root = memory / "disk"
    root.mkdir()
    (root / folder(1)).mkdir()
    mark(root, record=WipeRecord(1, PV, True))
    asked = request(2, make=True, pv="")

    def make(disk: Path) -> None:
        with opened(disk) as descriptor:
            folders.make(descriptor, asked, worlds.IDENTITY)

    copies = at_every_step(memory, root, make)
    assert len(copies) > 9
    for copy in copies:
        make(copy)
        made = marked(copy)
        assert made
        assert (made.generation, made.pv_uid, made.wipe) == (2, "", WipeRecord(1, PV, True))
        assert {path.name for path in copy.iterdir() if path.is_dir()} == {folder(2)}
        assert (copy / folder(2)).stat().st_mode & 0o7777 == 0o770
