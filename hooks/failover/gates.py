"""Is enough left? What must hold besides the loss itself before PD is told to let go. Each gate says no in its
own words.

Every gate is asked, so that one run tells everything that stands in the way.
"""

from __future__ import annotations

from datetime import timedelta

from hooks.engine import Plan, Refusal, Subject, Wait
from hooks.failover import advice
from hooks.failover.actions import Step
from hooks.failover.evidence import SILENT, NotLost, earlier_reading, ids, live, voters
from hooks.failover.model import Component, Entry, PdView, Policy, Slot, Snapshot
from hooks.failover.quorum import majority
from hooks.failover.room import free_disk
from hooks.pd import Member, Store, StoreState

Reason = Wait | Refusal
DAY = timedelta(hours=24)
FEWEST_COPIES = 3


def closed_for_store(
    store: Store, slot: Slot, world: Snapshot, view: PdView, policy: Policy
) -> Plan[Step]:
    """Everything that forbids retiring this store now; an empty plan when nothing does."""
    subject = Subject("Store", str(store.id))
    others = others_up(view, store.id, world, policy)
    return reasons(
        others,
        nothing_under_way(view, store.id, subject),
        nobody_at_work(view, store.id, subject),
        # Stores that are away for a moment are waited for, not missed.
        copies_left(store, view, subject) if others is None else None,
        regions_keep_majority(store, view, subject),
        not_too_often(subject, slot, world, policy),
        room_for(slot, world, subject),
    )


def closed_for_member(
    member: Member, slot: Slot, world: Snapshot, view: PdView, policy: Policy
) -> Plan[Step]:
    """Everything that forbids removing this member now; an empty plan when nothing does."""
    subject = Subject("Member", member.name)
    return reasons(
        members_keep_majority(member, world, view),
        not_too_often(subject, slot, world, policy),
        room_for(slot, world, subject),
    )


def reasons(*found: Reason | None) -> Plan[Step]:
    return Plan(
        waits=tuple(one for one in found if isinstance(one, Wait)),
        refusals=tuple(one for one in found if isinstance(one, Refusal)),
    )


# --- Stores --------------------------------------------------------------------------------------


def others_up(view: PdView, store_id: int, world: Snapshot, policy: Policy) -> Reason | None:
    """Every other live store is Up. Two that stand still over two readings are a decision for a person; one that is
    Offline counts when nobody is left to take its regions.
    """
    others = [s for s in live(view.stores) if s.id != store_id and s.state is not StoreState.UP]
    not_up = [s for s in others if s.state is not StoreState.OFFLINE]
    stuck = [s for s in others if s.state is StoreState.OFFLINE and not can_drain(s, view)]
    still = [s for s in (*not_up, *stuck) if stands_still(s, world, view, policy)]
    if still:
        first = [
            s
            for s in view.stores
            if s.id == store_id and (s.retired or stands_still(s, world, view, policy))
        ]
        if len(first) + len(still) > 1:
            return advice.stores_lost([*first, *still], view, world)
    if not not_up:
        return None
    names = ", ".join(f"{s.id} ({s.state_name})" for s in not_up)
    return Wait(
        code="others-not-up",
        subject=Subject("Store", str(store_id)),
        why=f"not every other store is Up: {names}",
        until="they are Up, or prove lost",
        numbers={"not_up": len(not_up)},
    )


def can_drain(store: Store, view: PdView) -> bool:
    """Whether the other TiKV stores can take its regions: PD then moves them itself."""
    copies = view.replication.max_replicas if view.replication else None
    return copies is not None and len(up_voters(view, store.id)) >= copies


def stands_still(store: Store, world: Snapshot, view: PdView, policy: Policy) -> bool:
    """Whether two comparable readings agree that this store sent nothing."""
    earlier = earlier_reading(world, view, policy.reading_gap)
    return (
        # Offline reads the same alive or dead: its heartbeat alone tells.
        (store.state in SILENT or store.state is StoreState.OFFLINE)
        and not isinstance(earlier, NotLost)
        and store.last_heartbeat_ns > 0
        and earlier.beats.get(store.id) == store.last_heartbeat_ns
    )


def nothing_under_way(view: PdView, store_id: int, subject: Subject) -> Wait | None:
    """No other store is leaving: neither by scale-in nor by an earlier replacement whose regions are not whole yet.

    A destroyed one whose place is filled again, or is this store's own, does not count while too few stores are
    Up to take its last regions: they wait for this very replacement. Whether each region can spare this store is
    asked apart.
    """
    copies = view.replication.max_replicas if view.replication else 0
    full = {s.address for s in up_voters(view, store_id)}
    stuck = len(full) < copies
    filled = full | {s.address for s in view.stores if s.id == store_id}
    leaving = [
        s.id
        for s in view.stores
        if s.id != store_id
        and s.state is StoreState.OFFLINE
        and not (stuck and s.physically_destroyed and s.address in filled)
    ]
    if not leaving:
        return None
    return Wait(
        code="others-leaving",
        subject=subject,
        why=f"PD is still moving regions away from stores {ids(leaving)}",
        until="PD calls them Tombstone",
        numbers={"leaving": len(leaving)},
    )


def nobody_at_work(view: PdView, store_id: int, subject: Subject) -> Wait | None:
    """No roll or other maintenance that PD knows of. (Our own jobs also share a Lease.)"""
    if view.maintenance is not None:
        held = view.maintenance
        return Wait(
            code="maintenance",
            subject=subject,
            why=f"PD's maintenance task {held.type}/{held.id} is held",
            until=f"its holder gives it back (`DELETE /pd/api/v2/maintenance/{held.type}/{held.id}`)",
        )
    emptied = view.evicting & {s.id for s in live(view.stores)} - {store_id}
    if emptied:
        return Wait(
            code="leaders-evicted",
            subject=subject,
            why=f"leaders are being kept away from stores {ids(emptied)}, as during a roll",
            until="the evict-leader scheduler is gone (cleanup removes one that a dead job left)",
        )
    return None


def copies_left(store: Store, view: PdView, subject: Subject) -> Reason | None:
    """Enough TiKV stores are Up without it. PD's own check counts TiFlash, Disconnected and Down ones; this
    does not.
    """
    if view.replication is None:
        return unread("max-replicas", subject)
    copies = view.replication.max_replicas
    if copies < FEWEST_COPIES:
        return advice.few_replicas(store, copies)
    up = len(up_voters(view, store.id))
    if up < majority(copies):
        return advice.few_stores(store, up, majority(copies))
    return None


def up_voters(view: PdView, besides: int) -> list[Store]:
    """TiKV stores that are Up, without this one: what can hold or take copies."""
    return [s for s in voters(view.stores) if s.id != besides and s.state is StoreState.UP]


def regions_keep_majority(store: Store, view: PdView, subject: Subject) -> Reason | None:
    """Down, missing and pending peers are explained by this store alone."""
    if view.regions is None or view.regions.store != store.id:
        return unread("region checks", subject)
    return advice.regions_endangered(store, view.regions) if view.regions.endangered else None


def unread(what: str, subject: Subject) -> Wait:
    return Wait(
        code="pd-unread",
        subject=subject,
        why=f"PD's {what} were not read for it",
        until="the next run reads them",
    )


# --- Members -------------------------------------------------------------------------------------


def members_keep_majority(member: Member, world: Snapshot, view: PdView) -> Refusal | None:
    """A healthy majority now, and of those that are left: every other member is healthy, and they are at least
    two.
    """
    others = [m for m in view.members if m.id != member.id]
    healthy = [m for m in others if m.id in view.healthy]
    if len(healthy) == len(others) and len(healthy) >= majority(len(view.members)):
        return None
    return advice.members_lost([m for m in view.members if m not in healthy], view, world)


# --- Both ----------------------------------------------------------------------------------------


def not_too_often(subject: Subject, slot: Slot, world: Snapshot, policy: Policy) -> Refusal | None:
    """Replacements of the last 24 hours, by the journal; the one that is under way does not count against
    itself.
    """
    own = slot.claim.volume.uid if slot.claim and slot.claim.volume else ""
    today = sum(
        1
        for entry in world.entries
        if entry.volume_uid != own and world.now - entry.at < DAY and ours(entry, world)
    )
    return advice.too_many(subject, today, policy) if today >= policy.max_per_day else None


def ours(entry: Entry, world: Snapshot) -> bool:
    """Whether an entry is about a claim of this release; a namespace may hold several."""
    return any(
        entry.claim.startswith(f"{component}-{world.release}-{component}-")
        for component in Component
    )


def room_for(slot: Slot, world: Snapshot, subject: Subject) -> Wait | None:
    """There is a disk for the replacement. Nothing is given up before there is: the old one may come back."""
    disk, why_not = free_disk(slot, world)
    if disk is not None:
        return None
    return Wait(
        code="no-free-disk",
        subject=subject,
        why="no node has a free disk for it: " + "; ".join(why_not),
        until="a disk is inserted or released, or a node comes back",
        numbers={"nodes": len(why_not)},
    )
