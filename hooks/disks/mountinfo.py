"""/proc/self/mountinfo: which file system is mounted where (proc_pid_mountinfo(5)).

Mount points are read from here and never asked for with stat(): a dead disk answers stat() late or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_ESCAPE = re.compile(r"\\([0-7]{3})")


class MountinfoError(ValueError):
    """A line that is not of mountinfo's form: the file was not mountinfo."""


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo."""

    id: int
    parent: int
    number: str
    """MAJ:MIN of the superblock; major 0 for file systems without one block device (btrfs, tmpfs, NFS)."""
    root: str
    """The folder within the file system that is visible at `point`; other than "/": a bind mount or subvolume."""
    point: str
    kind: str
    source: str
    read_only: bool
    """The mount or the file system itself (after an error) takes no writes."""

    def below(self, folder: str) -> bool:
        return self.point.startswith(folder.rstrip("/") + "/")


def parse(text: str) -> tuple[Mount, ...]:
    """All mounts in the kernel's order: of several on one point the last is the visible one."""
    return tuple(_line(line) for line in text.splitlines() if line)


def _line(line: str) -> Mount:
    before, separator, after = line.partition(" - ")
    fields, rest = before.split(" "), after.split(" ")
    if not separator or len(fields) < 6 or len(rest) < 2:
        raise MountinfoError(f"not a line of mountinfo: {line!r}")
    options = {*fields[5].split(","), *(rest[2].split(",") if len(rest) > 2 else ())}
    return Mount(
        id=int(fields[0]),
        parent=int(fields[1]),
        number=fields[2],
        root=_unescape(fields[3]),
        point=_unescape(fields[4]),
        kind=rest[0],
        source=_unescape(rest[1]),
        read_only="ro" in options,
    )


def _unescape(field: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)


def visible(mounts: Iterable[Mount]) -> dict[str, tuple[Mount, ...]]:
    """Mount point → what is mounted there, the visible one first, then what it hides.

    The same file system mounted twice on one point (a second `mount --bind` through a shared parent) counts once: the
    upper shows what the lower does.
    """
    stacked: dict[str, list[Mount]] = {}
    for mount in mounts:
        layers = stacked.setdefault(mount.point, [])
        twin = [
            other for other in layers if (other.number, other.root) == (mount.number, mount.root)
        ]
        for other in twin:
            layers.remove(other)
        layers.insert(0, mount)
    return {point: tuple(layers) for point, layers in stacked.items()}
