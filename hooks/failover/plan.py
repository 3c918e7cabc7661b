"""What to do next about a lost TiKV store or PD member whose data lay on a local disk: one step, or the reason
for none.

The invariant
    No plan takes a healthy copy from a region, or a member from the PD group, that has none to spare; nothing is
    retired, removed or deleted that PD calls Up or healthy; a claim goes only after its owner is final in PD.
    The actions of one plan are independent: any subset of them, in any order, cut off anywhere, keeps this.

The evidence a loss needs, and from whom (evidence.py)
    Kubernetes: the Node object is gone, or out of service, or NotReady for longer than `after`, or the disk failed.
    PD: two readings, 15 s apart, from one leader, in which this store's heartbeat stands still, for longer than
    `after` (20 s when the Node is gone), and all others' move; or this member is unhealthy in both, and no other.
    Kubernetes alone proves nothing (a kubelet can die while TiKV serves), PD alone neither (a store can be
    slow, or PD new).

The steps, each a plan of its own, since each assumes that PD or Kubernetes has carried out the one before
    1. Mark      whose data the claim's volume holds goes into the journal, before anything is changed
    2. Retire    in PD: a store plainly when the others can take its regions (Offline, then Tombstone), by force
                 when they are too few (3 of 3); a member by its id
    3. Settle    PD's last word goes into the journal: the old disk may be cleared once it is released
    4. Claim     deleted by UID; Kubernetes keeps it until the pod that used it is gone
    5. Pod       deleted; by force only where its node is lost, since a lost kubelet never confirms
    6. Wait      until the new pod has a disk, its store is Up and the regions are whole; the member healthy. A pod
                 that was put on a node without a disk goes once more: no disk would come to it
    A run that dies anywhere leaves a world that the next one reads: the journal tells the old claim from the
    new one.

One at a time, members before stores
    Regions keep a majority without one store, never surely without two; and PD must lead while stores are
    replaced. While a replacement is not whole, a second loss stops everything: the old disk, though retired,
    may be the last help a person has.

What is left to a person
    Two stores or more lost, PD without a quorum, a region without a majority, a volume on the network whose
    old node may still write, more losses in a day than `maxPerDay` (something larger is wrong), a store or
    claim that fits no record. The refusal says what is lost, what lives, which commands there are, and what
    each would lose (advice.py).

Deliberately not done: replicas never change; a store that comes back before it was retired is left alone, one that
comes back later drains and its disk is cleared; Tombstones stay until cleanup knows that their disks are cleared.
"""

from __future__ import annotations

from collections.abc import Sequence

from hooks.engine import Plan, Refusal, Subject
from hooks.failover import advice
from hooks.failover.actions import (
    Step,
    forget,
    note_homes,
    retire_store,
    settle,
    stop_evicting,
)
from hooks.failover.evidence import (
    Lost,
    NotLost,
    kubernetes_loss,
    live,
    silent_store,
)
from hooks.failover.gates import (
    Reason,
    can_drain,
    closed_for_store,
    others_up,
    reasons,
    up_voters,
)
from hooks.failover.members import members_step, missing_members
from hooks.failover.model import (
    Component,
    Entry,
    EntryState,
    PdSilent,
    PdView,
    Policy,
    Silence,
    Slot,
    Snapshot,
    member_owner,
    owner_id,
    store_owner,
)
from hooks.failover.places import (
    abandon,
    await_disk,
    await_pod,
    begun,
    both,
    network_step,
    note_owner,
    on_network,
    vacate,
    wait,
)
from hooks.pd import Store, StoreState

STANDING = frozenset({"no-free-disk", "place-fine", "pod-kept-out", "pod-coming-up"})


def plan(world: Snapshot, policy: Policy) -> Plan[Step]:
    """The next step of this world, with the reason for it, or the reasons for none. Same world, same plan."""
    view = world.pd
    if isinstance(view, PdSilent):
        return without_pd(view, world)
    if world.recorded_cluster is not None and view.cluster_id != world.recorded_cluster:
        return Plan(refusals=(advice.other_cluster(view, world),))
    if world.recorded_cluster is None and world.slots:
        return Plan(refusals=(advice.no_record(view, world),))
    members = members_step(world, view, policy)
    books = bookkeeping(world, view, policy)
    if members_first(members) or begun(missing_members(world, view), world, view):
        return both(books, members)
    return both(books, members, stores_step(world, view, policy))


def members_first(members: Plan[Step]) -> bool:
    """Whether a member's step goes before any store's: PD must lead while stores are replaced.

    Not where the member stands still whatever we do: its place is fine, there is no disk, a person is asked
    about it.
    """
    lost = any(refusal.code == "members-lost" for refusal in members.refusals)
    return lost or bool(members.actions) or any(w.code not in STANDING for w in members.waits)


def without_pd(view: PdSilent, world: Snapshot) -> Plan[Step]:
    """No PD, no evidence: wait for it, or say what a lost quorum needs."""
    if view.kind is Silence.NO_LEADER:
        return Plan(refusals=(advice.no_leader(view, world),))
    until = {
        Silence.UNREACHABLE: "a PD member answers",
        Silence.NOT_BOOTSTRAPPED: "the first TiKV store registers",
    }[view.kind]
    return wait(f"pd-{view.kind}", Subject("PD", world.release), view.said, until)


# --- The journal follows PD ----------------------------------------------------------------------


def bookkeeping(world: Snapshot, view: PdView, policy: Policy) -> Plan[Step]:
    """Entries that PD has outrun, and schedulers of stores that are no more. Right at any time, in any order."""
    steps: list[Step] = []
    members = {member.id for member in view.members}
    stores = {store.id: store for store in view.stores}
    for entry in world.entries:
        if entry.final or entry.cluster != view.cluster_id:
            continue
        owner = owner_id(entry.owner)
        store = stores.get(owner)
        if entry.owner == member_owner(owner):
            if owner not in members:
                steps.append(settle(entry, EntryState.REMOVED, world.namespace))
            elif owner in view.healthy:
                steps.append(forget(entry, world.namespace))
        elif store is not None and store.retired and may_let_go(store, world, view, policy) is None:
            steps.append(settle(entry, last_word(store), world.namespace))
        elif store is not None and store.state is StoreState.UP:
            steps.append(forget(entry, world.namespace))
    steps += [stop_evicting(one) for one in orphaned_schedulers(view.stores, view.evicting)]
    homes = homes_now(world, view)
    if homes != dict(world.homes):
        steps.append(note_homes(homes, world.release, world.namespace))
    return Plan(actions=tuple(steps))


def homes_now(world: Snapshot, view: PdView) -> dict[str, str]:
    """Who is known to live where: what was noted about all that PD still knows, and what is seen of those that
    are well.
    """
    ids = {member_owner(m.id) for m in view.members} | {
        store_owner(s.id) for s in live(view.stores)
    }
    homes = {owner: volume for owner, volume in world.homes.items() if owner in ids}
    for (component, ordinal), volume in world.held.items():
        if component is Component.PD:
            name = f"{world.release}-pd-{ordinal}"
            well = [
                member_owner(m.id) for m in view.members if m.name == name and m.id in view.healthy
            ]
        else:
            name = f"{world.release}-tikv-{ordinal}."
            up = [s for s in view.stores if s.state is StoreState.UP and s.address.startswith(name)]
            well = [store_owner(s.id) for s in up]
        homes |= {owner: volume for owner in well if owner not in homes}
    return homes


def orphaned_schedulers(stores: Sequence[Store], evicting: frozenset[int]) -> list[int]:
    """Retired stores whose evict-leader scheduler is still there. (One of a live store may be a person's.)"""
    return sorted(evicting & {store.id for store in stores if store.retired})


def last_word(store: Store) -> EntryState:
    return EntryState.TOMBSTONE if store.state is StoreState.TOMBSTONE else EntryState.DESTROYED


# --- Stores --------------------------------------------------------------------------------------


def stores_step(world: Snapshot, view: PdView, policy: Policy) -> Plan[Step]:
    """A place that was begun first; then a store that we let drain; then one that is silent."""
    vacant = vacant_places(world, view)
    places = both(*(store_place(slot, world, view, policy) for slot in vacant))
    leaving = [s for s in view.stores if s.state is StoreState.OFFLINE]
    store = store_in_question(view, world.entries)
    if store is None or begun(vacant, world, view):
        return both(places, *(draining(s, world) for s in leaving))
    slot = next((s for s in world.slots if s.address == store.address), None)
    if slot is None:
        return both(places, Plan(refusals=(advice.no_slot(store, world),)))
    if store.state is StoreState.OFFLINE and can_drain(store, view):
        return both(places, draining(store, world))
    return both(places, silent_store_step(store, slot, world, view, policy))


def vacant_places(world: Snapshot, view: PdView) -> list[Slot]:
    """Ordinals whose address no live store holds: retired and not yet replaced, or never registered."""
    held = {store.address for store in live(view.stores)}
    return [s for s in world.slots if s.component is Component.TIKV and s.address not in held]


def store_in_question(view: PdView, entries: Sequence[Entry]) -> Store | None:
    """The one store that the next step could be about: silent, or Offline by our own hand. The longest silent of
    several.
    """
    noted = {entry.owner for entry in entries if not entry.final}
    return min(
        (
            store
            for store in live(view.stores)
            if (store.state not in (StoreState.UP, StoreState.OFFLINE))
            or (store.state is StoreState.OFFLINE and store_owner(store.id) in noted)
        ),
        # One that never sent a heartbeat is new, not old.
        key=lambda store: (store.last_heartbeat_ns == 0, store.last_heartbeat_ns, store.id),
        default=None,
    )


def silent_store_step(
    store: Store, slot: Slot, world: Snapshot, view: PdView, policy: Policy
) -> Plan[Step]:
    """Confirm, ask the gates, note, retire."""
    subject = Subject("Store", str(store.id))
    if on_network(slot):
        return network_step(slot, subject, world, policy)
    several = others_up(view, store.id, world, policy)
    if isinstance(several, Refusal):
        return Plan(refusals=(several,))
    owner = store_owner(store.id)
    loss = kubernetes_loss(slot, world, policy, owner)
    if isinstance(loss, NotLost):
        words = f"PD calls it {store.state_name}, but {loss.words}"
        return wait(loss.code, subject, words, loss.ends)
    word = silent_store(store, world, view, policy, loss.silence)
    if word is not None:
        return wait(word.code, subject, f"{loss.words}, but {word.words}", word.ends)
    closed = closed_for_store(store, slot, world, view, policy)
    if closed.waits or closed.refusals:
        return closed
    force = not can_drain(store, view)
    rest = len(up_voters(view, store.id))
    why = (
        f"{loss.words}, and PD has heard nothing of it in two readings while all others moved; {rest} other TiKV "
        f"stores are Up"
        + (", too few to take its regions" if force else " and can take its regions")
    )
    noted = note_owner(slot, owner, why, world, view)
    return noted or Plan(actions=(retire_store(store, force, view.leader.id, why),))


def draining(store: Store, world: Snapshot) -> Plan[Step]:
    """Offline: PD is moving its regions. Alive or dead it reads the same; nothing is left for us to do."""
    ours = any(entry.owner == store_owner(store.id) for entry in world.entries)
    why = "a store that is gone" if ours else "a store that somebody retired"
    return wait(
        "draining",
        Subject("Store", str(store.id)),
        f"PD is moving {store.region_count} regions away from it, {why}",
        "PD calls it Tombstone",
    )


def store_place(slot: Slot, world: Snapshot, view: PdView, policy: Policy) -> Plan[Step]:
    """No live store at this address: empty the place, or wait for the new pod to register."""
    subject = Subject("Pod", slot.name, world.namespace)
    claim = slot.claim
    if claim is None or claim.volume is None:
        return await_disk(slot, "PD calls its store Up", world, policy, subject)
    entry = world.entry(claim.volume)
    owner = next((s for s in view.stores if entry and store_owner(s.id) == entry.owner), None)
    held = may_let_go(owner, world, view, policy) if owner is not None else None
    if held is not None:
        return reasons(held)
    if (entry is not None and entry.final) or claim.deleting:
        why = (
            f"{entry.owner} is {entry.state.value}"
            if entry
            else f"no store lives at {slot.address}"
        )
        return vacate(slot, claim, claim.volume, why, world, policy)
    loss = kubernetes_loss(slot, world, policy)
    if isinstance(loss, Lost) and entry is None:
        if on_network(slot):
            return network_step(slot, subject, world, policy)
        # The new disk died before its store registered, or a person retired the store. A retired store at this
        # very address tells: what lies there is its data, or that of a process which PD has never heard of.
        # Else nobody can tell.
        if not any(s.address == slot.address and s.retired for s in view.stores):
            return Plan(refusals=(advice.unknown_claim(slot, claim.volume, world),))
        why = f"{loss.words}, and PD knows only retired stores at {slot.address}"
        return abandon(slot, claim, claim.volume, loss, why, world, policy)
    return await_pod(slot, "PD calls its store Up", subject)


def may_let_go(store: Store, world: Snapshot, view: PdView, policy: Policy) -> Reason | None:
    """Whether a retired store's disk may be given up: once its regions are whole elsewhere, or while all
    others are Up.

    A second loss stops that: what lies on the first one's disk, though retired, may be the last help a person has.
    """
    if store.state is StoreState.TOMBSTONE:
        return None
    return others_up(view, store.id, world, policy)
