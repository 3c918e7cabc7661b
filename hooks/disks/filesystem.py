"""What is on a mounted disk: its size, its UUID, our folders and other people's files.

The only code here that touches the disks themselves. A dying disk may keep a system call waiting for minutes, so each
disk is asked by a thread of its own and the scan goes on without those that do not answer.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import threading
import uuid as uuid_module
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hooks.disks import marker
from hooks.disks.marker import Marker
from hooks.disks.mountinfo import Mount

_FOLDER = re.compile(r"tv-[0-9a-f]{16}-g[1-9][0-9]*")
_WIPING = re.compile(r"tv-[0-9a-f]{16}-g[1-9][0-9]*\.wiping")
_OF_THE_DISK = frozenset(
    {errno.EIO, errno.ENXIO, errno.ENODEV, errno.EUCLEAN, errno.EBADMSG, errno.ESHUTDOWN}
)
# linux/fs.h FS_IOC_GETFSUUID (kernel 6.9): u8 length, u8[16]; xfs_fs.h XFS_IOC_FSGEOMETRY_V1: 112 bytes, UUID at 64.
_FS_IOC_GETFSUUID = 0x80111500
_XFS_IOC_FSGEOMETRY_V1 = 0x80705864


@dataclass(frozen=True)
class Folder:
    """A generation's folder in a disk's root."""

    name: str
    empty: bool


@dataclass(frozen=True)
class Contents:
    """One look at a mounted file system's root folder."""

    size_bytes: int = 0
    uuid: str | None = None
    folders: tuple[Folder, ...] = ()
    """Folders named like a generation's (`tv-…-g1`), sorted."""
    wiping: tuple[str, ...] = ()
    """Folders that a wipe has taken out of use (`tv-…-g1.wiping`)."""
    foreign: tuple[str, ...] = ()
    """All other names, sorted, and the files in lost+found."""
    marker: Marker | None = None
    marker_error: str | None = None
    error: str | None = None
    """Why the look failed, as the kernel says it ("Input/output error"); the other fields are then empty."""
    broken: bool = False
    """The error is the disk's own, not one of rights."""


NOT_LOOKED_AT = Contents()


class MountChangedError(Exception):
    """Another file system is at the path now than the mount table said."""


def open_root(mount: Mount) -> int:
    """A descriptor of a mounted disk's root folder: whatever is mounted or unmounted later, it stays on that disk.

    Raises MountChangedError when the path leads to another mount by now, above all to the root disk's empty folder
    after an unmount. The device is compared as well: the kernel gives the ids of gone mounts to new ones.
    """
    folder = os.open(mount.point, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        device = os.fstat(folder).st_dev
        found = (mount_id_of(folder), f"{os.major(device)}:{os.minor(device)}")
    except BaseException:
        os.close(folder)
        raise
    # btrfs shows one number in the mount table and another to stat.
    same_device = found[1] == mount.number or mount.kind == "btrfs"
    if found[0] != mount.id or not same_device:
        os.close(folder)
        raise MountChangedError(
            f"{mount.point} leads to mount {found[0]} of device {found[1]}, "
            f"the mount table said {mount.id} of {mount.number}"
        )
    return folder


def mount_id_of(descriptor: int) -> int:
    """Id of the mount that an open file was reached through, as in mountinfo's first column (proc_pid_fdinfo(5)).

    st_dev does not tell a bind mount of the same file system; this does.
    """
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as file:
        for line in file:
            if line.startswith("mnt_id:"):
                return int(line.split()[1])
    raise OSError(errno.ENOTSUP, "the kernel gives no mnt_id", f"/proc/self/fdinfo/{descriptor}")


def look(mount: Mount) -> Contents:
    """Read a mounted file system's root folder; writes nothing. An error of the disk is part of the answer."""
    try:
        root = open_root(mount)
    except MountChangedError as error:
        return Contents(error=str(error))
    except OSError as error:
        return _failed(error)
    try:
        return contents_of(root)
    except OSError as error:
        return _failed(error)
    finally:
        os.close(root)


def contents_of(root: int) -> Contents:
    """The same by the root folder's descriptor. Raises OSError."""
    space = os.fstatvfs(root)
    names = sorted(os.listdir(root))
    folders = [name for name in names if _FOLDER.fullmatch(name)]
    wiping = [name for name in names if _WIPING.fullmatch(name)]
    known = {*folders, *wiping, *marker.OURS, "lost+found"}
    foreign = [name for name in names if name not in known]
    if "lost+found" in names:
        # fsck puts files without a name there: somebody's data, until a person says otherwise.
        foreign += [f"lost+found/{name}" for name in sorted(_names(root, "lost+found"))]
    found, wrong = None, None
    if marker.NAME in names:
        try:
            found = marker.read(root)
        except marker.MarkerError as error:
            wrong = str(error)
    return Contents(
        size_bytes=space.f_blocks * space.f_frsize,
        uuid=uuid(root),
        folders=tuple(Folder(name, not _names(root, name)) for name in folders),
        wiping=tuple(wiping),
        foreign=tuple(foreign),
        marker=found,
        marker_error=wrong,
    )


def _names(root: int, name: str) -> list[str]:
    """Names in a folder of the root; what is no folder counts as one that is not empty."""
    try:
        folder = os.open(
            name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root
        )
    except NotADirectoryError:
        return [name]
    try:
        return os.listdir(folder)
    finally:
        os.close(folder)


def _failed(error: OSError) -> Contents:
    return Contents(error=error.strerror or str(error), broken=error.errno in _OF_THE_DISK)


def uuid(folder: int) -> str | None:
    """The mounted file system's own UUID; None where neither the kernel nor XFS can tell (ext4 before 6.9)."""
    for request, size, start in ((_FS_IOC_GETFSUUID, 17, 1), (_XFS_IOC_FSGEOMETRY_V1, 112, 64)):
        try:
            answer = fcntl.ioctl(folder, request, bytes(size))
        except OSError:
            continue  # "not this kind of file system", in one errno or another
        found = answer[start : start + 16]
        if any(found):
            return str(uuid_module.UUID(bytes=found))
    return None


class Looker:
    """Looks at many disks at once and waits for none of them longer than the deadline.

    A thread that a disk keeps waiting is left behind, and that mount is not asked again until the thread came back:
    at most one thread a mount, however long the disk hangs.
    """

    def __init__(self, look_at: Callable[[Mount], Contents] = look) -> None:
        self._look_at = look_at
        self._busy: set[Mount] = set()
        self._changed = threading.Condition()

    def look(self, mounts: Iterable[Mount], seconds: float) -> dict[Mount, Contents]:
        """What is on each; a disk that has not answered after `seconds` gets an error that says so."""
        asked = list(mounts)
        answers: dict[Mount, Contents] = {}
        silent = Contents(error=f"no answer within {seconds:g} s", broken=True)
        with self._changed:
            new = [mount for mount in asked if mount not in self._busy]
            self._busy.update(new)
        for mount in new:
            threading.Thread(target=self._ask, args=(mount, answers), daemon=True).start()
        with self._changed:
            # Only the new ones are worth waiting for: one that hung through the last scan would use up this one too.
            self._changed.wait_for(lambda: not self._busy.intersection(new), timeout=seconds)
            return {mount: answers.get(mount, silent) for mount in asked}

    def _ask(self, mount: Mount, answers: dict[Mount, Contents]) -> None:
        contents = self._look_at(mount)
        with self._changed:
            answers[mount] = contents
            self._busy.discard(mount)
            self._changed.notify_all()
