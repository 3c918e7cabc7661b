"""Disks of a node: sparse files behind loop devices, which the node sees as /dev/nvme1n1 … with by-id names.

A disk is the file, and its serial; where it is attached may change, as on a real machine. The host attaches, the node
mounts: the mount exists only in the node's own mount namespace.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from ci.cluster.errors import MachineUnfitError
from ci.cluster.layout import NodeLayout
from ci.cluster.run import run
from ci.cluster.state import Disk, FileSystem, Node, locked

# xfsprogs refuses less.
MIN_XFS = 300 * 2**20
LOOP_MAJOR = 7


def make(node: NodeLayout, memory: Node, slot: str, size: int, fs: FileSystem) -> Disk:
    """A new disk in a slot: a file of `size` bytes with a file system (or none), and a serial never used before."""
    memory.disks_made += 1
    serial = f"TC{node.cluster.slot:02d}{uuid.uuid4().hex[:12].upper()}"
    folder = node.folder / "images"
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / f"{slot}-{memory.disks_made}.img"
    with image.open("wb") as file:
        file.truncate(size)
    if fs == "xfs":
        run("mkfs.xfs", "-q", image)
    elif fs == "ext4":
        run("mkfs.ext4", "-q", "-F", image)
    return Disk(slot=slot, serial=serial, image=str(image), fs=fs)


def device(disk: Disk) -> str:
    """The name the node sees: slot d0 is /dev/nvme1n1, as nvme0n1 would be the root disk."""
    return f"nvme{int(disk.slot[1:]) + 1}n1"


def by_id(disk: Disk) -> str:
    return f"nvme-TESTDISK_{disk.serial}"


def attach(disk: Disk) -> int:
    """Attach the disk to a loop device; returns the device's minor number.

    A device that is on its way out, still held by a pod's old mount, is never taken again: the kernel would give
    a new mount of it the old file system, which was shut down for good. As on a real machine, a disk that is put
    back while somebody holds it gets another device.
    Serial under a lock: two `losetup --find` at once may choose the same device.
    """
    with locked():
        found = _loops_of(Path(disk.image), leaving=False)
        disk.loop = found[0] if found else run("losetup", "--find", "--show", disk.image).strip()
    return os.minor(os.stat(disk.loop).st_rdev)


def detach(disk: Disk) -> None:
    """Detach the disk; while something still has it open, the kernel detaches at the last close."""
    for loop in _loops_of(Path(disk.image)):
        run("losetup", "--detach", loop)
    disk.loop = None


def detach_all(folder: Path) -> None:
    """Detach every loop device whose file lies below `folder`, also those that no state file remembers."""
    for name, file in _loops().items():
        if Path(file).is_relative_to(folder):
            run("losetup", "--detach", name)


def check(control: Path = Path("/dev/loop-control")) -> None:
    """Refuse a machine without loop devices."""
    if not control.is_char_device():
        raise MachineUnfitError(
            f"this machine has no {control}, so nodes can get no disks; load the kernel module (`modprobe loop`), or "
            "start with --disks 0"
        )


def table(disks: list[Disk]) -> str:
    """What the node's boot reads: slot, device, minor, file system and by-id name a line."""
    lines = [
        f"{disk.slot} {device(disk)} {attach(disk)} {disk.fs} {by_id(disk)}"
        for disk in disks
        if disk.inserted
    ]
    return "".join(f"{line}\n" for line in lines)


def _loops(*, leaving: bool = True) -> dict[str, str]:
    """Loop device → its file; without `leaving` only those that nobody has detached."""
    listed = run("losetup", "--list", "--json", "--output", "NAME,AUTOCLEAR,BACK-FILE")
    devices = json.loads(listed)["loopdevices"] if listed.strip() else []
    # A file that was removed while attached is shown with this ending.
    return {
        item["name"]: item["back-file"].removesuffix(" (deleted)")
        for item in devices
        if item["back-file"] and (leaving or not item["autoclear"])
    }


def _loops_of(image: Path, *, leaving: bool = True) -> list[str]:
    return [name for name, file in _loops(leaving=leaving).items() if Path(file) == image]
