"""Every world that can be reached from a start, breadth first: does the job keep its oath in all of them, and
end well?

`explore` goes through all interleavings of faults, nature and the job's steps; twins are merged
(canonical.py). A broken oath comes with the shortest way there. `Endings` lets each world go on without further
faults and says how it ends.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hooks.failover.plan import plan
from tests.model import nature
from tests.model.canonical import canonical
from tests.model.deeds import (
    POLICY,
    BrokenOathError,
    Performer,
    Planner,
    first_reading,
    job_steps,
    perform,
)
from tests.model.sight import impossible, snapshot
from tests.model.world import Step, World, led, well


@dataclass
class Explored:
    """`reached`: each reachable world → the one it was reached from first, and by which step.

    A world is kept by its hash alone, as the millions of them would not fit: of ten million worlds, two have the
    same 64 bits once in 400,000 explorations.
    """

    reached: dict[int, tuple[int, str]] = field(default_factory=dict)
    transitions: int = 0
    seconds: float = 0.0
    broken: str = ""
    trace: tuple[str, ...] = ()
    complete: bool = False

    def way_to(self, world: World) -> tuple[str, ...]:
        """The steps from the start."""
        steps: list[str] = []
        at = hash(world)
        while at:
            at, step = self.reached[at]
            steps.append(step)
        return tuple(reversed(steps[:-1]))

    def told(self) -> str:
        whole = "all" if self.complete else "the first"
        return f"{whole} {len(self.reached)} states, {self.transitions} transitions in {self.seconds:.1f} s"


def successors(
    world: World, planner: Planner = plan, act: Performer | None = None
) -> Iterator[Step]:
    yield from job_steps(world, planner, act)
    yield from nature.nature(world)
    yield from nature.misled(world)
    yield from nature.recoveries(world)
    yield from nature.faults(world)


def explore(
    start: World,
    planner: Planner = plan,
    act: Performer | None = None,
    *,
    meet: Callable[[World], object] = lambda _: None,
    at_most: int = 10**8,
) -> Explored:
    """Breadth first from `start`; ends at the first broken oath, so its trace is a shortest one.

    `meet` is called with each world, once.
    """
    began = time.monotonic()
    found = Explored()
    first = canonical(start)
    found.reached[hash(first)] = (0, "")
    meet(first)
    edge = [first]
    met = {hash(start), hash(first)}  # under whatever names: most steps lead to worlds met before
    while edge and len(found.reached) < at_most and not found.broken:
        beyond: list[World] = []
        for world in edge:
            here = hash(world)
            try:
                for step, after in successors(world, planner, act):
                    found.transitions += 1
                    if hash(after) in met:
                        continue
                    met.add(hash(after))
                    twin = canonical(after)
                    if hash(twin) in found.reached:
                        continue
                    found.reached[hash(twin)] = (here, sys.intern(step))
                    if wrong := impossible(twin):
                        raise AssertionError(f"an impossible world: {wrong}; {found.way_to(twin)}")
                    meet(twin)
                    beyond.append(twin)
            except BrokenOathError as broken:
                found.broken = str(broken)
                found.trace = found.way_to(world)
                break
        edge = beyond
    found.complete = not edge and not found.broken
    found.seconds = time.monotonic() - began
    return found


# --- How a world ends when nothing else breaks ----------------------------------------------------

ROUNDS = 60


def settle(world: World, planner: Planner = plan) -> World:
    """One fair round without faults or recoveries: nature does all it can, then the job has one whole run."""
    for _ in range(200):
        step = next(
            (
                after
                for told, after in nature.nature(world)
                if after != world and not told.startswith(("15 s", "half"))
            ),
            None,
        )
        if step is None:
            break
        world = step
    for told, after in nature.time_passes(world):
        if told == "half an hour passes":
            world = after
    return run_job(world, planner)


def run_job(world: World, planner: Planner = plan) -> World:
    """A run of the job with nothing in between but 15 s."""
    world = world._replace(job=None, reading=None)
    if not led(world):
        return world
    world = world._replace(reading=first_reading(world))
    world = next((after for told, after in nature.time_passes(world) if told == "15 s pass"), world)
    if world.reading is None or not led(world):
        return world._replace(reading=None)
    planned = next(
        (after for told, after in job_steps(world, planner) if told.startswith("the job plans")),
        None,
    )
    if planned is not None and planned.job is not None:
        for deed in planned.job:
            planned = perform(planned, deed)
        world = planned
    return world._replace(job=None, reading=None)


def ending(world: World, planner: Planner = plan, known: dict[int, str] | None = None) -> str:
    """How it ends: "well", or the codes of what is waited for or refused once nothing changes any more;
    "never" if it goes on. `known` is by hash.
    """
    memory = known if known is not None else {}
    trail: list[int] = []
    at = canonical(world._replace(job=None, reading=None))
    for _ in range(ROUNDS):
        here = hash(at)
        if here in memory:
            break
        trail.append(here)
        after = canonical(settle(at, planner))
        if well(after):
            memory[hash(after)] = "well"
        elif after == at or hash(after) in trail:
            memory[hash(after)] = reasons(after, planner) if after == at else "never: it goes round"
        at = after
    else:
        memory[hash(at)] = "never"
    for one in trail:
        memory[one] = memory[hash(at)]
    return memory[hash(at)]


def reasons(world: World, planner: Planner = plan) -> str:
    """The codes of a world in which the job has nothing to do."""
    seen = with_reading(world)
    said = planner(snapshot(seen), POLICY)
    if said.actions:
        return "never: " + ", ".join(a.code for a in said.actions)
    codes = sorted(
        {f"refuses {r.code}" for r in said.refusals} or {f"waits {w.code}" for w in said.waits}
    )
    return ", ".join(codes) or "silent"


def with_reading(world: World) -> World:
    if not led(world):
        return world
    seen = world._replace(job=None, reading=first_reading(world))
    return next((after for told, after in nature.time_passes(seen) if told == "15 s pass"), seen)


@dataclass
class Endings:
    """How each world that was met ends, without what the job was about to do: how many, and one of them."""

    planner: Planner = plan
    met: dict[str, tuple[int, World]] = field(default_factory=dict)
    _known: dict[int, str] = field(default_factory=dict)

    def meet(self, world: World) -> None:
        end = sys.intern(ending(world, self.planner, self._known))
        before, first = self.met.get(end, (0, world))
        self.met[end] = (before + 1, first)

    def told(self) -> str:
        return ", ".join(f"{end}: {count}" for end, (count, _) in self.met.items())
