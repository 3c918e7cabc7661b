"""What is left when one more is gone: voters of a region, members of PD. Pure counting, no judgement of
evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from hooks.failover.model import Regions
from hooks.pd import Region

EXAMPLES = 5


def survives(region: Region, without: Set[int]) -> bool:
    """Whether the region keeps a majority of healthy voters when the stores `without` never come back.

    A learner has no vote. A voter that is down or pending has one, and cannot use it.
    """
    voting = {peer.store for peer in region.peers if peer.voter}
    healthy = voting - region.down - region.pending - without
    return 2 * len(healthy) > len(voting)


def regions_without(store: int, gone: Set[int], listed: Iterable[Region]) -> Regions:
    """Fold PD's lists of regions, which may be long, into what the plan asks of them. `gone`: stores that were given
    up before.
    """
    lost, seen = {store, *gone}, set[int]()
    endangered: list[int] = []
    for region in listed:
        if region.id in seen:
            continue
        seen.add(region.id)
        if not survives(region, lost):
            endangered.append(region.id)
    return Regions(store, len(seen), len(endangered), tuple(sorted(endangered)[:EXAMPLES]))


def majority(of: int) -> int:
    """The smallest majority of this many: 2 of 3, 3 of 4."""
    return of // 2 + 1
