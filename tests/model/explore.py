"""Every world that can be reached from a start, breadth first: does the job keep its oath in all of them, and
end well?

`explore` goes through all interleavings of faults, nature and the job's steps; twins are merged
(canonical.py). A broken oath comes with the shortest way there. Each world is also let go on without further
faults (endings.py).

The worlds are dealt out to shards by their hash, each of which can be a process of its own: a level is expanded by
all of them at once, and what belongs to another is handed over before the next.
"""

from __future__ import annotations

import multiprocessing
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from hooks.failover.plan import plan
from tests.model import nature
from tests.model.canonical import canonical
from tests.model.deeds import BrokenOathError, Performer, Planner, job_steps
from tests.model.endings import ending
from tests.model.sight import impossible
from tests.model.world import Step, World


@dataclass(frozen=True)
class Ending:
    """How many worlds end so, and a shortest way to one of them."""

    worlds: int
    way: tuple[str, ...]


@dataclass(frozen=True)
class Explored:
    """`trace`: the steps to the oath that was `broken`, if one was; else `ends`, if they were asked for."""

    states: int
    transitions: int
    seconds: float
    complete: bool
    broken: str = ""
    trace: tuple[str, ...] = ()
    ends: dict[str, Ending] = field(default_factory=dict)

    def told(self) -> str:
        whole = "all" if self.complete else "the first"
        return (
            f"{whole} {self.states} states, {self.transitions} transitions in {self.seconds:.1f} s; ends: "
            + (", ".join(f"{end}: {one.worlds}" for end, one in self.ends.items()))
        )


def successors(
    world: World, planner: Planner = plan, act: Performer | None = None
) -> Iterator[Step]:
    yield from job_steps(world, planner, act)
    yield from nature.nature(world)
    yield from nature.misled(world)
    yield from nature.recoveries(world)
    yield from nature.faults(world)


Found = tuple[World, int]
"""A world, and the one it was reached from."""


@dataclass
class Shard:
    """The worlds whose hash falls to this one of `of` shards.

    A world is kept by its hash alone, as the millions of them would not fit: of forty million worlds (every name that
    one was met under), two have the same 64 bits once in 20,000 explorations. `before`: each of its worlds → the one it
    was reached from first.
    """

    number: int
    of: int
    planner: Planner
    act: Performer | None
    wants_ends: bool
    before: dict[int, int] = field(default_factory=dict)
    met: set[int] = field(default_factory=set)
    """Under whatever names: most steps lead to worlds met before."""
    handed: set[int] = field(default_factory=set)
    """Handed over to their shards. Not the same as met: a twin may have a twin itself, where signatures tie."""
    edge: list[World] = field(default_factory=list)
    transitions: int = 0
    broken: tuple[str, int] | None = None
    ends: dict[str, tuple[int, int]] = field(default_factory=dict)
    """End → how many, and the first of them."""
    known: dict[int, str] = field(default_factory=dict)

    def level(self, handed_over: list[bytes]) -> list[bytes]:
        """Take in what other shards found, and expand all worlds of the level; what is found for each other shard."""
        for found in handed_over:
            self.take(pickle.loads(found))
        level, self.edge = self.edge, []
        out: list[list[Found]] = [[] for _ in range(self.of)]
        for world in level:
            here = hash(world)
            try:
                steps = list(successors(world, self.planner, self.act))
            except BrokenOathError as broken:
                self.broken = str(broken), here
                break
            self.transitions += len(steps)
            for _, after in steps:
                if hash(after) in self.met:
                    continue
                self.met.add(hash(after))
                twin = canonical(after)
                owner = hash(twin) % self.of
                if owner == self.number:
                    self.take([(twin, here)])
                elif hash(twin) not in self.handed:
                    self.handed.add(hash(twin))
                    out[owner].append((twin, here))
        return [pickle.dumps(found, protocol=5) if found else b"" for found in out]

    def take(self, found: list[Found]) -> None:
        for world, reached_from in found:
            key = hash(world)
            if key in self.before:
                continue
            self.before[key] = reached_from
            if wrong := impossible(world):
                raise AssertionError(f"an impossible world: {wrong}: {world}")
            self.edge.append(world)
            if self.wants_ends:
                end = ending(world, self.planner, self.known)
                count, first = self.ends.get(end, (0, key))
                self.ends[end] = count + 1, first

    def state(self) -> tuple[int, int, int, tuple[str, int] | None]:
        """Worlds at the edge, worlds, transitions; the broken oath and the hash of the world before it."""
        return len(self.edge), len(self.before), self.transitions, self.broken

    def reached_from(self, key: int) -> int:
        """0 for the start."""
        return self.before[key]

    def endings(self) -> dict[str, tuple[int, int]]:
        return self.ends


class Crew:
    """All shards: one here, or each in a process of its own."""

    def __init__(self, shards: list[Shard], pipes: list[Connection]) -> None:
        self._shards = shards
        self._pipes = pipes

    def each(self, name: str, *arguments: Any, to: list[Any] | None = None) -> list[Any]:
        """Ask all of them, at once; with `to` each has its own last argument."""
        asked = [(name, *arguments, *([to[i]] if to else [])) for i in range(len(self._shards))]
        if not self._pipes:
            return [getattr(self._shards[i], one[0])(*one[1:]) for i, one in enumerate(asked)]
        for pipe, one in zip(self._pipes, asked, strict=True):
            pipe.send(one)
        return [pipe.recv() for pipe in self._pipes]

    def one(self, number: int, name: str, *arguments: Any) -> Any:
        if not self._pipes:
            return getattr(self._shards[number], name)(*arguments)
        self._pipes[number].send((name, *arguments))
        return self._pipes[number].recv()


@contextmanager
def crew(shards: list[Shard]) -> Iterator[Crew]:
    if len(shards) == 1:
        yield Crew(shards, [])
        return
    # Forked, so that all have the same hashes.
    context = multiprocessing.get_context("fork")
    pipes, processes = [], []
    for shard in shards:
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, shard), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        yield Crew(shards, pipes)
    finally:
        for pipe in pipes:
            pipe.send(None)
        for process in processes:
            process.join()


def serve(pipe: Connection, shard: Shard) -> None:
    """In the shard's own process, until it is told that it is over."""
    for name, *arguments in iter(pipe.recv, None):
        pipe.send(getattr(shard, name)(*arguments))


def explore(
    start: World,
    planner: Planner = plan,
    act: Performer | None = None,
    *,
    ends: bool = True,
    at_most: int = 10**9,
    processes: int = 1,
) -> Explored:
    """Breadth first from `start`; stops at the level of the first broken oath, so its trace is a shortest one."""
    began = time.monotonic()
    shards = [Shard(i, processes, planner, act, ends) for i in range(processes)]
    first = canonical(start)
    shards[hash(first) % processes].take([(first, 0)])
    with crew(shards) as all_shards:
        handed: list[list[bytes]] = [[] for _ in shards]
        while True:
            out = all_shards.each("level", to=handed)
            handed = [[found[i] for found in out if found[i]] for i in range(processes)]
            states = all_shards.each("state")
            edge = sum(one[0] for one in states) + sum(map(len, handed))
            reached = sum(one[1] for one in states)
            broken = min((one[3] for one in states if one[3]), default=None)
            if broken or not edge or reached >= at_most:
                break

        def way_to(key: int) -> tuple[str, ...]:
            return steps_through(start, keys_to(key, all_shards, processes), planner, act)

        met: dict[str, tuple[int, int]] = {}
        for of_shard in [] if broken else all_shards.each("endings"):
            for end, (count, key) in of_shard.items():
                before, first = met.get(end, (0, key))
                met[end] = before + count, first
        return Explored(
            states=reached,
            transitions=sum(one[2] for one in states),
            seconds=time.monotonic() - began,
            complete=not edge and not broken,
            broken=broken[0] if broken else "",
            trace=way_to(broken[1]) if broken else (),
            ends={end: Ending(count, way_to(key)) for end, (count, key) in sorted(met.items())},
        )


def keys_to(key: int, all_shards: Crew, processes: int) -> list[int]:
    """The hashes of the worlds on the way to this one, but for the start's."""
    keys: list[int] = []
    while before := all_shards.one(key % processes, "reached_from", key):
        keys.append(key)
        key = before
    return keys[::-1]


def steps_through(
    start: World, keys: list[int], planner: Planner, act: Performer | None
) -> tuple[str, ...]:
    """The way again, with the names of its steps: to keep these for each world takes too much room."""
    world, told = canonical(start), []
    for key in keys:
        step, world = next(
            (step, twin)
            for step, after in successors(world, planner, act)
            if hash(twin := canonical(after)) == key
        )
        told.append(step)
    return tuple(told)
