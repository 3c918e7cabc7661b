"""Clearing a generation's folder: what goes, what stays, what is refused. (Crashes: test_wipe_crashes.py.)"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from hooks.disks import folders, marker, wipe
from hooks.disks.marker import WipeRecord
from hooks.disks.plan import Clear, MakeFolder, plan, wiped
from hooks.disks.wipe import RefusedError, WithdrawnError
from tests.unit.disks import worlds
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


def test_the_folder_goes_and_nothing_else(disk: Path, memory: Path) -> None:
    progress = run_wipe(disk, request(wipe=True))
    assert names_in(disk) == {marker.NAME, "lost+found"}
    assert (memory / "outside" / "precious").read_text() == "keep"
    done = marked(disk)
    assert done
    assert done.wipe == WipeRecord(1, PV, True, progress.removed_bytes, progress.total_bytes)
    assert progress.removed_bytes == progress.total_bytes >= 4 * 5000


def test_an_old_success_does_not_count_for_a_later_volume(disk: Path) -> None:
    """Elsewhere an earlier wipe's success was reused for a later PV of the same path: a dirty volume was offered."""
    run_wipe(disk, request(wipe=True))
    (disk / folder(2)).mkdir()
    (disk / folder(2) / "data").write_text("of the second")
    record = marked(disk)
    assert record
    mark(disk, 2, pv="pv-2", record=record.wipe)
    asked = request(2, pv="pv-2", wipe=True)
    assert not wiped(entry(disk, asked), asked)
    run_wipe(disk, asked)
    assert not (disk / folder(2)).exists()
    # The same generation, but another PV's UID: not the same wipe either.
    other = request(2, pv="pv-other", wipe=True)
    assert not wiped(entry(disk, other), other)
    with pytest.raises(RefusedError, match=f"the marker is of {folder(2)}, PV pv-2"):
        run_wipe(disk, other)


def test_done_touches_nothing(disk: Path) -> None:
    run_wipe(disk, request(wipe=True))
    (disk / folder()).mkdir()
    (disk / folder() / "by a person").write_text("kept")
    run_wipe(disk, request(wipe=True))
    assert (disk / folder() / "by a person").read_text() == "kept"


def test_without_a_wipe_in_the_request_nothing_is_deleted(disk: Path) -> None:
    """Elsewhere wiping began on a PV that was merely being deleted."""
    before = names_in(disk)
    assert plan((entry(disk, request()),), {worlds.IDENTITY: request()}).actions == ()
    with pytest.raises(RefusedError, match="no wipe of"):
        run_wipe(disk, request())
    assert names_in(disk) == before


def test_another_disk_on_the_old_path_is_left_alone(disk: Path) -> None:
    """Elsewhere: a node created anew under the same name, with another disk on the old path."""
    other = "wwn-0x5000c500deadbeef"
    mark(disk, identity=other)
    before = names_in(disk)
    asked = {worlds.IDENTITY: request(wipe=True)}
    assert plan((entry(disk, identity=other),), asked).actions == ()
    with pytest.raises(RefusedError):
        run_wipe(disk, request(wipe=True))
    assert names_in(disk) == before


@pytest.mark.parametrize("problem", ["link", "file"])
def test_what_is_no_folder_is_removed_and_not_followed(
    disk: Path, memory: Path, problem: str
) -> None:
    shutil.rmtree(disk / folder())
    if problem == "link":
        (disk / folder()).symlink_to(memory / "outside")
    else:
        (disk / folder()).write_text("not a folder")
    run_wipe(disk, request(wipe=True))
    assert not os.path.lexists(disk / folder())
    assert (memory / "outside" / "precious").read_text() == "keep"


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
            run_wipe(disk, request(wipe=True))
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
        run_wipe(disk, request(wipe=True))
    assert refused.value.reason == "dirty"
    assert names_in(disk) == before


def test_on_a_persons_word_everything_goes_but_the_marker(disk: Path, memory: Path) -> None:
    (disk / "backup").mkdir()
    (disk / "backup" / "x").touch()
    (disk / "lost+found" / "#12").mkdir()
    (disk / "lost+found" / "#12" / "y").touch()
    (disk / folder(7, "another")).mkdir()
    run_wipe(disk, request(wipe=True, foreign=True))
    assert names_in(disk) == {marker.NAME, "lost+found"}
    assert (memory / "outside" / "precious").read_text() == "keep"


def test_a_disk_that_another_cluster_used_goes_on_a_persons_word_alone(disk: Path) -> None:
    mark(disk, pv="pv-of-another-cluster")
    never = request(wipe=True, pv="")
    with pytest.raises(RefusedError):
        run_wipe(disk, never)
    by_word = request(wipe=True, pv="", foreign=True)
    assert isinstance(plan((entry(disk, by_word),), {worlds.IDENTITY: by_word}).actions[0], Clear)
    run_wipe(disk, by_word)
    assert names_in(disk) == {marker.NAME, "lost+found"}


def test_no_word_counts_for_a_generation_that_came_after_it(disk: Path) -> None:
    (disk / folder()).rename(disk / folder(3))
    mark(disk, 3)
    by_word = request(1, wipe=True, pv="", foreign=True)
    answer = plan((entry(disk, by_word),), {worlds.IDENTITY: by_word}).answers[str(disk)]
    assert (answer.state, answer.reason) == ("Refused", "generation")
    assert f"its marker is of {worlds.volume()}, generation 3" in answer.message
    with pytest.raises(RefusedError):
        run_wipe(disk, by_word)
    assert (disk / folder(3) / "db" / "LOCK").exists()


def test_withdrawn_half_way_stops_before_the_next_file(disk: Path) -> None:
    left = 5

    def proceed() -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    with pytest.raises(WithdrawnError):
        run_wipe(disk, request(wipe=True), proceed=proceed)
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
    run_wipe(disk, request(wipe=True))
    assert names_in(disk) == {marker.NAME, "lost+found"}


def test_withdrawn_before_it_began_changes_nothing(disk: Path) -> None:
    before = names_in(disk)
    with pytest.raises(WithdrawnError):
        run_wipe(disk, request(wipe=True), proceed=lambda: False)
    assert names_in(disk) == before
    assert marked(disk) == mark(disk)


def test_a_full_disk_can_still_be_wiped(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that filled its disk leaves no room for a marker: the reserve is for that."""
    root = memory / "disk"
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
    run_wipe(root, request(wipe=True))
    assert {path.name for path in root.iterdir()} == {marker.NAME}


def test_two_folders_of_one_generation_are_nobodys_to_choose(disk: Path) -> None:
    (disk / f"{folder()}.wiping").mkdir()
    with pytest.raises(RefusedError, match=f"{folder()} and {folder()}.wiping are both there"):
        run_wipe(disk, request(wipe=True))
    assert (disk / folder() / "db" / "LOCK").exists()


def test_a_folder_deeper_than_any_database_is_refused(disk: Path) -> None:
    deep = disk / folder()
    for _ in range(wipe._DEEPEST + 2):
        deep = deep / "d"
        deep.mkdir()
    with pytest.raises(RefusedError, match="more than 200 folders deep"):
        run_wipe(disk, request(wipe=True))
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
        run_wipe(disk, request(wipe=True))
    failing = False
    run_wipe(disk, request(wipe=True))
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
def test_no_generation_begins_on_a_dirty_disk(memory: Path, left: str) -> None:
    """Elsewhere nothing looked into a disk before it was offered for the first time."""
    root = memory / "disk"
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


def test_a_new_disk_gets_marker_and_folder(memory: Path) -> None:
    root = memory / "disk"
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


def test_lease_is_what_tells_open_files(memory: Path) -> None:
    """The file system of this machine can tell at all: else the test of open files would prove nothing."""
    file = os.open(memory / "x", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        assert fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_WRLCK
    finally:
        os.close(file)
