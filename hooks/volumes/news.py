"""Which word about an object is news: the answers to our own reads and writes come in beside the watches, and may be
older than what these have told.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

# So many are remembered: more than can go while one answer is on its way.
_KEPT = 10_000


def older(new: str, old: str) -> bool:
    """Whether a resourceVersion is before another; what is no number is taken as news."""
    return new.isdigit() and old.isdigit() and int(new) < int(old)


def no_news(new: str, old: str) -> bool:
    """Whether an object was told before: older, or the watch's echo of our own write."""
    return new == old or older(new, old)


@dataclass
class Buried:
    """What was told to be gone, so that a word about it that comes in late brings nothing back.

    A PV that was read, and deleted before the answer is taken in, would stand in the world for ever: no watch tells of
    it again.
    """

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
