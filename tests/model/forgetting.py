"""What of a world nothing that can happen still asks for: without it, many worlds are one.

That nothing is lost by it is tested (test_forgetting.py): whatever can happen to a world can happen to the one that has
forgotten, and leads to the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.world import NodeState, Reading, World

FINAL = frozenset({"Tombstone", "Destroyed", "Removed"})
AWAY: frozenset[NodeState] = frozenset({"short", "deaf", "deaf long"})


def forgotten(world: World) -> World:
    return _nodes(_reading(_stores(_notes(world))))


def _notes(world: World) -> World:
    """Which of the final states a note has is for people."""
    if all(note.state not in FINAL or note.state == "Destroyed" for note in world.notes):
        return world
    return world._replace(
        notes=tuple(n._replace(state="Destroyed") if n.state in FINAL else n for n in world.notes)
    )


def _stores(world: World) -> World:
    """When a retired store was heard last (a minute ago, as far as anybody looks: that hides least from a plan that
    does not ask for its regions); and a Tombstone that lies on no disk and whose ordinal has a store again.
    """
    if all(store.kind in ("live", "offline") for store in world.stores):
        return world
    filled = {store.id[0] for store in world.stores if store.kind in ("live", "offline")}
    spoken_of = set(identities(world._replace(stores=(), reading=None)))
    return world._replace(
        stores=tuple(
            store._replace(beat="short") if store.kind in ("destroyed", "tombstone") else store
            for store in world.stores
            if store.kind != "tombstone"
            or store.id[0] not in filled
            or ("tikv", *store.id) in spoken_of
        )
    )


def _reading(world: World) -> World:
    """What the earlier reading said of stores that are retired and members that are no more, or have a name now; and
    all of it when it is evidence against nobody: whoever falls silent after it has moved since.
    """
    seen = world.reading
    if seen is None:
        return world
    live = {store.id for store in world.stores if store.kind in ("live", "offline")}
    members = {member.id for member in world.members}
    nameless = {member.id for member in world.members if not member.named}
    seen = seen._replace(
        known=seen.known & live,
        moved=seen.moved & live,
        unhealthy=seen.unhealthy & members,
        nameless=seen.nameless & nameless,
    )
    suspects = (seen.known - seen.moved) | seen.unhealthy | seen.nameless
    retiring = any(deed[0] in ("retire", "force") for deed in world.job or ())
    if seen.aged and not suspects and not retiring:
        leader, nobody = world.leader or 0, frozenset[tuple[int, int]]()
        seen = Reading(
            leader, nobody, nobody, nobody, nobody, watched=False, steady=True, aged=True
        )
    return world._replace(reading=seen)


def _nodes(world: World) -> World:
    """How and for how long a node is away that nobody lives on."""
    if AWAY.isdisjoint(world.nodes):
        return world
    places = (*world.tikv, *world.pd)
    used = {p.pod.node for p in places if p.pod is not None}
    used |= {
        world.disks[p.claim.disk].node
        for p in places
        if p.claim is not None and p.claim.disk is not None
    }
    return world._replace(
        nodes=tuple(
            "long" if state in AWAY and i not in used else state
            for i, state in enumerate(world.nodes)
        )
    )


def identities(world: World) -> Iterator[tuple[str, int, int]]:
    """Of every store and member that is still spoken of."""
    yield from (("tikv", *store.id) for store in world.stores)
    yield from (("pd", *member.id) for member in world.members)
    yield from (disk.content for disk in world.disks if disk.content is not None)
    yield from (note.owner for note in world.notes)
    if world.reading is not None:
        yield from (("tikv", *one) for one in world.reading.known)
        yield from (("pd", *one) for one in world.reading.unhealthy | world.reading.nameless)
    for deed in world.job or ():
        match deed:
            case ("unevict" | "retire" | "force", (int(i), int(k)), *_):
                yield "tikv", i, k
            case ("remove", (int(i), int(k)), *_):
                yield "pd", i, k
            case ("note" | "settle" | "forget", _, (str(component), int(i), int(k)), *_):
                yield component, i, k
