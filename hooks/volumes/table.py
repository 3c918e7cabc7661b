"""The table of disks that `helm install` ends with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from hooks.volumes.model import View
from hooks.volumes.status import size

_HEAD = ("NODE", "DISK", "SIZE", "PHASE", "CLAIM", "VOLUME", "WHY")


def rows(views: Iterable[View]) -> list[tuple[str, ...]]:
    """One row a volume, sorted by node and path; a disk without a TidbVolume yet is `New`."""
    found = []
    for view in views:
        volume = view.volume
        if volume is None:
            found += [
                (
                    d.node,
                    d.path,
                    size(d.capacity_bytes),
                    "New",
                    "",
                    "",
                    "; ".join(p.message for p in d.problems),
                )
                for d in view.disks
            ]
            continue
        status = volume.status
        claim = status.get("claim")
        held = isinstance(claim, dict) and volume.phase in ("Bound", "Released", "Failed", "Lost")
        found.append(
            (
                str(status.get("node", "")),
                str(status.get("path", "")),
                str(status.get("size", "")),
                volume.phase or "New",
                f"{claim['namespace']}/{claim['name']}" if held and isinstance(claim, dict) else "",
                volume.name,
                str(status.get("message", "")),
            )
        )
    return sorted(found)


def lines(table: Sequence[tuple[str, ...]]) -> list[str]:
    """Aligned columns; the last one is as long as it is."""
    whole = [_HEAD, *table]
    widths = [max(len(row[i]) for row in whole) for i in range(len(_HEAD) - 1)]
    return [
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]
        ).rstrip()
        for row in whole
    ]


def summary(table: Sequence[tuple[str, ...]], nodes: int) -> str:
    """`24 disks on 4 nodes: 20 Available, 3 Bound, 1 Refused`."""
    counts = Counter(row[3] for row in table)
    phases = ", ".join(f"{number} {phase}" for phase, number in sorted(counts.items()))
    disks = f"{len(table)} disk" + ("" if len(table) == 1 else "s")
    where = f"{nodes} node" + ("" if nodes == 1 else "s")
    return f"{disks} on {where}" + (f": {phases}" if phases else "")
