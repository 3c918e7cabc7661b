"""Whether a disk has looked the same for long enough to rely on what it looks like. Pure.

A disk that shows up is mounted in several steps (device, file system, a bind mount over it); its capacity read in
between was published by others and never corrected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hooks.disks.inventory import Entry, Problem
from hooks.disks.judge import Policy, with_problems


@dataclass(frozen=True)
class Sight:
    """How long a disk has looked the same."""

    looks: tuple[object, ...]
    since: float
    """Monotonic seconds: a clock that is set does not make a disk steady."""


Memory = Mapping[str, Sight]
"""Path (device, for an unmounted disk) → what was seen there last."""


def settle(
    entries: Iterable[Entry], memory: Memory, policy: Policy, now: float
) -> tuple[tuple[Entry, ...], Memory]:
    """Mark the disks that have looked the same for long enough, and remember how all look now."""
    settled, seen = [], {}
    for entry in entries:
        key = entry.path or entry.device
        sight = Sight(looks(entry), now)
        before = memory.get(key)
        exchanged = before is not None and before.looks[0] not in ("", entry.identity)
        if before and before.looks == sight.looks:
            sight = before
        elif before and before.looks == looks(replace(entry, mount=None)):
            # Known from the inventory that this agent wrote before it was restarted.
            sight = replace(sight, since=before.since)
        seen[key] = sight
        steady = now - sight.since >= policy.steady_seconds
        if exchanged and before and entry.identity and not steady:
            message = f"is another disk than before on this path (was {before.looks[0]})"
            entry = with_problems(entry, Problem("changed", message))
        settled.append(replace(entry, steady=steady))
    return tuple(settled), seen


def looks(entry: Entry) -> tuple[object, ...]:
    """All that has to stay the same for a disk to be steady; the identity first."""
    codes = tuple(sorted(entry.codes))
    return (
        entry.identity,
        entry.device,
        entry.fs_uuid,
        entry.capacity_bytes,
        codes,
        (entry.mount.id, entry.mount.number) if entry.mount else None,
    )


def unsettled_until(entries: Iterable[Entry], memory: Memory, policy: Policy) -> float | None:
    """When (monotonic) the next disk becomes steady; None when all are."""
    waits = [memory[e.path or e.device].since for e in entries if not e.steady]
    return min(waits) + policy.steady_seconds if waits else None
