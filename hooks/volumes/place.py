"""Where a volume's disk is, as far as that can be said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hooks.volumes.model import Disk, View, Volume


@dataclass(frozen=True)
class Place:
    """Where a volume's disk is.

    here: one node reports it · twice: more than one does · missing: the node where it was last has a good inventory
    without it · lost: that Node object is gone · unknown: none of these can be said.
    """

    kind: Literal["here", "twice", "missing", "lost", "unknown"]
    disk: Disk | None = None
    why: str = ""


def locate(view: View, volume: Volume) -> Place:
    """Reports of nodes whose Node object is gone don't count: their ConfigMap is a leftover."""
    reports = [d for d in view.disks if d.identity == volume.identity and d.node in view.nodes]
    if len(reports) == 1:
        return Place("here", reports[0])
    if len(reports) > 1:
        places = ", ".join(sorted(f"{d.node}:{d.path or d.device}" for d in reports))
        return Place("twice", None, f"{volume.identity} is reported by {places}")
    last = volume.last_node
    if not last:
        return Place("unknown", None, "it was seen on no node yet")
    if last not in view.nodes:
        return Place("lost", None, f"Node {last} does not exist any more")
    if last in view.known:
        where = volume.status.get("path") or "its disk"
        return Place("missing", None, f"{where} ({volume.identity}) is not on {last} any more")
    return Place("unknown", None, f"{last} has no valid inventory")
