"""What a cluster remembers between two commands: one JSON file in its folder, replaced as a whole.

`phase` says how far a command got: a file that says `starting` while its maker is dead is a crashed `up`, which the
next `up` may clear away; `up` is a cluster that somebody uses.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from ci.cluster import network
from ci.cluster.errors import ClusterError
from ci.cluster.layout import MAX_SLOTS, Layout, clusters_folder
from ci.cluster.processes import Process

FILE = "state.json"
FileSystem = Literal["xfs", "ext4", "none"]


@dataclass
class Disk:
    """One disk of a node. `slot` is where it sits (d0, d1 …), `serial` says which disk it is."""

    slot: str
    serial: str
    image: str
    fs: FileSystem
    inserted: bool = True
    loop: str | None = None


@dataclass
class Node:
    """One node. `init` is its first process, as the host sees it; None when the node is off."""

    number: int
    disks: list[Disk] = field(default_factory=list)
    init: Process | None = None
    machine_id: str = ""
    disks_made: int = 0


@dataclass
class State:
    """The whole memory of one cluster."""

    name: str
    slot: int
    phase: Literal["starting", "up", "stopping"] = "starting"
    maker: Process | None = None
    disk_size: int = 0
    kwok: int = 0
    nodes: dict[str, Node] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        return Layout(self.name, self.slot)

    def save(self) -> None:
        path = self.layout.folder / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(dataclasses.asdict(self), indent=1))
        new.replace(path)

    def node(self, name: str) -> Node:
        try:
            return self.nodes[name]
        except KeyError:
            names = ", ".join(sorted(self.nodes)) or "none"
            raise ClusterError(
                f"cluster {self.name!r} has no node {name!r}; it has {names}"
            ) from None


def load(name: str) -> State | None:
    """The state of the cluster of that name; None when there is none."""
    path = clusters_folder() / name / FILE
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise ClusterError(
            f"{path} is not readable ({error}); remove {path.parent} by hand"
        ) from error
    return _state(raw)


def names() -> list[str]:
    """Every cluster of this machine that left a state file."""
    return sorted(path.parent.name for path in clusters_folder().glob(f"*/{FILE}"))


def free_slot() -> int:
    """The lowest slot that no cluster has and whose network is free. Call it under `locked`."""
    taken = {state.slot for name in names() if (state := load(name))}
    why = ""
    for slot in range(MAX_SLOTS):
        if slot not in taken:
            found = network.conflict(Layout("any", slot))
            if found is None:
                return slot
            why = f" ({found})"
    raise ClusterError(
        f"no network of the {MAX_SLOTS} that clusters use is free{why}; `python -m ci.cluster down --all` frees those "
        "of test clusters"
    )


@contextmanager
def locked() -> Iterator[None]:
    """One command at a time gives out slots and loop devices on this machine."""
    folder = clusters_folder()
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _state(raw: dict[str, Any]) -> State:
    raw["maker"] = _process(raw["maker"])
    raw["processes"] = {name: Process(**item) for name, item in raw["processes"].items()}
    raw["nodes"] = {name: _node(item) for name, item in raw["nodes"].items()}
    return State(**raw)


def _node(raw: dict[str, Any]) -> Node:
    raw["disks"] = [Disk(**disk) for disk in raw["disks"]]
    raw["init"] = _process(raw["init"])
    return Node(**raw)


def _process(raw: dict[str, Any] | None) -> Process | None:
    return None if raw is None else Process(**raw)
