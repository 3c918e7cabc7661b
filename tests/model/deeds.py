"""The job's own steps in a World: read, read again and plan, act, die. And the oath that every act is held to.

`perform` does what hooks/failover/apply.py does: looks again, and lets be what is no longer as the plan saw it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hooks.engine import Plan
from hooks.failover import actions
from hooks.failover.model import Policy, Snapshot
from hooks.failover.plan import plan
from hooks.failover.quorum import majority
from tests.model.nature import made_anew, settled_leader
from tests.model.sight import member_of, snapshot, store_of
from tests.model.world import (
    Claim,
    MemberId,
    Note,
    Reading,
    Step,
    StoreId,
    World,
    content,
    healthy,
    intact,
    led,
    put,
    reads_up,
    well,
    with_place,
    with_store,
)

Planner = Callable[[Snapshot, Policy], Plan[actions.Step]]
POLICY = Policy(max_per_day=100)
Deed = tuple[object, ...]
Performer = Callable[[World, Deed], World]


class BrokenOathError(AssertionError):
    """An act of the job broke the invariant; the message is the broken sentence of plan.py's docstring."""


def job_steps(
    world: World, planner: Planner = plan, act: Performer | None = None
) -> Iterator[Step]:
    """What the job may do next; dying is always among it."""
    if world.job is not None:
        yield "the job dies", world._replace(job=None, reading=unwatched(world.reading))
        for deed in world.job:
            rest = tuple(one for one in world.job if one != deed)
            after = (act or perform)(world, deed)
            yield f"the job does {told(deed)}", after._replace(job=rest or None)
        return
    if led(world) and (not well(world) or world.reading is not None):
        yield "the job reads PD", world._replace(reading=first_reading(world))
    elif world.reading is not None:
        yield "the job finds no leader", world._replace(reading=None)
    if world.reading is not None and world.reading.watched:
        yield "the job dies", world._replace(reading=unwatched(world.reading))
    if world.reading is not None and world.reading.aged:
        wanted = planner(snapshot(world), POLICY).actions
        if wanted:
            deeds = tuple(sorted((deed_of(action) for action in wanted), key=repr))
            yield f"the job plans {', '.join(told(d) for d in deeds)}", world._replace(job=deeds)
        else:
            yield "the job has nothing to do", world._replace(reading=None)


def unwatched(reading: Reading | None) -> Reading | None:
    """A reading that another run left behind: who led meanwhile nobody knows."""
    return reading._replace(watched=False, steady=True) if reading is not None else None


def first_reading(world: World) -> Reading:
    assert world.leader is not None
    well = healthy(world)
    return Reading(
        leader=world.leader,
        known=frozenset(s.id for s in world.stores if s.kind in ("live", "offline")),
        moved=frozenset(),
        unhealthy=frozenset(m.id for m in world.members if m.id not in well),
        nameless=frozenset(m.id for m in world.members if not m.named),
        watched=True,
        steady=True,
        aged=False,
    )


def deed_of(action: actions.Step) -> Deed:
    """An action as the model's own value: world-independent names become disks, ordinals and identities again."""
    match action:
        case actions.Mark():
            return ("note", disk_of(action.volume_uid), owner_of(action.owner), action.state.value)
        case actions.Settle():
            return (
                "settle",
                disk_of(action.entry.volume_uid),
                owner_of(action.entry.owner),
                action.state.value,
            )
        case actions.Forget():
            return ("forget", disk_of(action.entry.volume_uid), owner_of(action.entry.owner))
        case actions.RetireStore():
            leader = member_of(action.leader)[0]
            return ("force" if action.force else "retire", store_of(action.store), leader)
        case actions.RemoveMember():
            return ("remove", member_of(action.member), bool(action.name))
        case actions.DeleteClaim():
            place = action.slot.component.value, action.slot.ordinal
            return ("claim", *place, disk_of(action.volume_uid))
        case actions.DeletePod():
            place = action.slot.component.value, action.slot.ordinal
            held = action.slot.claim is not None and action.slot.claim.volume is not None
            unfit = ("going" if held else "unbound") if action.claim_uid else ""
            return ("pod", *place, action.force, unfit)
        case actions.NoteHomes():
            raise AssertionError(f"homes are noted in the model: {action.homes}")
        case actions.StopEvicting():
            return ("unevict", store_of(action.store))


def disk_of(uid: str) -> int:
    return int(uid.removeprefix("uid-"))


def owner_of(owner: str) -> tuple[str, int, int]:
    kind, _, number = owner.partition(" ")
    return ("tikv", *store_of(int(number))) if kind == "store" else ("pd", *member_of(int(number)))


def told(deed: Deed) -> str:
    return " ".join(str(part) for part in deed)


def perform(world: World, deed: Deed) -> World:
    """One act, or nothing where the world is no longer as the plan saw it. Raises BrokenOathError."""
    match deed:
        case ("note", int(disk), tuple(owner), str(state)):
            held = any(
                p.claim is not None and p.claim.disk == disk for p in (*world.tikv, *world.pd)
            )
            if held and all(note.disk != disk for note in world.notes):
                noted = Note(disk, owner, state)
                return world._replace(notes=tuple(sorted((*world.notes, noted))))
        case ("settle", int(disk), tuple(owner), str(state)):
            # A compare-and-swap of that very entry.
            return world._replace(
                notes=tuple(
                    n._replace(state=state)
                    if (n.disk, n.owner, n.state) == (disk, owner, "Retiring")
                    else n
                    for n in world.notes
                )
            )
        case ("forget", int(disk), tuple(owner)):
            return world._replace(
                notes=tuple(
                    n
                    for n in world.notes
                    if (n.disk, n.owner, n.state) != (disk, owner, "Retiring")
                )
            )
        case ("retire" | "force" as how, tuple(store_id), int(leader)):
            return retire(world, store_id, leader, force=how == "force")
        case ("remove", tuple(member_id), bool(named)):
            return remove(world, member_id, named=named)
        case ("claim", str(component), int(ordinal), int(disk)):
            return delete_claim(world, component, ordinal, disk)
        case ("pod", str(component), int(ordinal), bool(force), str(unfit)):
            return delete_pod(world, component, ordinal, force=force, unfit=unfit)
    return world


def retire(world: World, store_id: StoreId, leader: int, *, force: bool) -> World:
    store = next((s for s in world.stores if s.id == store_id), None)
    reading = world.reading
    if not led(world) or store is None or store.kind not in ("live", "offline") or reading is None:
        return world
    if reads_up(world, store) or store_id in reading.moved or leader != world.leader:
        return world
    if any(s.kind == "live" and s.id != store_id and not reads_up(world, s) for s in world.stores):
        return world
    if not force:
        counted = [s for s in world.stores if s.kind == "live"]
        if store.kind == "live" and len(counted) - 1 < world.replicas:
            return world  # [PD:core:ErrStoresNotEnough]
        after = with_store(world, store_id, kind="offline")
    else:
        after = with_store(world, store_id, kind="destroyed")
        after = after._replace(unheard=after.unheard - {store_id})
    # `beat` is the truth, whoever leads: a process that came back a moment ago and has not been heard yet is
    # no crime.
    swear(store.beat != "fresh", f"store {store_id} heartbeats and is retired")
    left = (world.peers & believed(world)) - {store_id}
    swear(
        len(left) >= majority(len(world.peers)),
        f"retiring store {store_id} leaves {len(left)} of {len(world.peers)} copies intact",
    )
    filled = {s.id[0] for s in world.stores if reads_up(world, s)} | {store_id[0]}
    others = [
        s.id
        for s in world.stores
        if s.id != store_id
        and (s.kind == "offline" or (s.kind == "destroyed" and s.id[0] not in filled))
    ]
    swear(not others, f"store {store_id} is retired while {others} are not whole elsewhere")
    dead = [
        s.id
        for s in world.stores
        if s.id != store_id and s.kind == "live" and s.beat in ("short", "long")
    ]
    swear(not dead, f"store {store_id} is retired while {dead} are silent")
    return after


def believed(world: World) -> frozenset[StoreId]:
    """Copies that are there for all that anybody can know: a disk that failed since the last heartbeat still
    counts.
    """
    return intact(world) | {s.id for s in world.stores if s.kind == "live" and s.beat == "fresh"}


def remove(world: World, member_id: MemberId, *, named: bool) -> World:
    listed = [m for m in world.members if m.id == member_id and m.named == named]
    if not led(world) or not listed:
        return world
    well = healthy(world)
    others = [m for m in world.members if m.id != member_id]
    if member_id in well or any(m.id not in well for m in others):
        return world
    swear(
        len(well) >= majority(len(world.members)),
        f"removing {member_id} from a group without a majority",
    )
    swear(len(others) >= 2, f"removing {member_id} leaves {len(others)} members")
    return settled_leader(world._replace(members=tuple(others)))


def delete_claim(world: World, component: str, ordinal: int, disk: int) -> World:
    place = (world.tikv if component == "tikv" else world.pd)[ordinal]
    if place.claim is None or place.claim.deleting or place.claim.disk != disk:
        return world
    if not vacant(world, component, ordinal):
        return world
    held = content(world, place)
    if held is not None and component == "tikv":
        owner = next((s for s in world.stores if s.id == held[1:]), None)
        retired = owner is None or owner.kind in ("destroyed", "tombstone")
        swear(
            retired,
            f"the claim of store {held[1:]} goes while PD calls it {owner.kind if owner else ''}",
        )
        left = (world.peers & believed(world)) - {held[1:]}
        swear(
            not world.peers
            or len(left) >= majority(len(world.peers))
            or not (world.peers & {held[1:]}),
            f"the disk of store {held[1:]} is given up with {len(left)} of {len(world.peers)} copies intact",
        )
    if held is not None and component == "pd":
        listed = {m.id for m in world.members}
        swear(held[1:] not in listed, f"the claim of member {held[1:]} goes while PD lists it")
    return with_place(world, component, ordinal, made_anew(place._replace(claim=Claim(disk, True))))


def delete_pod(world: World, component: str, ordinal: int, *, force: bool, unfit: str) -> World:
    place = (world.tikv if component == "tikv" else world.pd)[ordinal]
    if place.pod is None or place.claim is None:
        return world
    unbound = place.claim.disk is None
    as_seen = {"going": place.claim.deleting, "unbound": unbound, "": True}[unfit]
    if not as_seen or not vacant(world, component, ordinal, empty=unfit == "unbound"):
        return world
    node = place.pod.node
    if not force:
        return with_place(
            world, component, ordinal, place._replace(pod=place.pod._replace(deleting=True))
        )
    if node is not None and world.nodes[node] not in ("long", "deaf long", "gone"):
        return world
    return settled_leader(
        with_place(world, component, ordinal, made_anew(place._replace(pod=None)))
    )


def vacant(world: World, component: str, ordinal: int, *, empty: bool = False) -> bool:
    """PD, asked again, knows nobody who lives there; and while a destroyed store's regions are not whole, all
    others are Up, unless the place is `empty` already.
    """
    if not led(world):
        return False
    if component == "pd":
        return all(m.id[0] != ordinal for m in world.members)
    here = [s for s in world.stores if s.id[0] == ordinal]
    if any(s.kind in ("live", "offline") for s in here):
        return False
    others = [s for s in world.stores if s.kind == "live" and s.id[0] != ordinal]
    whole = all(s.kind == "tombstone" for s in here)
    return empty or whole or all(reads_up(world, s) for s in others)


def swear(holds: bool, sentence: str) -> None:
    if not holds:
        raise BrokenOathError(sentence)


__all__ = ["BrokenOathError", "Planner", "job_steps", "perform", "put"]
