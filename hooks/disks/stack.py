"""From a block device down to the physical disks that carry it: partitions, device mapper, md, NVMe namespaces, loops.

    /sys/dev/block/MAJ:MIN → a partition's parent; device mapper and md: through slaves/, until nothing lies below

More than one disk at the bottom, or one that carries something else as well, is not isolated: a neighbour takes its
bandwidth, and both are lost together. Multipath is the exception: its slaves are several ways to one disk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hooks.disks import identity
from hooks.disks.host import Host, attribute, entries, followed

SECTOR_BYTES = 512  # sysfs counts in these, whatever the disk's own sector is


@dataclass(frozen=True)
class Disk:
    """A physical disk, as far down as the kernel shows it."""

    name: str
    """Kernel name (sdb, nvme0n1): for people to find it today; another one after the next boot."""
    number: str
    unit: str
    """What fails and queues as one piece of hardware: the NVMe controller or subsystem, else the disk itself."""
    identity: str | None
    size_bytes: int
    rotational: bool
    writable: bool
    state: str | None
    """The driver's word: running, offline, live, dead …; None when it gives none."""
    model: str | None = None
    serial: str | None = None
    backing_file: str | None = None
    """Of a loop device: a file on some other disk."""


@dataclass(frozen=True)
class Stack:
    """A block device and all that lies between it and the disks below."""

    number: str
    name: str
    layers: tuple[str, ...]
    """In words, top first, without the disks: "LVM vg0-data", "partition sdb1"; empty for a whole disk."""
    disks: tuple[Disk, ...]
    identity: str | None
    neighbours: tuple[str, ...]
    """Kernel names of what else lies on the same disks: further partitions and volumes."""
    size_bytes: int = 0
    fs_errors: int = 0
    """Errors that ext4 has recorded in its superblock; other file systems shut down or go read-only instead."""


class Stacks:
    """Answers for one scan: each device is read once, however many mounts ask for it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.by_id = host.links("by-id")
        self._disks: dict[str, Disk] = {}

    def of(self, number: str) -> Stack | None:
        """The stack of a block device by MAJ:MIN; None when the kernel has none of that number: pulled, or no disk."""
        top = self._host.block(number)
        if top is None:
            return None
        walk = _Walk(self)
        own = walk.down(top)
        return Stack(
            number=number,
            name=top.name,
            layers=tuple(walk.layers),
            disks=tuple(sorted(walk.disks.values(), key=lambda disk: disk.name)),
            identity=own,
            neighbours=tuple(sorted(walk.others - walk.passed)),
            size_bytes=int(attribute(top / "size") or 0) * SECTOR_BYTES,
            fs_errors=int(attribute(self._host.sys / "fs/ext4" / top.name / "errors_count") or 0),
        )

    def of_name(self, name: str) -> Stack | None:
        """The same by kernel name."""
        number = attribute(self._host.sys / "class/block" / name / "dev")
        return self.of(number) if number else None

    def disk(self, folder: Path) -> Disk:
        """A whole disk by its sysfs folder."""
        number = attribute(folder / "dev") or ""
        known = self._disks.get(number)
        if known is None:
            known = self._disks[number] = self._read(folder, number)
        return known

    def multipath(self, folder: Path) -> Disk:
        """The one disk behind several paths: what all paths say of it, under the map's name."""
        paths = below(folder)
        first = self.disk(paths[0])
        states = {self.disk(path).state for path in paths}
        alive = next((state for state in ("running", None) if state in states), first.state)
        return replace(
            first,
            name=folder.name,
            number=attribute(folder / "dev") or "",
            unit=folder.name,
            state=alive,
        )

    def _read(self, folder: Path, number: str) -> Disk:
        facts = self._host.udev_facts(number)
        return Disk(
            name=folder.name,
            number=number,
            unit=_unit(folder),
            identity=identity.from_kernel(folder)
            or identity.from_udev(facts)
            or identity.from_links(self.by_id.get(number, [])),
            size_bytes=int(attribute(folder / "size") or 0) * SECTOR_BYTES,
            rotational=attribute(folder / "queue/rotational") == "1",
            writable=attribute(folder / "ro") != "1",
            state=attribute(folder / "device/state"),
            model=attribute(folder / "device/model") or facts.get("ID_MODEL"),
            serial=attribute(folder / "device/serial")
            or attribute(folder / "serial")
            or facts.get("ID_SERIAL_SHORT"),
            backing_file=attribute(folder / "loop/backing_file"),
        )


def below(folder: Path) -> list[Path]:
    """The devices that a device-mapper or md device lies on, sorted by name."""
    links = [folder / "slaves" / name for name in entries(folder / "slaves")]
    return [path for link in links if (path := followed(link))]


class _Walk:
    """One descent: collects layers and disks on the way, and everything seen beside the way."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks
        self.layers: list[str] = []
        self.disks: dict[str, Disk] = {}
        self.passed: set[str] = set()
        self.others: set[str] = set()

    def down(self, folder: Path) -> str | None:
        """Go down from a device; returns the identity of the device itself."""
        self.passed.add(folder.name)
        self.others.update(entries(folder / "holders"))
        if (folder / "partition").exists():
            self.layers.append(f"partition {folder.name}")
            disk = self.down(folder.parent)
            return f"{disk}-part{attribute(folder / 'partition')}" if disk else None
        mapped = attribute(folder / "dm/uuid") or ""
        slaves = entries(folder / "slaves")
        if slaves and mapped.startswith("mpath-"):
            self.layers.append(f"multipath {attribute(folder / 'dm/name') or folder.name}")
            self.passed.update(slaves)
            return self._disk(self._stacks.multipath(folder))
        if slaves:
            self.layers.append(_layer(folder, mapped))
            return _identity_of_layer(folder, mapped, [self.down(path) for path in below(folder)])
        for child in entries(folder):
            if child.startswith(folder.name) and (folder / child / "partition").exists():
                self.others.add(child)
        return self._disk(self._stacks.disk(folder))

    def _disk(self, disk: Disk) -> str | None:
        self.disks[disk.number] = disk
        return disk.identity


def _layer(folder: Path, mapped: str) -> str:
    if (folder / "md").is_dir():
        return f"{attribute(folder / 'md/level') or 'md'} {folder.name}"
    name = attribute(folder / "dm/name") or folder.name
    word = {"LVM": "LVM", "CRYPT": "dm-crypt"}.get(mapped.split("-", 1)[0], "device mapper")
    return f"{word} {name}"


def _identity_of_layer(folder: Path, mapped: str, lower: list[str | None]) -> str | None:
    """A layer over all of one device (dm-crypt) is that device; one that cuts or joins devices has its own id."""
    kind = mapped.partition("-")[0]
    if kind == "CRYPT":
        return lower[0]
    if kind.startswith("part"):  # kpartx: a partition of a multipath disk
        return f"{lower[0]}-{kind}" if lower[0] else None
    if mapped:
        return identity.from_mapping(mapped)
    return identity.from_array(attribute(folder / "md/uuid"))


def _unit(folder: Path) -> str:
    """Namespaces of one NVMe controller are shares of one device; sysfs keeps them in the controller's folder, or in
    the subsystem's when the kernel does multipath itself."""
    parent = folder.parent.name
    return parent if folder.name.startswith("nvme") and parent.startswith("nvme") else folder.name
