"""A node's control groups: one group a node in every hierarchy, so that a node can be measured and frozen whole.

On cgroup v1 each controller is a hierarchy of its own. On v2 there is one, and a rule more: a group that hands
controllers on to groups below it may hold no process itself, so a node's own processes live in its group `init`.
"""

from __future__ import annotations

import os
from pathlib import Path

from ci.cluster.api import wait_until

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = "+cpu +cpuset +io +memory +pids"  # of v2: what kubelet and runc use
FREEZE_SECONDS = 10.0


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
    if unified():
        (ROOT / "cgroup.subtree_control").write_text(CONTROLLERS)
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


def settle(name: str) -> None:
    """v2 only: move the node's first processes down into `init`, and hand the controllers on.

    They have to be born in the group itself: it becomes the root that the node's cgroup namespace shows.
    """
    if not unified():
        return
    group = ROOT / name
    (group / "init").mkdir(exist_ok=True)
    for pid in (group / "cgroup.procs").read_text().split():
        (group / "init" / "cgroup.procs").write_text(pid)
    (group / "cgroup.subtree_control").write_text(CONTROLLERS)


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
        events = ROOT / name / "cgroup.events"
        wait_until(
            lambda: f"frozen {int(frozen)}" in events.read_text(),
            f"{name} frozen: {frozen}",
            FREEZE_SECONDS,
            pause=0.01,
        )
        return
    path = ROOT / "freezer" / name / "freezer.state"
    wanted = "FROZEN" if frozen else "THAWED"

    def reached() -> bool:
        # Writing again and again is the documented way while processes fork during the freeze.
        path.write_text(wanted)
        return path.read_text().strip() == wanted

    wait_until(reached, f"{path} {wanted}", FREEZE_SECONDS, pause=0.01)
