"""Clear one generation's folder, so that a crash anywhere changes nothing but the time it takes.

    check on the opened disk → marker "Running", synced → folder renamed to <folder>.wiping, synced → content deleted
    → folder removed, synced → trim → marker "Done", synced

The marker decides: while it says Running for this key, the steps are run again, each finding what is left to do; once
it says Done for this key, nothing is touched any more. The key holds the generation and the PV's UID, so an old answer
never counts for new data, and the folder's name holds the generation, so a late request finds nothing of a later one.

Deletion goes down by descriptors: symbolic links are removed and not followed, and a folder that lies on another mount
(a bind mount of the same disk as well) stops everything.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from hooks.disks import marker as markers
from hooks.disks.filesystem import contents_of, mount_id_of
from hooks.disks.marker import Marker, WipeRecord
from hooks.disks.plan import is_later
from hooks.disks.requests import Request, WipeRequest

_FITRIM = 0xC0185879  # linux/fs.h: struct fstrim_range {start, len, minlen}, 3 × u64
_XFS_FREE_EOFBLOCKS = 0x8080583A  # xfs_fs.h: struct xfs_fs_eofblocks {version, flags, …}, 128 bytes
_BATCH = 1000
_DEEPEST = 200  # folders below one another; a database makes five


class RefusedError(Exception):
    """The disk must not be cleared, and was not (or no further): `reason` as in the inventory's contract."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class WithdrawnError(Exception):
    """The request vanished meanwhile; what was not deleted by then is still there."""


@dataclass
class Progress:
    """Grows while a wipe runs; read by the thread that publishes."""

    removed_bytes: int = 0
    total_bytes: int = 0
    begun: bool = False
    """The checks are over and the marker says Running."""
    note: str = ""
    """What became of the trim."""


def clear(
    root: int,
    request: Request,
    *,
    proceed: Callable[[], bool],
    progress: Progress,
    trim: bool = True,
) -> None:
    """Carry out `request.wipe` on the disk whose root folder is `root`, or resume it; returns when it is done.

    The caller has checked identity, marker and problems on this same mount (`plan.why_not`). `proceed` is asked before
    every file. Raises RefusedError, WithdrawnError, or OSError (then the next call goes on from there).
    """
    wipe = request.wipe
    if wipe is None:
        raise RefusedError("generation", f"no wipe of {request.folder} was asked for")
    found = _marker(root, request, wipe)
    record = found.wipe if found else None
    if record and record.done and _is_key(record, request):
        return
    targets = _targets(root, wipe)
    if not wipe.foreign:
        _refuse_foreign(root, request)
    _survey(root, targets, progress)
    base = found or Marker(
        request.volume, request.identity, wipe.generation, wipe.folder, wipe.pv_uid
    )
    running = WipeRecord(wipe.generation, wipe.pv_uid, done=False)
    if record and not record.done and _is_key(record, request):
        # A resumed wipe counts on from what the first run has removed.
        progress.total_bytes += record.removed_bytes
        progress.removed_bytes = record.removed_bytes
    else:
        if not proceed():
            raise WithdrawnError(wipe.folder)
        markers.write(root, replace(base, wipe=running))
    progress.begun = True
    wiping = f"{wipe.folder}.wiping"
    if wipe.folder in targets:
        os.rename(wipe.folder, wiping, src_dir_fd=root, dst_dir_fd=root)
        os.fsync(root)
        targets = [wiping if name == wipe.folder else name for name in targets]
    mount = mount_id_of(root)
    try:
        for name in targets:
            _remove(root, name, mount, proceed, progress)
    except BaseException:
        _save(root, base, running, progress)
        raise
    os.fsync(root)
    if trim:
        progress.note = _trim(root)
    done = replace(
        running,
        done=True,
        removed_bytes=progress.removed_bytes,
        total_bytes=progress.total_bytes,
    )
    markers.write(root, replace(base, wipe=done))


def _marker(root: int, request: Request, wipe: WipeRequest) -> Marker | None:
    """The disk's marker, if it is this generation's; None when the wipe may begin without. Raises RefusedError."""
    by_word = wipe.foreign and not wipe.pv_uid
    try:
        found = markers.read(root)
    except markers.MarkerError as error:
        if by_word:
            return None
        raise RefusedError("generation", str(error)) from error
    if found is None:
        return None
    key = (found.identity, found.volume, found.generation, found.pv_uid)
    if key == (request.identity, request.volume, wipe.generation, wipe.pv_uid):
        return found
    if by_word and not is_later(found, request):
        return None
    raise RefusedError(
        "generation", f"the marker is of {found.folder}, PV {found.pv_uid or 'none'}"
    )


def _is_key(record: WipeRecord, request: Request) -> bool:
    wipe = request.wipe
    return wipe is not None and (record.generation, record.pv_uid) == (wipe.generation, wipe.pv_uid)


def _targets(root: int, wipe: WipeRequest) -> list[str]:
    """Names in the root to delete, sorted: the generation's folder, or what a broken-off wipe left of it; on a person's
    word everything but the marker and lost+found itself."""
    wiping = f"{wipe.folder}.wiping"
    names = sorted(os.listdir(root))
    if wipe.folder in names and wiping in names:
        raise RefusedError("dirty", f"{wipe.folder} and {wiping} are both there")
    if not wipe.foreign:
        return [name for name in names if name in (wipe.folder, wiping)]
    inside = [f"lost+found/{name}" for name in _lost(root)] if "lost+found" in names else []
    return [name for name in names if name not in (*markers.OURS, "lost+found")] + inside


def _lost(root: int) -> list[str]:
    folder = os.open("lost+found", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
    try:
        return sorted(os.listdir(folder))
    finally:
        os.close(folder)


def _refuse_foreign(root: int, request: Request) -> None:
    contents = contents_of(root)
    own = {request.folder, f"{request.folder}.wiping"}
    unknown = [*contents.foreign, *(name for name in contents.wiping if name not in own)]
    unknown += [f.name for f in contents.folders if f.name not in own and not f.empty]
    if unknown:
        raise RefusedError(
            "dirty", f"{', '.join(unknown[:5])} appeared since the disk was looked at"
        )


def _survey(root: int, targets: list[str], progress: Progress) -> None:
    """Measure what will be deleted, and refuse before the first deletion if somebody uses it or a mount lies in it."""
    mount = mount_id_of(root)
    progress.total_bytes = 0
    linked: set[int] = set()
    for name in targets:
        for parent, entry, status in _walk(root, name, mount, 0):
            # Removing the last of several hard links frees a file's blocks.
            if stat.S_ISDIR(status.st_mode) or status.st_ino not in linked:
                progress.total_bytes += status.st_blocks * 512
            if status.st_nlink > 1:
                linked.add(status.st_ino)
            if stat.S_ISREG(status.st_mode) and _in_use(parent, entry):
                raise RefusedError("in-use", f"{entry} in {name} is open in some process")


def _walk(
    parent: int, name: str, mount: int, depth: int
) -> Iterator[tuple[int, str, os.stat_result]]:
    """(folder's descriptor, name, status) of an entry and, before it, of all below it."""
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        folder = _enter(parent, name, mount, depth)
        try:
            for child in os.listdir(folder):
                yield from _walk(folder, child, mount, depth + 1)
        finally:
            os.close(folder)
    yield parent, name, status


def _enter(parent: int, name: str, mount: int, depth: int) -> int:
    if depth > _DEEPEST:
        raise RefusedError("dirty", f"{name} lies more than {_DEEPEST} folders deep")
    folder = os.open(
        name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent
    )
    if mount_id_of(folder) != mount:
        os.close(folder)
        raise RefusedError(
            "in-use", f"something is mounted on {name}, inside the folder to be cleared"
        )
    return folder


def _in_use(parent: int, name: str) -> bool:
    """Whether any process of the node has the file open, in whatever container: the kernel grants a write lease only
    on a file that nobody else has open (fcntl(2), F_SETLEASE; CAP_LEASE for other owners' files)."""
    try:
        file = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent
        )
    except FileNotFoundError:
        return False
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False  # a file system without leases cannot tell
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EPERM):
            return True  # in use, or not ours to know: doubt keeps the data
        raise
    finally:
        os.close(file)
    return False


def ignore_broken_leases() -> None:
    """To be called once in the main thread: a process that opens a file during `_in_use` makes the kernel signal us."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def _remove(
    root: int,
    name: str,
    mount: int,
    proceed: Callable[[], bool],
    progress: Progress,
    depth: int = 0,
) -> None:
    """Delete an entry and all below it, by descriptor."""
    if "/" in name:  # lost+found/…
        above, _, name = name.partition("/")
        folder = _enter(root, above, mount, depth)
        try:
            _remove(folder, name, mount, proceed, progress, depth + 1)
        finally:
            os.close(folder)
        return
    status = os.stat(name, dir_fd=root, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        if not proceed():
            raise WithdrawnError(name)
        os.unlink(name, dir_fd=root)
        if status.st_nlink == 1:
            progress.removed_bytes += status.st_blocks * 512
        return
    folder = _enter(root, name, mount, depth)
    try:
        # In batches: a folder that shrinks while it is read may be told with gaps.
        while batch := _some(folder):
            for child in batch:
                _remove(folder, child, mount, proceed, progress, depth + 1)
    finally:
        os.close(folder)
    if not proceed():
        raise WithdrawnError(name)
    os.rmdir(name, dir_fd=root)
    progress.removed_bytes += status.st_blocks * 512


def _some(folder: int) -> list[str]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            found.append(entry.name)
            if len(found) == _BATCH:
                break
    return found


def _save(root: int, base: Marker, running: WipeRecord, progress: Progress) -> None:
    """Remember how far it came, for the count only; the disk may be beyond even that."""
    record = replace(
        running, removed_bytes=progress.removed_bytes, total_bytes=progress.total_bytes
    )
    try:
        markers.write(root, replace(base, wipe=record))
    except OSError:
        progress.note = "the progress could not be saved on the disk"


def _trim(root: int) -> str:
    """Tell the disk which blocks are free (FITRIM); where that is not possible the wipe is done all the same.

    The disk may still be at it when this returns: XFS discards in the background since Linux 6.7, holding back the
    blocks until then, and its answer is the size of the range, not of what was free in it.
    """
    # XFS frees the blocks of deleted files in the background too, and passes over a free extent that touches one still
    # to come; this call of its own waits for them (a sync of the file system does not). Others do not know it, and what
    # else may be wrong FITRIM says.
    with suppress(OSError):
        fcntl.ioctl(root, _XFS_FREE_EOFBLOCKS, struct.pack("I124x", 1))
    try:
        answer = fcntl.ioctl(root, _FITRIM, struct.pack("QQQ", 0, 2**64 - 1, 0))
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL):
            return f"not trimmed: {error.strerror}"
        raise
    return f"trimmed {struct.unpack('QQQ', answer)[1]} bytes"
