"""What this machine must have before a cluster starts: asked at once, told in one sentence each."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ci import debian
from ci.cluster import disks
from ci.cluster.errors import MachineUnfitError
from ci.cluster.layout import clusters_folder

# Kernel features, each with its proof: a file that lists it, or exists.
FILE_SYSTEMS = ("overlay", "xfs", "tmpfs")
FREE_BYTES = 4 * 2**30
NODE_BYTES = 2**30


def check(nodes: int, disks_a_node: int) -> None:
    """Raises MachineUnfitError with what is missing and what to do about it."""
    if os.geteuid() != 0:
        raise MachineUnfitError(
            "a test cluster makes network namespaces, mounts and loop devices: run it as root (sudo)"
        )
    try:
        debian.ensure("cluster")
    except debian.DebianPackagesMissingError as error:
        raise MachineUnfitError(str(error)) from error
    if nodes == 0:
        return
    check_file_systems()
    if disks_a_node:
        disks.check()
    folder = clusters_folder()
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder, FREE_BYTES + nodes * NODE_BYTES)


def check_room(folder: Path, needed: int) -> None:
    """Refuse a folder with less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MachineUnfitError(
            f"{folder} has {free / 2**30:.1f} GiB free, this cluster needs {needed / 2**30:.0f}; free some, or point "
            "HELM_TIDB_CLUSTERS to a folder on a larger disk"
        )


def check_file_systems(
    listed: Path = Path("/proc/filesystems"), load: tuple[str, ...] = ("modprobe", "-q")
) -> None:
    """Refuse a kernel without the file systems that nodes and containers live on."""
    known = listed.read_text().split()
    for name in FILE_SYSTEMS:
        if name not in known and subprocess.run([*load, name], check=False).returncode:
            raise MachineUnfitError(
                f"this kernel has no file system {name!r} (see {listed}) and no module for it; use one that has it"
            )
