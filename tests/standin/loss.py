"""The loss detector: which regions can never again give back all that was acknowledged, and by whose doing.

A voter is *gone* when PD was told that its disk is (physically_destroyed), when its store was buried or its record
removed while the peer was still there, or when a TiKV with a fresh identity asked for its store's address: the disk
that stood there is gone, whether or not anybody told PD.

A region is **lost** when the remaining voters are fewer than a majority: an acknowledged write may have been on the
gone ones only. It is recorded under `/standin/lost/<region>` in etcd with the first reason and is never taken back,
not even if the disk reappears: a job that risked it once did wrong. Kind "majority" leaves some replica, kind "all"
leaves none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tests.standin.model import Region, State, Store


@dataclass(frozen=True)
class Loss:
    region: int
    kind: str  # "majority" or "all"
    voters: dict[str, str]  # store id → "there" or why it is gone
    when: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def why_gone(store: Store | None) -> str | None:
    """Why a peer on this store holds nothing any more, or None if it may."""
    if store is None:
        return "its record was removed"
    if store.physically_destroyed:
        return "physically_destroyed"
    if store.disk_gone:
        return "a TiKV with a new identity came up at its address"
    if store.state is State.TOMBSTONE:
        return "Tombstone"
    return None


def find_losses(
    regions: Iterable[Region], stores: Mapping[int, Store], known: Iterable[int], when: str
) -> list[Loss]:
    """The regions that are lost and not in `known` yet; `when` goes into the record."""
    recorded, losses = set(known), []
    for region in regions:
        reasons = {p.store_id: why_gone(stores.get(p.store_id)) for p in region.voters}
        remaining = sum(reason is None for reason in reasons.values())
        if region.id not in recorded and remaining < region.majority:
            losses.append(
                Loss(
                    region=region.id,
                    kind="majority" if remaining else "all",
                    voters={str(store): reason or "there" for store, reason in reasons.items()},
                    when=when,
                )
            )
    return losses
