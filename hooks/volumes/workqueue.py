"""The names that a controller has to look at: each at most once, never given to two workers at once.

Two lanes: what is under way goes before what is new or only looked at because the process began. So a cluster of
24,000 disks comes up node by node, each finished soon after it was begun, and a claim that is bound meanwhile is
shown at once.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

Item = tuple[str, str]  # ("volume" | "node", name)


class Queue:
    """Names to look at, now or after a delay. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._ready: OrderedDict[Item, None] = OrderedDict()
        self._backlog: OrderedDict[Item, None] = OrderedDict()
        self._busy: set[Item] = set()
        self._again: set[Item] = set()
        self._later: list[tuple[float, Item]] = []
        self._due: dict[Item, float] = {}
        self._closed = False

    def add(self, item: Item) -> None:
        with self._condition:
            self._add(item)

    def add_last(self, item: Item) -> None:
        """To be looked at when nothing else is left to do."""
        with self._condition:
            if not self._has(item):
                self._backlog[item] = None
                self._condition.notify()

    def _add(self, item: Item) -> None:
        if item in self._busy:
            self._again.add(item)
            return
        if item not in self._ready:
            self._backlog.pop(item, None)
            self._ready[item] = None
            self._condition.notify()

    def _has(self, item: Item) -> bool:
        return item in self._ready or item in self._backlog or item in self._busy

    def add_after(self, item: Item, seconds: float) -> None:
        """The earliest of several delays counts."""
        due = self._clock() + seconds
        with self._condition:
            if self._due.get(item, float("inf")) <= due:
                return
            self._due[item] = due
            heapq.heappush(self._later, (due, item))
            self._condition.notify()

    def get(self) -> Item | None:
        """Waits for one; None when the queue is closed."""
        with self._condition:
            while not self._closed:
                wait = self._promote()
                lane = self._ready or self._backlog
                if lane:
                    item, _ = lane.popitem(last=False)
                    self._busy.add(item)
                    if self._later or self._ready or self._backlog:
                        # This one may have been the one that watched the time for the others.
                        self._condition.notify()
                    return item
                self._condition.wait(wait)
            return None

    def done(self, item: Item) -> None:
        with self._condition:
            self._busy.discard(item)
            if item in self._again:
                self._again.discard(item)
                self._add(item)
            if self.idle:
                self._condition.notify_all()

    def any_of(self, items: Iterable[Item]) -> bool:
        """Whether one of them waits its turn or is being worked on."""
        with self._condition:
            return any(self._has(item) for item in items)

    @property
    def idle(self) -> bool:
        return not self._ready and not self._backlog and not self._busy

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _promote(self) -> float | None:
        """Move what is due; seconds until the next one is, or None."""
        current = self._clock()
        while self._later and self._later[0][0] <= current:
            due, item = heapq.heappop(self._later)
            if self._due.get(item) == due:
                del self._due[item]
                self._add(item)
        return self._later[0][0] - current if self._later else None
