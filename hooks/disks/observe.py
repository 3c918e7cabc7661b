"""Read one node's disks into a `Snapshot`: what is mounted below the discovery directory, and what lies beneath.

Nothing is judged here (`plan.py` does that), nothing is written, and no disk is opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hooks.disks import mountinfo
from hooks.disks.filesystem import NOT_LOOKED_AT, Contents
from hooks.disks.host import Host, attribute, entries, followed
from hooks.disks.mountinfo import Mount
from hooks.disks.stack import SECTOR_BYTES, Disk, Stack, Stacks

LookAt = Callable[[Iterable[Mount]], Mapping[Mount, Contents]]
"""What is on each of these mounts (`filesystem.Looker`)."""


@dataclass(frozen=True)
class Candidate:
    """One folder below the discovery directory that is, or was meant to be, a mounted disk."""

    path: str
    mount: Mount | None
    """None: a plain folder, nothing is mounted on it."""
    hidden: tuple[Mount, ...] = ()
    """Other file systems mounted on the same folder, out of sight below `mount`."""
    around: str | None = None
    """The path of the candidate inside whose file system this one is mounted."""
    stacks: tuple[Stack, ...] = ()
    """What carries the file system: one block device, several for btrfs over several; none: it has none, or it is
    gone."""
    contents: Contents = NOT_LOOKED_AT

    @property
    def disks(self) -> tuple[Disk, ...]:
        found = {disk.number: disk for stack in self.stacks for disk in stack.disks}
        return tuple(sorted(found.values(), key=lambda disk: disk.name))


@dataclass(frozen=True)
class OtherDisk:
    """A physical disk that carries no candidate."""

    disk: Disk
    by_id: str | None
    """The name to use in commands: /dev/disk/by-id/…; None when udev made none."""
    filesystem: str | None
    """What udev found on it (xfs, LVM2_member …)."""
    probed: bool
    """udev has looked at the disk: without its word, "no file system" is not known."""
    partitions: tuple[str, ...]
    holders: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    discovery: str
    candidates: tuple[Candidate, ...] = ()
    others: tuple[OtherDisk, ...] = ()
    system_units: frozenset[str] = frozenset()
    """Hardware units under mounts outside the discovery directory: the node's own system."""
    swaps: Mapping[str, str] = field(default_factory=dict)
    """Hardware unit or candidate path → the swap on it."""
    missing: bool = False
    """The discovery directory itself is not there."""


def observe(host: Host, discovery: str, look: LookAt) -> Snapshot:
    """Read everything once. `discovery` is an absolute path, the same inside the container and on the node.

    Raises MountinfoError or OSError when the mount table itself cannot be read: then nothing is known.
    """
    stacks = Stacks(host)
    mounts = mountinfo.parse((host.proc / "self/mountinfo").read_text(encoding="utf-8"))
    points = {
        point: layers
        for point, layers in mountinfo.visible(mounts).items()
        if layers[0].below(discovery)
    }
    contents = look([layers[0] for layers in points.values()])
    mounted = [
        Candidate(
            path=point,
            mount=layers[0],
            hidden=layers[1:],
            around=_around(point, points),
            stacks=_stacks_of(host, stacks, layers[0]),
            contents=contents[layers[0]],
        )
        for point, layers in points.items()
    ]
    plain = [Candidate(path, None) for path in _plain_folders(discovery, points)]
    candidates = tuple(sorted([*mounted, *plain], key=lambda candidate: candidate.path))
    outside = {mount.number for mount in mounts if not mount.below(discovery)}
    system = [
        stack
        for number in sorted(outside)
        if not number.startswith("0:")
        if (stack := stacks.of(number))
    ]
    return Snapshot(
        discovery=discovery,
        candidates=candidates,
        others=_others(host, stacks, candidates),
        system_units=frozenset(disk.unit for stack in system for disk in stack.disks),
        swaps=_swaps(host, stacks, candidates),
        missing=not os.path.isdir(discovery),
    )


def _around(point: str, points: Mapping[str, object]) -> str | None:
    above = os.path.dirname(point)
    while len(above) > 1:
        if above in points:
            return above
        above = os.path.dirname(above)
    return None


def _plain_folders(discovery: str, points: Mapping[str, object]) -> list[str]:
    """Folders directly below the discovery directory that are no mount points and lead to none.

    /mnt/disks/ssd with a disk mounted on /mnt/disks/ssd/0 only sorts disks. Links are not followed and not listed:
    the static provisioner's leftovers pointed to other disks' folders.
    """
    try:
        found = [
            entry.path for entry in os.scandir(discovery) if entry.is_dir(follow_symlinks=False)
        ]
    except OSError:
        return []
    return [
        path
        for path in found
        if path not in points and not any(point.startswith(path + "/") for point in points)
    ]


def _stacks_of(host: Host, stacks: Stacks, mount: Mount) -> tuple[Stack, ...]:
    if not mount.number.startswith("0:"):
        stack = stacks.of(mount.number)
        return (stack,) if stack else ()
    if mount.kind != "btrfs":
        return ()
    # btrfs mounts have an anonymous number. Its folder in sysfs lists the devices; the mount's source is one of them.
    source = host.number_of(host.dev / mount.source.removeprefix("/dev/"))
    for uuid in entries(host.sys / "fs/btrfs"):
        devices = host.sys / "fs/btrfs" / uuid / "devices"
        members = [stacks.of_name(name) for name in entries(devices)]
        found = tuple(stack for stack in members if stack)
        if source in {stack.number for stack in found}:
            return found
    return ()


def _swaps(host: Host, stacks: Stacks, candidates: tuple[Candidate, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in (attribute(host.proc / "swaps") or "").splitlines()[1:]:
        area = line.split()[0]
        if area.startswith("/dev/"):
            stack = stacks.of_name(os.path.basename(area))
            found.update((disk.unit, area) for disk in (stack.disks if stack else ()))
        else:
            found.update((c.path, area) for c in candidates if area.startswith(c.path + "/"))
    return found


def _others(host: Host, stacks: Stacks, candidates: tuple[Candidate, ...]) -> tuple[OtherDisk, ...]:
    """Every whole disk with a size that carries no candidate; not ROMs, RAM disks and nameless loops."""
    carrying = {disk.number for candidate in candidates for disk in candidate.disks}
    hidden = [_stacks_of(host, stacks, mount) for c in candidates for mount in c.hidden]
    carrying |= {disk.number for found in hidden for stack in found for disk in stack.disks}
    carrying |= {
        name for candidate in candidates for disk in candidate.disks for name in _paths(host, disk)
    }
    found = []
    for name in entries(host.sys / "block"):
        folder = followed(host.sys / "block" / name)
        if name.startswith(_NO_DISKS) or folder is None:
            continue
        number = attribute(folder / "dev") or ""
        if number in carrying or not _is_disk(folder, name, number in stacks.by_id):
            continue
        facts = host.udev_facts(number)
        multipath = (attribute(folder / "dm/uuid") or "").startswith("mpath-")
        links = stacks.by_id.get(number)
        found.append(
            OtherDisk(
                disk=stacks.multipath(folder) if multipath else stacks.disk(folder),
                by_id=f"/dev/disk/by-id/{links[0]}" if links else None,
                filesystem=facts.get("ID_FS_TYPE") or facts.get("ID_PART_TABLE_TYPE"),
                probed=bool(facts),
                partitions=tuple(
                    child for child in entries(folder) if (folder / child / "partition").exists()
                ),
                holders=tuple(entries(folder / "holders")),
            )
        )
    return tuple(found)


def _paths(host: Host, disk: Disk) -> list[str]:
    """Numbers of the paths of a multipath disk: they are the disk, not further disks."""
    folder = host.block(disk.number)
    names = entries(folder / "slaves") if folder else []
    return [attribute(host.sys / "class/block" / name / "dev") or "" for name in names]


# ROMs, floppies, memory, and what comes from elsewhere over the network.
_NO_DISKS = ("sr", "fd", "ram", "zram", "nbd")


def _is_disk(device: Path, name: str, named: bool) -> bool:
    if name.startswith("loop"):
        # Images of packages are loops; a loop that somebody gave an id is a test's disk.
        return named and (device / "loop/backing_file").exists()
    if attribute(device / "hidden") == "1":
        return False
    mapped = attribute(device / "dm/uuid") or ""
    if (device / "md").is_dir() or (device / "dm").is_dir():
        return mapped.startswith("mpath-")
    held = [
        attribute(device / "holders" / h / "dm/uuid") or "" for h in entries(device / "holders")
    ]
    if any(uuid.startswith("mpath-") for uuid in held):
        return False
    return int(attribute(device / "size") or 0) * SECTOR_BYTES > 0
