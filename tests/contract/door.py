"""How a store registers and reports: the only part of PD that is not HTTP in the real world (gRPC, pdpb.PD).

The suite has a door of the stand-in's kind only. For another PD (PD_SERVER) the cases that must send a registration
themselves are skipped, by name and with this reason; those that a TiKV process brings about run.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.contract.programs import World

STATS = {
    "capacity": 10 << 30,
    "available": 9 << 30,
    "used_size": 1 << 30,
    "max_peer_down_seconds": 10,
}
REASON = (
    "PD_SERVER names another PD: it registers stores over gRPC, which this suite does not speak"
)


def is_open() -> bool:
    return "PD_SERVER" not in os.environ


def put_store(world: World, store_id: int, tikv: str, labels: str = "") -> dict[str, Any] | None:
    """PutStore for `store_id` at the address of `tikv`: None if accepted, else `{type, type_name, message}`."""
    return _send(
        world,
        "store",
        {
            "id": store_id,
            "address": world.tikv_address(tikv),
            "peer_address": world.tikv_address(tikv),
            "status_address": world.tikv_status(tikv),
            "start_timestamp": 1795165200,
            "labels": dict(pair.split("=") for pair in labels.split(",") if pair),
        },
    )


def heartbeat(world: World, store_id: int) -> dict[str, Any] | None:
    return _send(world, "heartbeat", {"store_id": store_id, "stats": STATS, "regions": {}})


def _send(world: World, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    if not is_open():
        pytest.skip(REASON)
    answer = world.ask(f"/standin/v1/{path}", "POST", body)
    assert answer.status in (200, 409), answer
    error: dict[str, Any] | None = answer.body.get("error")
    return error
