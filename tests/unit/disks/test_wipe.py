"""Clearing a generation's folder: what goes, what stays, what is refused, and a crash at every step of it.

Crashes are real: a child process runs the product's code and dies before its n-th change of the disk, n = 1, 2, …
until it gets through.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hooks.disks import folders, marker, wipe
from hooks.disks.marker import WipeRecord
from hooks.disks.plan import Clear, MakeFolder, plan, wiped
from hooks.disks.requests import Request
from hooks.disks.wipe import Progress, RefusedError, WithdrawnError, clear
from tests.unit.disks import worlds
from tests.unit.disks.node import World
from tests.unit.disks.worlds import PV, entry, fill, folder, mark, marked, opened, request

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink"}
NEVER = ("subprocess.", "os.exec", "os.posix_spawn", "os.system", "os.fork", "shutil.")
CRASHED = 77


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with worlds.in_memory() as folder_:
        yield folder_


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk in use: marker, generation 1 with a database's files, and a file beside the disk that nobody may touch."""
    root = tmp_path / "disk"
    root.mkdir()
    mark(root)
    (root / "lost+found").mkdir()
    (root / folder()).mkdir()
    fill(root / folder())
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("keep")
    (root / folder() / "escape").symlink_to(tmp_path / "outside")
    return root


def run(root: Path, asked: Request, *, proceed: Callable[[], bool] = lambda: True) -> Progress:
    progress = Progress()
    with opened(root) as descriptor:
        clear(descriptor, asked, proceed=proceed, progress=progress, trim=False)
    return progress


def names_in(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_the_folder_goes_and_nothing_else(disk: Path, tmp_path: Path) -> None:
    progress = run(disk, request(wipe=True))
    assert names_in(disk) == {marker.NAME, "lost+found"}
    assert (tmp_path / "outside" / "precious").read_text() == "keep"
    done = marked(disk)
    assert done
    assert done.wipe == WipeRecord(1, PV, True, progress.removed_bytes, progress.total_bytes)
    assert progress.removed_bytes == progress.total_bytes >= 4 * 5000


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
    tmp_path: Path, disk: Path, work: Callable[[Path], object], *, pairs: bool = True
) -> list[Path]:
    """For n = 1, 2, …: a copy of the disk on which `work` died before its n-th change; with `pairs` also copies on
    which it died a second time when it was run again."""
    left: list[Path] = []
    for change in range(1, 500):
        for again in sorted({0, 1, change // 2 + 1}) if pairs else (0,):
            copy = tmp_path / f"crash-{change}-{again}"
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


def test_a_crash_at_every_step_ends_in_the_same_state(disk: Path, tmp_path: Path) -> None:
    copies = at_every_step(tmp_path, disk, lambda root: run(root, request(wipe=True)))
    assert len(copies) > 40
    for copy in copies:
        run(copy, request(wipe=True))
        assert names_in(copy) == {marker.NAME, "lost+found"}, copy.name
        done = marked(copy)
        assert done
        assert done.wipe
        assert (done.wipe.done, done.wipe.generation, done.wipe.pv_uid) == (True, 1, PV)
    assert (tmp_path / "outside" / "precious").read_text() == "keep"


def test_an_agent_finishes_what_a_crash_left_at_any_step(disk: Path, tmp_path: Path) -> None:
    """Looking and planning included: what a crash leaves behind must not look like somebody else's files."""
    copies = at_every_step(tmp_path, disk, lambda root: run(root, request(wipe=True)), pairs=False)
    for copy in copies:
        (tmp_path / f"{copy.name}-node").mkdir()
        world = World(tmp_path / f"{copy.name}-node")
        world.root = copy
        world.cluster.ask(request(wipe=True))
        assert world.settle().get("wipe", {}).get("state") == "Done", (copy.name, world.disk())
        assert names_in(copy) == {marker.NAME, "lost+found"}


def test_no_second_wipe_after_any_crash(disk: Path, tmp_path: Path) -> None:
    """After the wipe the next generation is made and filled; the same request, come late, finds it untouched."""

    def wipe_make_fill(root: Path) -> None:
        found = marked(root)
        if found and found.generation == 1:
            run(root, request(wipe=True))
        with opened(root) as descriptor:
            folders.make(descriptor, request(2, make=True, pv=""), worlds.IDENTITY)
        if not (root / folder(2) / "new").exists():
            (root / folder(2) / "new").write_text("precious")

    for copy in at_every_step(tmp_path, disk, wipe_make_fill, pairs=False):
        found = marked(copy)
        if found and found.generation == 2:
            with pytest.raises(RefusedError):
                run(copy, request(wipe=True))
            before = names_in(copy)
            assert wiped(entry(copy, request(wipe=True)), request(wipe=True))
            assert names_in(copy) == before
        else:
            wipe_make_fill(copy)
        if not (copy / folder(2) / "new").exists():
            wipe_make_fill(copy)
        assert (copy / folder(2) / "new").exists()
        assert not (copy / folder(1)).exists()


def test_making_a_folder_survives_a_crash_at_every_step(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    (root / folder(1)).mkdir()
    mark(root, record=WipeRecord(1, PV, True))
    asked = request(2, make=True, pv="")

    def make(disk: Path) -> None:
        with opened(disk) as descriptor:
            folders.make(descriptor, asked, worlds.IDENTITY)

    copies = at_every_step(tmp_path, root, make)
    assert len(copies) > 9
    for copy in copies:
        make(copy)
        made = marked(copy)
        assert made
        assert (made.generation, made.pv_uid, made.wipe) == (2, "", WipeRecord(1, PV, True))
        assert {path.name for path in copy.iterdir() if path.is_dir()} == {folder(2)}
        assert (copy / folder(2)).stat().st_mode & 0o7777 == 0o770


def test_an_old_success_does_not_count_for_a_later_volume(disk: Path) -> None:
    """Elsewhere an earlier wipe's success was reused for a later PV of the same path: a dirty volume was offered."""
    run(disk, request(wipe=True))
    (disk / folder(2)).mkdir()
    (disk / folder(2) / "data").write_text("of the second")
    record = marked(disk)
    assert record
    mark(disk, 2, pv="pv-2", record=record.wipe)
    asked = request(2, pv="pv-2", wipe=True)
    assert not wiped(entry(disk, asked), asked)
    run(disk, asked)
    assert not (disk / folder(2)).exists()
    # The same generation, but another PV's UID: not the same wipe either.
    other = request(2, pv="pv-other", wipe=True)
    assert not wiped(entry(disk, other), other)
    with pytest.raises(RefusedError, match=f"the marker is of {folder(2)}, PV pv-2"):
        run(disk, other)


def test_done_touches_nothing(disk: Path) -> None:
    run(disk, request(wipe=True))
    (disk / folder()).mkdir()
    (disk / folder() / "by a person").write_text("kept")
    run(disk, request(wipe=True))
    assert (disk / folder() / "by a person").read_text() == "kept"


def test_without_a_wipe_in_the_request_nothing_is_deleted(disk: Path) -> None:
    """Elsewhere wiping began on a PV that was merely being deleted."""
    before = names_in(disk)
    assert plan((entry(disk, request()),), {worlds.IDENTITY: request()}).actions == ()
    with pytest.raises(RefusedError, match="no wipe of"):
        run(disk, request())
    assert names_in(disk) == before


def test_another_disk_on_the_old_path_is_left_alone(disk: Path) -> None:
    """Elsewhere: a node created anew under the same name, with another disk on the old path."""
    other = "wwn-0x5000c500deadbeef"
    mark(disk, identity=other)
    before = names_in(disk)
    asked = {worlds.IDENTITY: request(wipe=True)}
    assert plan((entry(disk, identity=other),), asked).actions == ()
    with pytest.raises(RefusedError):
        run(disk, request(wipe=True))
    assert names_in(disk) == before


@pytest.mark.parametrize("problem", ["link", "file"])
def test_what_is_no_folder_is_removed_and_not_followed(
    disk: Path, tmp_path: Path, problem: str
) -> None:
    shutil.rmtree(disk / folder())
    if problem == "link":
        (disk / folder()).symlink_to(tmp_path / "outside")
    else:
        (disk / folder()).write_text("not a folder")
    run(disk, request(wipe=True))
    assert not os.path.lexists(disk / folder())
    assert (tmp_path / "outside" / "precious").read_text() == "keep"


def test_a_file_that_is_open_refuses_before_anything_goes(disk: Path) -> None:
    before = names_in(disk)
    child = os.fork()
    if child == 0:
        os.open(disk / folder() / "db" / "LOCK", os.O_RDONLY)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    try:
        with pytest.raises(RefusedError) as refused:
            run(disk, request(wipe=True))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert refused.value.reason == "in-use"
    assert f"LOCK in {folder()} is open in some process" in str(refused.value)
    assert names_in(disk) == before
    assert marked(disk) == replace(marked(disk) or mark(disk), wipe=None)


def test_a_foreign_file_refuses(disk: Path) -> None:
    (disk / "backup.tar").touch()
    (disk / "lost+found" / "#12").touch()
    before = names_in(disk)
    with pytest.raises(RefusedError, match=r"backup.tar, lost\+found/#12 appeared") as refused:
        run(disk, request(wipe=True))
    assert refused.value.reason == "dirty"
    assert names_in(disk) == before


def test_on_a_persons_word_everything_goes_but_the_marker(disk: Path, tmp_path: Path) -> None:
    (disk / "backup").mkdir()
    (disk / "backup" / "x").touch()
    (disk / "lost+found" / "#12").mkdir()
    (disk / "lost+found" / "#12" / "y").touch()
    (disk / folder(7, "another")).mkdir()
    run(disk, request(wipe=True, foreign=True))
    assert names_in(disk) == {marker.NAME, "lost+found"}
    assert (tmp_path / "outside" / "precious").read_text() == "keep"


def test_a_disk_that_another_cluster_used_goes_on_a_persons_word_alone(disk: Path) -> None:
    mark(disk, pv="pv-of-another-cluster")
    never = request(wipe=True, pv="")
    with pytest.raises(RefusedError):
        run(disk, never)
    by_word = request(wipe=True, pv="", foreign=True)
    assert isinstance(plan((entry(disk, by_word),), {worlds.IDENTITY: by_word}).actions[0], Clear)
    run(disk, by_word)
    assert names_in(disk) == {marker.NAME, "lost+found"}


def test_no_word_counts_for_a_generation_that_came_after_it(disk: Path) -> None:
    (disk / folder()).rename(disk / folder(3))
    mark(disk, 3)
    by_word = request(1, wipe=True, pv="", foreign=True)
    answer = plan((entry(disk, by_word),), {worlds.IDENTITY: by_word}).answers[str(disk)]
    assert (answer.state, answer.reason) == ("Refused", "generation")
    assert f"its marker is of {worlds.volume()}, generation 3" in answer.message
    with pytest.raises(RefusedError):
        run(disk, by_word)
    assert (disk / folder(3) / "db" / "LOCK").exists()


def test_withdrawn_half_way_stops_before_the_next_file(disk: Path) -> None:
    left = 5

    def proceed() -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    with pytest.raises(WithdrawnError):
        run(disk, request(wipe=True), proceed=proceed)
    assert not (disk / folder()).exists()
    assert (disk / f"{folder()}.wiping").exists()
    found = marked(disk)
    assert found
    assert found.wipe
    assert not found.wipe.done
    # Nothing else is done with a half-wiped disk, and it is no foreign file either.
    half = entry(disk, request())
    assert plan((half,), {worlds.IDENTITY: request()}).actions == ()
    assert half.codes == set()
    assert plan((half,), {}).answers[str(disk)].state == "Running"
    # Asked again, it goes on.
    run(disk, request(wipe=True))
    assert names_in(disk) == {marker.NAME, "lost+found"}


def test_withdrawn_before_it_began_changes_nothing(disk: Path) -> None:
    before = names_in(disk)
    with pytest.raises(WithdrawnError):
        run(disk, request(wipe=True), proceed=lambda: False)
    assert names_in(disk) == before
    assert marked(disk) == mark(disk)


def test_a_full_disk_can_still_be_wiped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that filled its disk leaves no room for a marker: the reserve is for that."""
    root = tmp_path / "disk"
    root.mkdir()
    with opened(root) as descriptor:
        folders.make(descriptor, request(make=True, pv=""), worlds.IDENTITY)
        folders.record(descriptor, request())
    assert (root / ".helm-tidb.spare").stat().st_blocks > 0
    real = os.write

    def no_room(file: int, data: bytes) -> int:
        if (root / ".helm-tidb.spare").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data)

    monkeypatch.setattr(os, "write", no_room)
    run(root, request(wipe=True))
    assert {path.name for path in root.iterdir()} == {marker.NAME}


def test_two_folders_of_one_generation_are_nobodys_to_choose(disk: Path) -> None:
    (disk / f"{folder()}.wiping").mkdir()
    with pytest.raises(RefusedError, match=f"{folder()} and {folder()}.wiping are both there"):
        run(disk, request(wipe=True))
    assert (disk / folder() / "db" / "LOCK").exists()


def test_a_folder_deeper_than_any_database_is_refused(disk: Path) -> None:
    deep = disk / folder()
    for _ in range(wipe._DEEPEST + 2):
        deep = deep / "d"
        deep.mkdir()
    with pytest.raises(RefusedError, match="more than 200 folders deep"):
        run(disk, request(wipe=True))
    assert (disk / folder() / "db" / "LOCK").exists()


def test_a_disk_error_is_reported_and_the_next_run_goes_on(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.unlink
    failing = True

    def unlink(name: str, *, dir_fd: int) -> None:
        if failing and name == "000003.sst":
            raise OSError(errno.EIO, "Input/output error", name)
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(OSError, match="Input/output error"):
        run(disk, request(wipe=True))
    failing = False
    run(disk, request(wipe=True))
    assert names_in(disk) == {marker.NAME, "lost+found"}


def test_the_plan_makes_no_folder_where_one_was(disk: Path) -> None:
    """An empty folder in the place of a lost one would let a database start empty."""
    shutil.rmtree(disk / folder())
    lost = entry(disk, request())
    assert plan((lost,), {worlds.IDENTITY: request()}).actions == ()
    assert lost.codes == {"changed"}
    assert f"has no folder {folder()}, where this disk's volume was" in lost.problems[0].message


@pytest.mark.parametrize(
    "left", ["file", "folder of another volume", "older generation with content"]
)
def test_no_generation_begins_on_a_dirty_disk(tmp_path: Path, left: str) -> None:
    """Elsewhere nothing looked into a disk before it was offered for the first time."""
    root = tmp_path / "disk"
    root.mkdir()
    if left == "file":
        (root / "notes.txt").touch()
    elif left == "folder of another volume":
        (root / folder(1, "another")).mkdir()
        (root / folder(1, "another") / "data").touch()
    else:
        mark(root)
        (root / folder(1)).mkdir()
        (root / folder(1) / "data").touch()
    asked = request(2, make=True, pv="")
    dirty = entry(root, asked)
    assert "dirty" in dirty.codes
    assert plan((dirty,), {worlds.IDENTITY: asked}).actions == ()
    with opened(root) as descriptor, pytest.raises(folders.FolderError):
        folders.make(descriptor, asked, worlds.IDENTITY)
    assert not (root / folder(2)).exists()


def test_a_new_disk_gets_marker_and_folder(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    (root / "lost+found").mkdir()
    asked = request(make=True, pv="")
    (action,) = plan((entry(root, asked),), {worlds.IDENTITY: asked}).actions
    assert isinstance(action, MakeFolder)
    with opened(root) as descriptor:
        folders.make(descriptor, asked, worlds.IDENTITY)
    assert plan((entry(root, asked),), {worlds.IDENTITY: asked}).actions == ()
    assert entry(root, asked).folders == (folder(),)


def test_the_volumes_uid_is_noted_once(disk: Path) -> None:
    mark(disk, pv="")
    with opened(disk) as descriptor:
        folders.record(descriptor, request())
        folders.record(descriptor, request())
        with pytest.raises(folders.FolderError, match=f"names the PV {PV}, not pv-2"):
            folders.record(descriptor, request(pv="pv-2"))
    found = marked(disk)
    assert found
    assert found.pv_uid == PV


def test_lease_is_what_tells_open_files(tmp_path: Path) -> None:
    """The file system of this machine can tell at all: else the test of open files would prove nothing."""
    file = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        assert fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_WRLCK
    finally:
        os.close(file)
