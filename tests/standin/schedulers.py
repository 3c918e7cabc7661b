"""PD's schedulers, as far as a job sees them: their names, evict-leader's stores, the stopping store.

Sources: captures `scheduler*`; PD keeps one `evict-leader-scheduler` for all its stores and deletes it with the last
one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

EVICT_LEADER = "evict-leader-scheduler"
EVICT_STOPPING = "evict-stopping-store-scheduler"
DEFAULTS = (
    "balance-region-scheduler",
    "balance-leader-scheduler",
    "balance-hot-region-scheduler",
    "evict-slow-store-scheduler",
    EVICT_STOPPING,
)
# Schedulers that PD can create by name; those without a meaning here are listed and do nothing.
KNOWN = (
    *DEFAULTS,
    EVICT_LEADER,
    "grant-leader-scheduler",
    "shuffle-leader-scheduler",
    "shuffle-region-scheduler",
    "label-scheduler",
    "scatter-range",
)


@dataclass
class Schedulers:
    names: list[str] = field(default_factory=lambda: list(DEFAULTS))
    evicted: list[int] = field(default_factory=list)
    stopping: int | None = None  # in memory only: the one store that evict-stopping-store empties

    @classmethod
    def from_json(cls, data: dict[str, Any] | None) -> Schedulers:
        return cls(names=list(data["names"]), evicted=list(data["evicted"])) if data else cls()

    def to_json(self) -> dict[str, Any]:
        return {"names": self.names, "evicted": self.evicted}

    def evict(self, store_id: int) -> Schedulers:
        names = self.names if EVICT_LEADER in self.names else [*self.names, EVICT_LEADER]
        return Schedulers(names, sorted({*self.evicted, store_id}), self.stopping)

    def stop_evicting(self, store_id: int) -> Schedulers | None:
        """None if this store's leaders were not evicted; the scheduler itself goes with its last store."""
        if store_id not in self.evicted:
            return None
        left = [s for s in self.evicted if s != store_id]
        names = self.names if left else [n for n in self.names if n != EVICT_LEADER]
        return Schedulers(names, left, self.stopping)

    def without(self, name: str) -> Schedulers | None:
        if name not in self.names:
            return None
        evicted = [] if name == EVICT_LEADER else self.evicted
        return Schedulers([n for n in self.names if n != name], evicted, self.stopping)

    def choose_stopping(self, stopping: Iterable[int]) -> None:
        """Keep the first store that said it stops until it no longer does; the second keeps its leaders meanwhile."""
        candidates = sorted(stopping) if EVICT_STOPPING in self.names else []
        if self.stopping not in candidates:
            self.stopping = candidates[0] if candidates else None

    def shunned(self) -> frozenset[int]:
        """Stores that must lose their leaders."""
        return frozenset(self.evicted) | ({self.stopping} if self.stopping is not None else set())

    def configuration(self, name: str) -> dict[str, Any] | None:
        """/scheduler-config/{name}/list, or None: PD answers 404 page not found."""
        if name == EVICT_LEADER and name in self.names:
            whole = [{"end-key": "", "start-key": ""}]
            return {"store-id-ranges": {str(s): whole for s in self.evicted}, "batch": 3}
        if name == EVICT_STOPPING and name in self.names:
            stores = [self.stopping] if self.stopping is not None else []
            return {"disabled": False, "evicted-stores": stores, "batch": 3}
        return None
