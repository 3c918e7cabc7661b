"""What each problem that an agent reports forbids.

A new volume needs a disk without any problem; doubt counts against. A volume that is in use is left alone, except that
some problems mean that its data is not reachable now: then it is shown as Failed, so that failover can act.
"""

from __future__ import annotations

from collections.abc import Iterable

from hooks.volumes.model import Disk, Problem

# The data of a bound volume is not there, or not safe to write: Failed.
FATAL = frozenset(
    {
        "not-mounted",
        "changed",
        "io-error",
        "read-only",
        "marker",
        "probe-failed",
        "duplicate-identity",
    }
)

# Ends by the user's `disks.sharing`, under a StorageClass of its own.
SHARING = "shared-disk"

# What `wipe=everything` can clear away, and nothing else is wrong with the disk.
CLEARABLE = frozenset({"dirty", "marker", SHARING})


def forbids_offer(disk: Disk, *, sharing: bool) -> tuple[Problem, ...]:
    return tuple(p for p in disk.problems if not (sharing and p.code == SHARING))


def fatal(disk: Disk) -> tuple[Problem, ...]:
    """Judged only from a steady observation: a disk that is being mounted looks broken for a moment."""
    return tuple(p for p in disk.problems if p.code in FATAL) if disk.steady else ()


def clearable(disk: Disk) -> bool:
    return all(p.code in CLEARABLE for p in disk.problems)


def sentence(problems: Iterable[Problem]) -> str:
    return "; ".join(p.message for p in problems)
