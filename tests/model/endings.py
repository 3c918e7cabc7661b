"""How a world ends when nothing else breaks: fair rounds of nature and whole runs of the job, until nothing changes."""

from __future__ import annotations

from hooks.failover.plan import plan
from tests.model import nature
from tests.model.canonical import canonical
from tests.model.deeds import POLICY, Planner, first_reading, job_steps, perform
from tests.model.sight import snapshot
from tests.model.world import World, led, well

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
