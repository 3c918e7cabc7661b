"""Small worlds for the stand-ins' pure parts, in the field's words."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tests.standin.model import Peer, Region, State, Store
from tests.standin.regions import Operator, World


def store(store_id: int, state: State = State.UP, **more: object) -> Store:
    return Store(store_id, f"tikv-{store_id}:20160", state=state, **more)  # type: ignore[arg-type]


def stores(count: int) -> dict[int, Store]:
    return {i: store(i) for i in range(1, count + 1)}


def region(region_id: int, *on: int, leader: int | None = None, **more: object) -> Region:
    """A region with a voter on each store of `on`; peer ids are 100 x region + store."""
    peers = tuple(Peer(100 * region_id + s, s) for s in on)
    first = 100 * region_id + (leader or on[0])
    return Region(region_id, 0, 65536, peers, leader=first, **more)  # type: ignore[arg-type]


def world(
    all_regions: Collection[Region],
    all_stores: Mapping[int, Store],
    names: Mapping[int, str] | None = None,
    silent: Collection[int] = (),
    **more: object,
) -> World:
    given = dict.fromkeys(all_stores, "Up") | dict(names or {})
    settings: dict[str, object] = {
        "max_replicas": 3,
        "location_labels": (),
        "room": dict.fromkeys(all_stores, 4),
        "busy": dict[int, Operator](),
        "replica_limit": 64,
        "region_limit": 64,
    }
    return World(
        regions={r.id: r for r in all_regions},
        stores=all_stores,
        names=given,
        silent=silent,
        **(settings | more),  # type: ignore[arg-type]
    )
