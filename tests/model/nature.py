"""What happens to a world without the job: faults, of which a run allows a few, and what then follows by itself."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.world import (
    AWAY_FOR_LONG,
    Claim,
    Disk,
    Member,
    NodeState,
    Place,
    Pod,
    Step,
    Store,
    StoreId,
    World,
    all_places,
    beating,
    content,
    healthy,
    intact,
    led,
    put,
    quorum,
    runs,
    with_place,
    with_store,
)


def faults(world: World) -> Iterator[Step]:
    """What may break, while the world still has faults to spend."""
    if not world.faults:
        return
    spent = world._replace(faults=world.faults - 1)
    mortal = len(world.nodes) - world.sheltered
    for i, state in enumerate(world.nodes[:mortal]):
        if state == "up":
            yield f"node {i} falls silent", settled_leader(with_node(spent, i, "short"))
            yield f"the kubelet of node {i} dies", with_node(spent, i, "deaf")
        if state != "gone":
            # Also a healthy machine's Node object, by a person's mistake or after it was silent.
            yield f"Node {i} is deleted", settled_leader(node_deleted(spent, i))
    for i, disk in enumerate(world.disks):
        if disk.sound and disk.content is not None and disk.node < mortal:
            yield (
                f"disk {i} fails",
                settled_leader(
                    spent._replace(disks=put(spent.disks, i, disk._replace(sound=False)))
                ),
            )
    for member in sorted(healthy(world)):
        if member[0] != world.leader and led(world):
            yield f"PD's leader moves to pd-{member[0]}", new_leader(spent, member[0])


def with_node(world: World, node: int, state: NodeState) -> World:
    return world._replace(nodes=put(world.nodes, node, state))


def recoveries(world: World) -> Iterator[Step]:
    """What may come back; free of charge, and at any time."""
    for i, state in enumerate(world.nodes):
        if state != "up":
            yield (
                f"node {i} comes back",
                settled_leader(world._replace(nodes=put(world.nodes, i, "up"))),
            )


def nature(world: World) -> Iterator[Step]:
    """What Kubernetes, the volume controller, PD and time do by themselves."""
    yield from time_passes(world)
    yield from kubernetes(world)
    yield from volumes(world)
    if led(world):
        yield from members_join(world)
        yield from stores_register(world)
        yield from regions_move(world)


# --- PD's leader ----------------------------------------------------------------------------------


def new_leader(world: World, ordinal: int) -> World:
    """Another member leads: it knows every store's stored heartbeat only."""
    reading = world.reading
    if reading is not None and reading.watched:
        reading = reading._replace(steady=False)
    live = frozenset(s.id for s in world.stores if s.kind in ("live", "offline"))
    return world._replace(leader=ordinal, unheard=live, reading=reading)


def settled_leader(world: World) -> World:
    """Elect another leader when the old one is gone and a majority is left."""
    if led(world):
        return world
    if not quorum(world):
        return world._replace(leader=None) if world.leader is not None else world
    return new_leader(world, min(healthy(world))[0])


# --- Time -----------------------------------------------------------------------------------------


def time_passes(world: World) -> Iterator[Step]:
    """One store's heartbeat after a change of leader; 15 s; or half an hour."""
    if led(world):
        alive = beating(world)
        for store_id in sorted(world.unheard & alive):
            yield f"store {store_id} heartbeats", heartbeat(world, store_id)
        soon = world
        for store_id in sorted(alive):
            soon = heartbeat(soon, store_id)
        for store in soon.stores:
            if store.id not in alive and store.beat == "fresh":
                soon = with_store(soon, store.id, beat="short")
        if soon.reading is not None:
            soon = soon._replace(reading=soon.reading._replace(aged=True))
        if soon != world:
            yield "15 s pass", soon
    if any(state in AWAY_FOR_LONG for state in world.nodes) or any(
        s.beat == "short" for s in world.stores
    ):
        late = world._replace(nodes=tuple(AWAY_FOR_LONG.get(state, state) for state in world.nodes))
        for store in late.stores:
            if store.beat == "short":
                late = with_store(late, store.id, beat="long")
        for component, ordinal, place in all_places(late):
            # Pods on a node that stays silent are evicted, and never confirmed dead.
            if (
                place.pod is not None
                and place.pod.node is not None
                and late.nodes[place.pod.node] in AWAY_FOR_LONG.values()
            ):
                evicted = place._replace(pod=place.pod._replace(deleting=True))
                late = with_place(late, component, ordinal, evicted)
        yield "half an hour passes", late


def heartbeat(world: World, store_id: StoreId) -> World:
    world = with_store(world, store_id, beat="fresh")._replace(unheard=world.unheard - {store_id})
    if world.reading is not None:
        world = world._replace(
            reading=world.reading._replace(moved=world.reading.moved | {store_id})
        )
    return world


# --- Kubernetes -----------------------------------------------------------------------------------


def node_deleted(world: World, node: int) -> World:
    """Its pods are collected. The machine and its disks are out of sight, perhaps not for ever."""
    world = world._replace(nodes=put(world.nodes, node, "gone"))
    for component, ordinal, place in all_places(world):
        if place.pod is not None and place.pod.node == node:
            world = with_place(world, component, ordinal, made_anew(place._replace(pod=None)))
    return world


def kubernetes(world: World) -> Iterator[Step]:
    """The next thing that the kubelet, the claim protection, the StatefulSet controller or the scheduler does
    to a place.

    A claim that may go and is made anew, and a pod that is gone and is made anew, are one step each: nobody
    can act in between on what is not there. (The random walks of test_walks.py take them apart.)
    """
    for component, ordinal, place in all_places(world):
        name = f"{component}-{ordinal}"
        claim, pod = place
        if (
            pod is not None
            and pod.deleting
            and pod.node is not None
            and world.nodes[pod.node] == "up"
        ):
            yield (
                f"{name} has stopped",
                settled_leader(
                    with_place(world, component, ordinal, made_anew(Place(claim, None)))
                ),
            )
        elif made_anew(place) != place:
            yield f"{name} is made anew", with_place(world, component, ordinal, made_anew(place))
        elif pod is not None and pod.node is None and claim is not None:
            for node, disk in fitting(world, component, ordinal, claim):
                bound = Place(Claim(disk, False), Pod(node, False))
                yield (
                    f"{name} starts on node {node}, disk {disk}",
                    settled_leader(with_place(world, component, ordinal, bound)),
                )


def misled(world: World) -> Iterator[Step]:
    """The scheduler puts a new pod where the claim before its own had its disk: it had chosen in the moment that
    the claim went. Seen on the test cluster when the API server came back.

    Free of charge, and as often as there is such a disk; but no part of a fair round.
    """
    for component, ordinal, (claim, pod) in all_places(world):
        if claim is None or claim.disk is not None or pod is None or pod.node is not None:
            continue
        for disk in world.disks:
            held = disk.content is not None and disk.content[:2] == (component, ordinal)
            if held and world.nodes[disk.node] == "up":
                yield (
                    f"{component}-{ordinal} goes to node {disk.node} by its old claim",
                    with_place(world, component, ordinal, Place(claim, Pod(disk.node, False))),
                )


def made_anew(place: Place) -> Place:
    """A claim that nothing holds any more goes; what a place lacks is made."""
    claim, pod = place
    if claim is not None and claim.deleting and (pod is None or pod.node is None):
        claim = None
    return Place(claim or Claim(None, False), pod or Pod(None, False))


def fitting(world: World, component: str, ordinal: int, claim: Claim) -> Iterator[tuple[int, int]]:
    """Where the scheduler may put a pod: on its claim's disk, or on any free one."""
    places = world.tikv if component == "tikv" else world.pd
    taken = {p.claim.disk for _, _, p in all_places(world) if p.claim is not None}
    for index, disk in enumerate(world.disks):
        if world.nodes[disk.node] != "up":
            continue
        crowded = any(
            p.pod is not None and p.pod.node == disk.node
            for i, p in enumerate(places)
            if i != ordinal
        )
        if crowded and not world.soft:
            continue
        free = claim.disk is None and disk.content is None and disk.sound and index not in taken
        if index == claim.disk or free:
            yield disk.node, index


def volumes(world: World) -> Iterator[Step]:
    """The volume controller clears a released disk whose owner is final, and forgets the note with it."""
    taken = {p.claim.disk for _, _, p in all_places(world) if p.claim is not None}
    for note in world.notes:
        disk = world.disks[note.disk]
        if (
            note.disk not in taken
            and note.state != "Retiring"
            and world.nodes[disk.node] == "up"
            and disk.sound
        ):
            cleared = Disk(disk.node, True, None)
            yield (
                f"disk {note.disk} is cleared",
                world._replace(
                    disks=put(world.disks, note.disk, cleared),
                    notes=tuple(n for n in world.notes if n != note),
                ),
            )


# --- PD -------------------------------------------------------------------------------------------


def members_join(world: World) -> Iterator[Step]:
    """An empty member joins in two steps: it is added without a name, then it comes up."""
    for ordinal, place in enumerate(world.pd):
        if not runs(world, place) or place.claim is None or place.claim.disk is None:
            continue
        joining = [m for m in world.members if not m.named and m.id[0] == ordinal]
        if content(world, place) is not None:
            continue
        if joining:
            member = joining[0]
            disk = world.disks[place.claim.disk]
            yield (
                f"pd-{ordinal} comes up as member {member.id}",
                world._replace(
                    members=tuple(
                        m._replace(named=True) if m == member else m for m in world.members
                    ),
                    disks=put(
                        world.disks, place.claim.disk, disk._replace(content=("pd", *member.id))
                    ),
                ),
            )
        # etcd takes a new member only while all others are healthy, and none is half-joined.
        elif len(healthy(world)) == len(world.members) and ordinal not in {
            m.id[0] for m in world.members
        }:
            fresh = next_id(world, "pd", ordinal)
            members = tuple(sorted((*world.members, Member(fresh, False))))
            yield f"pd-{ordinal} is added", world._replace(members=members)


def stores_register(world: World) -> Iterator[Step]:
    """TiKV on an empty disk writes an identity and registers it, unless a live store holds its address."""
    for ordinal, place in enumerate(world.tikv):
        held = {s.id[0] for s in world.stores if s.kind in ("live", "offline")}
        if (
            not runs(world, place)
            or place.claim is None
            or place.claim.disk is None
            or ordinal in held
        ):
            continue
        if content(world, place) is None:
            fresh = next_id(world, "tikv", ordinal)
            disk = world.disks[place.claim.disk]
            yield (
                f"store {fresh} registers",
                world._replace(
                    stores=tuple(sorted((*world.stores, Store(fresh, "live", "never")))),
                    disks=put(
                        world.disks, place.claim.disk, disk._replace(content=("tikv", *fresh))
                    ),
                ),
            )


def next_id(world: World, component: str, ordinal: int) -> tuple[int, int]:
    """The ordinal's next identity. What nothing in the world remembers may be used again: it keeps the worlds
    few.
    """
    used = {
        d.content[1:] for d in world.disks if d.content is not None and d.content[0] == component
    }
    used |= {s.id for s in world.stores} if component == "tikv" else {m.id for m in world.members}
    used |= {note.owner[1:] for note in world.notes if note.owner[0] == component}
    if world.reading is not None:
        used |= (
            world.reading.known
            if component == "tikv"
            else world.reading.unhealthy | world.reading.nameless
        )
    for action in world.job or ():
        used |= {part for part in action if isinstance(part, tuple) and len(part) == 2}
    return next((ordinal, k) for k in range(100) if (ordinal, k) not in used)


def regions_move(world: World) -> Iterator[Step]:
    """Replicas leave stores that are Down, Offline or destroyed; a retired store without any becomes a
    Tombstone.
    """
    leaving = {
        s.id
        for s in world.stores
        if s.kind in ("offline", "destroyed") or (s.kind == "live" and s.beat == "long")
    }
    up = (
        beating(world)
        & intact(world)
        & {s.id for s in world.stores if s.kind == "live" and s.beat == "fresh"}
    )
    sources = {p for p in world.peers if p in beating(world) and p in intact(world)}
    if 2 * len(sources) > len(world.peers):
        for peer in sorted(world.peers & leaving):
            for target in sorted(up - world.peers):
                yield (
                    f"replicas move from {peer} to {target}",
                    world._replace(peers=world.peers - {peer} | {target}),
                )
    for store in world.stores:
        if store.kind in ("offline", "destroyed") and store.id not in world.peers:
            dead = with_store(world, store.id, kind="tombstone")
            yield f"store {store.id} is Tombstone", dead._replace(unheard=dead.unheard - {store.id})
