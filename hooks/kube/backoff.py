"""How long to wait before trying again: full jitter between nothing and a ceiling that doubles, 0.5 s to 15 s.

Full jitter keeps a thousand agents that lost the same API server from coming back in step. A Retry-After of the server
is a floor: it is kept, with up to a quarter more on top, since all who were turned away got the same number. No wait is
longer than the ceiling, whatever a proxy asks for. An API server that starts turns calls away once more: two waits
of 15 s and what follows end well within a minute (51 s were measured after ten minutes away, with a ceiling of 30).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

FIRST_SECONDS = 0.5
CEILING_SECONDS = 15.0


@dataclass
class Backoff:
    first: float = FIRST_SECONDS
    ceiling: float = CEILING_SECONDS
    # Not for secrets: jitter. Tests pass a seeded one.
    source: random.Random = field(default_factory=random.Random)
    failures: int = 0

    def next(self, retry_after: float | None = None) -> float:
        """Seconds to wait now; counts a failure."""
        ceiling = min(self.ceiling, self.first * (1 << self.failures))
        # 1 << failures must not grow for ever in a job that waits for days.
        self.failures = min(self.failures + 1, 32)
        if retry_after is not None:
            return min(retry_after, self.ceiling / 1.25) * (1 + self.source.random() / 4)
        return self.source.random() * ceiling

    def reset(self) -> None:
        self.failures = 0
