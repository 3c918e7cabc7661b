"""Pairs of crashes: a run that dies before or after any of its writes, and the next one at any of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from hooks.kube.wire import Request
from tests.faults.faulty import Fault
from tests.faults.small_pd import PdFault
from tests.faults.stage import Stage
from tests.model.quick import SOAK

S = TypeVar("S", bound=Stage)
Play = Callable[[dict[int, Fault], dict[int, PdFault]], S]
"""The whole play, with these faults at these calls to the API server and to PD."""


@dataclass(frozen=True)
class Crash:
    """Before or after one call to the API server, or to PD."""

    of_pd: bool
    call: int
    after: bool

    def __str__(self) -> str:
        return f"crash {'after' if self.after else 'before'} {'PD ' if self.of_pd else ''}call {self.call}"


def crashes(stage: Stage, since: tuple[int, int]) -> list[Crash]:
    """Before and after every write since so many calls (a crash before a read is one after the write before it).
    Events, the plan and the Lease decide nothing: only the long version crashes there.
    """
    calls = enumerate(stage.api.calls)
    api = [i for i, c in calls if i >= since[0] and c.write and (SOAK or decides(c))]
    told = [i for i, c in enumerate(stage.pd.calls) if i >= since[1] and c.startswith("DELETE")]
    return [
        Crash(of_pd, i, after)
        for of_pd, some in ((False, api), (True, told))
        for i in some
        for after in (False, True)
    ]


def decides(call: Request) -> bool:
    return not any(word in call.path for word in ("/events", "/leases", "/basic-plan-"))


def crashing(play: Play[S], *points: Crash) -> S:
    return play(
        {p.call: Fault.CRASH_AFTER if p.after else Fault.CRASH_BEFORE for p in points if not p.of_pd},
        {p.call: PdFault.CRASH_AFTER if p.after else PdFault.CRASH_BEFORE for p in points if p.of_pd},
    )  # fmt: skip


def pairs(
    play: Play[S], undisturbed: S, since: tuple[int, int] = (0, 0), every: int = 1
) -> Iterator[tuple[str, S]]:
    """What crashed, and how the play ended: each single crash, then each pair that begins with it (of the pairs
    only one in `every`).
    """
    seen = 0
    for first in crashes(undisturbed, since):
        once = crashing(play, first)
        yield str(first), once
        for second in crashes(once, once.crashed[0]):
            seen += 1
            if seen % every == 0:
                twice = crashing(play, first, second)
                assert len(twice.crashed) == 2
                yield f"{first}, then {second}", twice
