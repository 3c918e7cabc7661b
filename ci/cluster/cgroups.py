"""A node's control groups: one group a node in every hierarchy, so that a node can be measured and frozen whole.

Works on cgroup v1, where each controller is a hierarchy of its own. A machine on pure v2 has one hierarchy; the same
code then finds just that one.
"""

from __future__ import annotations

import os
from pathlib import Path

from ci.cluster.errors import ClusterError

ROOT = Path("/sys/fs/cgroup")


def hierarchies() -> list[Path]:
    """Every mounted cgroup hierarchy: /sys/fs/cgroup itself on v2, its folders on v1."""
    if unified():
        return [ROOT]
    seen = {path.resolve() for path in ROOT.iterdir() if (path / "cgroup.procs").exists()}
    return sorted(seen)


def unified() -> bool:
    """Whether this machine has cgroup v2 only."""
    return (ROOT / "cgroup.controllers").exists()


def make(name: str) -> list[Path]:
    """The group `name` in every hierarchy; returns the folders a process has to be written into."""
    groups = []
    for hierarchy in hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        # v1: a cpuset accepts no process before it has CPUs and memory nodes.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            path = group / setting
            if path.exists() and not unified() and not path.read_text().strip():
                path.write_text((hierarchy / setting).read_text())
        groups.append(group)
    return groups


def remove(name: str) -> None:
    """Remove the group and all below it, deepest first. Its processes must be gone.

    Left behind, a dead node's pod groups slow its next boot down by 25 s and more (the kubelet looks for containers
    in them).
    """
    for hierarchy in hierarchies():
        group = hierarchy / name
        if group.is_dir():
            for folder, _, _ in os.walk(group, topdown=False):
                os.rmdir(folder)


def processes(name: str) -> list[int]:
    """The pids of every process of the group and of the groups below it, without zombies that left no trace."""
    hierarchy = ROOT if unified() else ROOT / "pids"
    pids: set[int] = set()
    for folder, _, files in os.walk(hierarchy / name):
        if "cgroup.procs" in files:
            pids.update(int(word) for word in (Path(folder) / "cgroup.procs").read_text().split())
    return sorted(pids)


def freeze(name: str, *, frozen: bool) -> None:
    """Stop every process of the group where it is, or let all go on; returns when the kernel has done so."""
    if unified():
        (ROOT / name / "cgroup.freeze").write_text("1" if frozen else "0")
        return
    path = ROOT / "freezer" / name / "freezer.state"
    wanted = "FROZEN" if frozen else "THAWED"
    for _ in range(1000):
        # Writing again and again is the documented way while processes fork during the freeze.
        path.write_text(wanted)
        if path.read_text().strip() == wanted:
            return
    raise ClusterError(
        f"{path} stays {path.read_text().strip()!r}, wanted {wanted}; thaw the node and try again"
    )
