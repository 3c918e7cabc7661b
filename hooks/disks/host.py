"""Where a node's kernel files are, seen from where this process runs.

In the agent's container /sys is the node's own, /proc is the container's (its mountinfo lists the disks below the
discovery directory, because the volume is mounted HostToContainer), and the node's /dev and udev database are mounted
below /host. Every function of this package that asks the kernel takes a `Host`, so a recorded tree of another machine
does as well as the machine itself.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Host:
    """Folders of the kernel and of udev; each may be absent (udev is, on minimal nodes)."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    dev: Path = Path("/dev")
    udev: Path = Path("/run/udev/data")

    @classmethod
    def at(cls, root: Path) -> Host:
        """The same folders below another root: a recorded tree, or a node's root mounted somewhere."""
        return cls(root / "sys", root / "proc", root / "dev", root / "run/udev/data")

    def block(self, number: str) -> Path | None:
        """The sysfs folder of a block device by its MAJ:MIN, None when the kernel has no such device (any more)."""
        return followed(self.sys / "dev/block" / number)

    def number_of(self, path: Path) -> str | None:
        """MAJ:MIN of a device file below /dev, or of a link to one.

        When only the links are here and not the files they point to, the kernel name they end in is looked up:
        udev makes its links relative, so `../../sdb` says enough.
        """
        try:
            mode = os.stat(path)
            if stat.S_ISBLK(mode.st_mode):
                return f"{os.major(mode.st_rdev)}:{os.minor(mode.st_rdev)}"
        except OSError:
            pass
        try:
            target = os.readlink(path)
        except OSError:
            target = path.name
        return attribute(self.sys / "class/block" / os.path.basename(target) / "dev")

    def links(self, kind: str) -> dict[str, list[str]]:
        """MAJ:MIN → names of the links below /dev/disk/<kind> that point to it, sorted; empty without udev's links."""
        found: dict[str, list[str]] = {}
        try:
            names = sorted(os.listdir(self.dev / "disk" / kind))
        except OSError:
            return found
        for name in names:
            number = self.number_of(self.dev / "disk" / kind / name)
            if number:
                found.setdefault(number, []).append(name)
        return found

    def udev_facts(self, number: str) -> dict[str, str]:
        """What udev found out about a block device (ID_FS_TYPE, ID_WWN …); empty when it keeps no record.

        The record is the one way to know of a file system on an unmounted disk without opening the disk, which the
        agent has no right to.
        """
        text = attribute(self.udev / f"b{number}")
        lines = (line[2:] for line in (text or "").splitlines() if line.startswith("E:"))
        return dict(line.split("=", 1) for line in lines if "=" in line)


def followed(link: Path) -> Path | None:
    """Where a sysfs link leads, by one readlink: sysfs links go straight to their device; None when there is none."""
    try:
        return Path(os.path.normpath(link.parent / os.readlink(link)))
    except OSError:
        return None


def attribute(path: Path) -> str | None:
    """A small kernel file's text, stripped; None when it is absent, unreadable or empty."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip() or None
    except OSError:
        return None


def entries(folder: Path) -> list[str]:
    """Names in a kernel folder, sorted; empty when it is absent."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
