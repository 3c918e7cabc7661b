"""How far a store's removal is: /stores/progress, refreshed only when PD looks at its stores (every 10 s)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.standin.clock import Clock
from tests.standin.model import State, Store

NO_ESTIMATE = 1.7976931348623157e308  # Go's MaxFloat64: PD's left_seconds while the speed is 0


@dataclass
class _Removal:
    at_first: int
    began: float
    done: float = 0.0
    speed: float = 0.0

    @property
    def left_seconds(self) -> float:
        if not self.speed:
            return NO_ESTIMATE
        return (1 - self.done) * self.at_first / self.speed


class Progress:
    """Peers that have left each Offline store since this term first looked at it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._removals: dict[int, _Removal] = {}

    def begin(self, store_id: int, peers: int) -> None:
        self._removals.setdefault(store_id, _Removal(max(peers, 1), time.monotonic()))

    def observe(self, stores: Mapping[int, Store], counts: Mapping[int, int]) -> None:
        """Forget removals that ended or were cancelled; renew the others. Speed is peers a (scaled) second."""
        now = time.monotonic()
        for store in stores.values():
            if store.state is not State.OFFLINE:
                self._removals.pop(store.id, None)
                continue
            removal = self._removals.setdefault(store.id, _Removal(max(counts[store.id], 1), now))
            left = removal.at_first - counts[store.id]
            removal.done = max(0.0, left / removal.at_first)
            elapsed = (now - removal.began) * self._clock.scale
            removal.speed = left / elapsed if left > 0 and elapsed > 0 else 0.0

    def cancel(self, store_id: int) -> None:
        self._removals.pop(store_id, None)

    def of_store(self, store_id: int) -> dict[str, Any] | None:
        removal = self._removals.get(store_id)
        if removal is None:
            return None
        return {
            "action": "removing",
            "store_id": store_id,
            "progress": removal.done,
            "current_speed": removal.speed,
            "left_seconds": removal.left_seconds,
        }

    def of_action(self, action: str) -> dict[str, Any] | None:
        """The mean over all removals; PD knows "removing" and "preparing", and here no store prepares long enough."""
        removals = list(self._removals.values()) if action == "removing" else []
        if not removals:
            return None
        return {
            "action": action,
            "progress": sum(r.done for r in removals) / len(removals),
            "current_speed": sum(r.speed for r in removals) / len(removals),
            "left_seconds": max(r.left_seconds for r in removals),
        }
