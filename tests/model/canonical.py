"""Worlds that differ in nothing but which machine or ordinal is which are one world.

`canonical` renames nodes, disks and ordinals so that most such twins become equal: each gets a signature of
all that is said about it, and they are renamed in the order of their signatures. Ties keep their order, so
some twins are missed (a few more states) and never are two different worlds merged: the result is the same
world under other names, without what nothing asks for any more (forgetting.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from tests.model.forgetting import forgotten, identities
from tests.model.world import (
    Claim,
    Content,
    Disk,
    Member,
    Note,
    Place,
    Pod,
    Reading,
    Store,
    World,
)

NO_NUMBERS: Mapping[tuple[str, int, int], int] = MappingProxyType({})


def canonical(world: World) -> World:
    world = numbered_anew(forgotten(world))
    tikv = order([store_signature(world, i) for i in range(len(world.tikv))])
    pd = order([member_signature(world, i) for i in range(len(world.pd))])
    disk_signatures = disks_signatures(world, tikv, pd)
    mortal = len(world.nodes) - world.sheltered
    nodes = order(node_signatures(world, disk_signatures, tikv, pd)[:mortal])
    nodes += range(mortal, len(world.nodes))
    disks = order([(nodes[disk.node], *disk_signatures[i]) for i, disk in enumerate(world.disks)])
    if all(names == sorted(names) for names in (nodes, disks, tikv, pd)):
        return world
    return renamed(world, nodes, disks, tikv, pd)


def numbered_anew(world: World) -> World:
    """The stores and members of each ordinal numbered from 0: after a replacement it is as before it."""
    used: dict[tuple[str, int], set[int]] = {}
    for component, i, k in identities(world):
        used.setdefault((component, i), set()).add(k)
    numbers = {
        (*whose, k): new
        for whose, ks in used.items()
        for new, k in enumerate(sorted(ks))
        if k != new
    }
    if not numbers:
        return world
    nodes, disks, tikv, pd = (
        list(range(len(of))) for of in (world.nodes, world.disks, world.tikv, world.pd)
    )
    return renamed(world, nodes, disks, tikv, pd, numbers)


def order(signatures: list[tuple[object, ...]]) -> list[int]:
    """new name by old name"""
    names = [0] * len(signatures)
    for new, (_, old) in enumerate(sorted((str(one), i) for i, one in enumerate(signatures))):
        names[old] = new
    return names


def store_signature(world: World, i: int) -> tuple[object, ...]:
    reading = world.reading
    stores = tuple(
        (
            s.id[1],
            s.kind,
            s.beat,
            s.id in world.peers,
            s.id in world.unheard,
            reading is not None and (s.id in reading.known, s.id in reading.moved),
        )
        for s in world.stores
        if s.id[0] == i
    )
    notes = tuple(sorted((n.owner[2], n.state) for n in world.notes if n.owner[:2] == ("tikv", i)))
    deeds = tuple(sorted(str(d[0]) for d in world.job or () if mentions(d, "tikv", i)))
    return (str(stores), notes, deeds, place_signature(world, world.tikv[i]))


def member_signature(world: World, i: int) -> tuple[object, ...]:
    reading = world.reading
    members = tuple((m.id[1], m.named) for m in world.members if m.id[0] == i)
    seen = reading is not None and (
        sorted(m[1] for m in reading.unhealthy if m[0] == i),
        sorted(m[1] for m in reading.nameless if m[0] == i),
        reading.leader == i,
    )
    notes = tuple(sorted((n.owner[2], n.state) for n in world.notes if n.owner[:2] == ("pd", i)))
    deeds = tuple(sorted(str(d[0]) for d in world.job or () if mentions(d, "pd", i)))
    return (
        members,
        str(seen),
        world.leader == i,
        notes,
        deeds,
        place_signature(world, world.pd[i]),
    )


def mentions(deed: tuple[object, ...], component: str, i: int) -> bool:
    if deed[1:3] == (component, i):
        return True
    kind = {"retire": "tikv", "force": "tikv", "unevict": "tikv", "remove": "pd"}.get(str(deed[0]))
    if kind is not None:
        return kind == component and deed[1][0] == i  # type: ignore[index]
    return len(deed) > 2 and isinstance(deed[2], tuple) and deed[2][:2] == (component, i)


def place_signature(world: World, place: Place) -> str:
    claim, pod = place
    disk = world.disks[claim.disk] if claim is not None and claim.disk is not None else None
    beside = world.nodes[disk.node] if disk is not None else None
    where = world.nodes[pod.node] if pod is not None and pod.node is not None else None
    return _place_signature(
        claim and claim.deleting, disk and disk[1:], beside, pod and (pod.deleting, where)
    )


@cache
def _place_signature(going: object, disk: tuple[bool, Content] | None, *rest: object) -> str:
    held = disk and (disk[0], disk[1] and (disk[1][0], disk[1][2]))
    return f"{going}{held}{rest}"


def disks_signatures(world: World, tikv: list[int], pd: list[int]) -> list[tuple[object, ...]]:
    said: list[list[object]] = [
        [disk.sound, disk.content and owner(disk.content, tikv, pd)] for disk in world.disks
    ]
    for names, places in ((tikv, world.tikv), (pd, world.pd)):
        for i, place in enumerate(places):
            if place.claim is not None and place.claim.disk is not None:
                said[place.claim.disk].append((names is tikv, names[i]))
    for note in world.notes:
        said[note.disk].append((owner(note.owner, tikv, pd), note.state))
    for deed in world.job or ():
        if deed[0] in ("note", "settle", "forget"):
            said[deed[1]].append(deed[0])  # type: ignore[call-overload]
    return [tuple(one) for one in said]


def node_signatures(
    world: World, disks: list[tuple[object, ...]], tikv: list[int], pd: list[int]
) -> list[tuple[object, ...]]:
    said: list[list[object]] = [[state] for state in world.nodes]
    for names, places in ((tikv, world.tikv), (pd, world.pd)):
        for i, place in enumerate(places):
            if place.pod is not None and place.pod.node is not None:
                said[place.pod.node].append((names is tikv, names[i]))
    of_node: list[list[str]] = [[] for _ in world.nodes]
    for i, disk in enumerate(world.disks):
        of_node[disk.node].append(str(disks[i]))
    # Sorted: the order in which pods stand in the tuple must not tell twins apart.
    return [
        (said[i][0], sorted(str(one) for one in said[i][1:]), sorted(of_node[i]))
        for i in range(len(world.nodes))
    ]


def owner(held: tuple[str, int, int], tikv: list[int], pd: list[int]) -> tuple[str, int, int]:
    component, i, k = held
    return (component, (tikv if component == "tikv" else pd)[i], k)


def renamed(
    world: World,
    nodes: list[int],
    disks: list[int],
    tikv: list[int],
    pd: list[int],
    numbers: Mapping[tuple[str, int, int], int] = NO_NUMBERS,
) -> World:
    """New name by old name; `numbers`: by whose an identity is and its old number."""

    def places(old: tuple[Place, ...], names: list[int]) -> tuple[Place, ...]:
        new = [old[0]] * len(old)
        for i, (claim, pod) in enumerate(old):
            new[names[i]] = Place(
                Claim(None if claim.disk is None else disks[claim.disk], claim.deleting)
                if claim is not None
                else None,
                Pod(None if pod.node is None else nodes[pod.node], pod.deleting)
                if pod is not None
                else None,
            )
        return tuple(new)

    def store(one: tuple[int, int]) -> tuple[int, int]:
        i, k = one
        return tikv[i], numbers.get(("tikv", i, k), k)

    def member(one: tuple[int, int]) -> tuple[int, int]:
        i, k = one
        return pd[i], numbers.get(("pd", i, k), k)

    def whose(old: tuple[str, int, int]) -> tuple[str, int, int]:
        return (old[0], *(store if old[0] == "tikv" else member)(old[1:]))

    def stores(some: frozenset[tuple[int, int]]) -> frozenset[tuple[int, int]]:
        return frozenset(map(store, some))

    def members(some: frozenset[tuple[int, int]]) -> frozenset[tuple[int, int]]:
        return frozenset(map(member, some))

    def deed(old: tuple[object, ...]) -> tuple[object, ...]:
        match old:
            case ("unevict", (int(i), int(k))):
                return ("unevict", store((i, k)))
            case ("retire" | "force" as how, (int(i), int(k)), int(leader)):
                return (how, store((i, k)), pd[leader])
            case ("remove", (int(i), int(k)), *rest):
                return ("remove", member((i, k)), *rest)
            case ("note" | "settle" | "forget" as how, int(d), (str(c), int(i), int(k)), *rest):
                return (how, disks[d], whose((c, i, k)), *rest)
            case ("claim", str(c), int(i), int(d)):
                return ("claim", c, (tikv if c == "tikv" else pd)[i], disks[d])
            case ("pod", str(c), int(i), *rest):
                return ("pod", c, (tikv if c == "tikv" else pd)[i], *rest)
        raise ValueError(f"no such deed: {old}")

    new_nodes = [world.nodes[0]] * len(nodes)
    for i, state in enumerate(world.nodes):
        new_nodes[nodes[i]] = state
    new_disks = [world.disks[0]] * len(disks)
    for i, d in enumerate(world.disks):
        held = None if d.content is None else whose(d.content)
        new_disks[disks[i]] = Disk(nodes[d.node], d.sound, held)
    seen = world.reading
    return world._replace(
        nodes=tuple(new_nodes),
        disks=tuple(new_disks),
        tikv=places(world.tikv, tikv),
        pd=places(world.pd, pd),
        stores=tuple(sorted(Store(store(s.id), s.kind, s.beat) for s in world.stores)),
        peers=stores(world.peers),
        members=tuple(sorted(Member(member(m.id), m.named) for m in world.members)),
        leader=None if world.leader is None else pd[world.leader],
        unheard=stores(world.unheard),
        notes=tuple(sorted(Note(disks[n.disk], whose(n.owner), n.state) for n in world.notes)),
        reading=None
        if seen is None
        else Reading(
            pd[seen.leader],
            stores(seen.known),
            stores(seen.moved),
            members(seen.unhealthy),
            members(seen.nameless),
            seen.watched,
            seen.steady,
            seen.aged,
        ),
        job=None if world.job is None else tuple(sorted((deed(d) for d in world.job), key=repr)),
    )
