"""Worlds for named cases, in the field's words: `scene(lose(2, "long"))` is three machines, the last NotReady
for an hour.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hooks.engine import Plan
from hooks.failover.actions import Step
from hooks.failover.model import Component, PdView, Policy, Regions, Slot, Snapshot
from hooks.failover.plan import plan
from hooks.pd import Store, StoreState
from tests.model import nature
from tests.model.deeds import first_reading
from tests.model.sight import NOW_NS, SECOND, impossible, snapshot
from tests.model.world import (
    Claim,
    Disk,
    Member,
    Note,
    Place,
    Pod,
    World,
    led,
    put,
    start,
    with_place,
    with_store,
)

Change = Callable[[World], World]


def world(*changes: Change, base: World | None = None) -> World:
    """A healthy cluster and what then happened to it. Refuses what cannot be."""
    made = base if base is not None else start(faults=0)
    for change in changes:
        made = change(made)
    if wrong := impossible(made):
        raise AssertionError(f"this world cannot be: {'; '.join(wrong)}")
    return made


def scene(*changes: Change, base: World | None = None, read: str = "twice") -> Snapshot:
    """What the job sees. read: "twice" (15 s apart, by this run), "once" (the second look is missing), "left"
    (the first was left by an earlier run).
    """
    made = world(*changes, base=base)
    if led(made) and made.reading is None:
        made = made._replace(reading=first_reading(made))
        if read != "once":
            made = next((w for told, w in nature.time_passes(made) if told == "15 s pass"), made)
        if read == "left" and made.reading is not None:
            made = made._replace(reading=made.reading._replace(watched=False))
    return snapshot(made)


# --- What may have happened -----------------------------------------------------------------------


def lose(node: int, state: str) -> Change:
    """A machine falls silent: for a short time, for long, or its Node object is gone too (after long silence)."""

    def change(made: World) -> World:
        gone = nature.node_deleted(made, node)
        made = gone if state == "gone" else made._replace(nodes=put(made.nodes, node, state))
        silence = "short" if state == "short" else "long"
        for store in made.stores:
            if store.id[0] % len(made.nodes) == node and store.kind == "live":
                made = with_store(made, store.id, beat=silence)
        return nature.settled_leader(made)._replace(unheard=frozenset())

    return change


def fail_disk(component: str, ordinal: int, silence: str = "long") -> Change:
    def change(made: World) -> World:
        held = next(i for i, d in enumerate(made.disks) if d.content == (component, ordinal, 0))
        made = made._replace(disks=put(made.disks, held, made.disks[held]._replace(sound=False)))
        if component == "tikv":
            made = with_store(made, (ordinal, 0), beat=silence)
        return nature.settled_leader(made)._replace(unheard=frozenset())

    return change


def store(ordinal: int, **fields: str) -> Change:
    """PD's record of the ordinal's first store."""

    def change(made: World) -> World:
        if fields.get("kind") == "tombstone":
            made = made._replace(peers=made.peers - {(ordinal, 0)})
        return with_store(made, (ordinal, 0), **fields)

    return change


def noted(component: str, ordinal: int, state: str) -> Change:
    """The journal names the first owner of the disk it lies on."""

    def change(made: World) -> World:
        owner = (component, ordinal, 0)
        held = next(i for i, d in enumerate(made.disks) if d.content == owner)
        return made._replace(notes=(*made.notes, Note(held, owner, state)))

    return change


def removed(ordinal: int) -> Change:
    """PD no longer lists the member."""
    return lambda made: made._replace(members=tuple(m for m in made.members if m.id[0] != ordinal))


def claim_going(component: str, ordinal: int) -> Change:
    def change(made: World) -> World:
        places = made.tikv if component == "tikv" else made.pd
        place = places[ordinal]
        assert place.claim is not None
        going = put(places, ordinal, place._replace(claim=place.claim._replace(deleting=True)))
        return made._replace(tikv=going) if component == "tikv" else made._replace(pd=going)

    return change


def misled(component: str, ordinal: int, node: int) -> Change:
    """Its claim was made anew, and its pod sits on this node without a volume."""

    def change(made: World) -> World:
        return with_place(made, component, ordinal, Place(Claim(None, False), Pod(node, False)))

    return change


def new_leader(ordinal: int) -> Change:
    return lambda made: nature.new_leader(made, ordinal)


# --- Changes to what is seen, for what the small world does not have ------------------------------


def see(seen: Snapshot, **fields: Any) -> Snapshot:
    return dataclasses.replace(seen, **fields)


def see_pd(seen: Snapshot, **fields: Any) -> Snapshot:
    assert isinstance(seen.pd, PdView)
    return dataclasses.replace(seen, pd=dataclasses.replace(seen.pd, **fields))


def see_store(seen: Snapshot, number: int, **fields: Any) -> Snapshot:
    assert isinstance(seen.pd, PdView)
    stores = tuple(
        dataclasses.replace(s, **fields) if s.id == number else s for s in seen.pd.stores
    )
    return see_pd(seen, stores=stores)


def see_silent(seen: Snapshot, number: int) -> Snapshot:
    """A store whose process does not answer, on a node and disk without fault: Down for an hour, in both
    readings.
    """
    beat = NOW_NS - 3600 * SECOND
    seen = see_store(seen, number, state=StoreState.DOWN, state_name="Down", last_heartbeat_ns=beat)
    assert seen.earlier is not None
    beats = {**seen.earlier.beats, number: beat}
    return see_regions(see(seen, earlier=dataclasses.replace(seen.earlier, beats=beats)), number)


def see_regions(seen: Snapshot, number: int) -> Snapshot:
    """PD's region checks were read for this store, and show no other trouble."""
    return see_pd(seen, regions=Regions(number, 34, 0))


def see_more_stores(seen: Snapshot, *more: Store) -> Snapshot:
    assert isinstance(seen.pd, PdView)
    return see_pd(seen, stores=(*seen.pd.stores, *more))


def see_slot(
    seen: Snapshot, component: Component, ordinal: int, change: Callable[[Slot], Slot]
) -> Snapshot:
    slots = tuple(
        change(s) if (s.component, s.ordinal) == (component, ordinal) else s for s in seen.slots
    )
    return see(seen, slots=slots)


def movable(seen: Snapshot, component: Component, ordinal: int, **pod: Any) -> Snapshot:
    """The ordinal's volume is tied to no node; its pod changed or (`gone`) absent."""

    def change(slot: Slot) -> Slot:
        assert slot.claim is not None
        assert slot.claim.volume is not None
        assert slot.pod is not None
        volume = dataclasses.replace(slot.claim.volume, hostname="", phase="")
        claim = dataclasses.replace(slot.claim, volume=volume)
        now = None if "gone" in pod else dataclasses.replace(slot.pod, **pod)
        return dataclasses.replace(slot, pod=now, claim=claim)

    return see_slot(seen, component, ordinal, change)


# --- What the plan says to it ---------------------------------------------------------------------

POLICY = Policy(max_per_day=3)
FOUR = start(nodes=4, tikv=4, soft=True, faults=0)


def told(made: Plan[Step]) -> tuple[list[str], list[str], list[str]]:
    return (
        [action.code for action in made.actions],
        [wait.code for wait in made.waits],
        [refusal.code for refusal in made.refusals],
    )


def steps(seen: Snapshot, policy: Policy = POLICY) -> list[str]:
    """What it does; "waits …" or "refuses …" when it does nothing."""
    actions, waits, refusals = told(plan(seen, policy))
    return (
        actions or [f"refuses {code}" for code in refusals] or [f"waits {code}" for code in waits]
    )


def only(seen: Snapshot, policy: Policy = POLICY) -> Step:
    made = plan(seen, policy)
    assert len(made.actions) == 1, made.text()
    return made.actions[0]


def member_back(made: World) -> World:
    """Node 2 carried a member too: PD-2 runs elsewhere by now, as its replacement comes first."""
    disk = next(i for i, d in enumerate(made.disks) if d.node == 3 and d.content is None)
    made = made._replace(disks=put(made.disks, disk, Disk(3, True, ("pd", 2, 1))))
    members = (*(m for m in made.members if m.id[0] != 2), Member((2, 1), True))
    pods = put(made.pd, 2, Place(Claim(disk, False), Pod(3, False)))
    return made._replace(members=members, pd=pods)


LOST = (lose(2, "long"), member_back)
GONE = (lose(2, "gone"), member_back)
