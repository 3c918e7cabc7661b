"""What was told to be gone, so that a word about it that comes in late brings nothing back.

The answers to our own reads and writes come in beside the watches: a PV that was read, and deleted before the answer is
taken in, would stand in the world for ever, since no watch tells of it again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

# So many are remembered: more than can go while one answer is on its way.
_KEPT = 10_000


@dataclass
class Buried:
    # uid → the resourceVersion of its end, the oldest first
    _ends: dict[str, int] = field(default_factory=dict)

    def bury(self, uid: str, version: str = "") -> None:
        """Without a version, no word about it counts any more: the API server does not have it.

        With that of a watch's DELETED, what is newer does: the object may only have lost the watch's label.
        """
        self._ends[uid] = int(version) if version.isdigit() else sys.maxsize
        if len(self._ends) > _KEPT:
            del self._ends[next(iter(self._ends))]

    def holds(self, uid: str, version: str) -> bool:
        """Whether this word is about what was gone by then."""
        end = self._ends.get(uid)
        return end is not None and version.isdigit() and int(version) <= end
