"""A small cluster as a value: machines, disks, Kubernetes, PD, one region set, and the failover job itself.

Everything that can happen is a function World → Worlds: `faults` (what breaks or changes leader), `nature`
(what Kubernetes, PD and the passing of time do by themselves) and, in deeds.py, the job's own steps. What the
plan gets to see of a world is in sight.py. Behaviours are those of reference/tidb.md and of the recorded
answers of a real PD:

- Live stores heartbeat every 10 s; one that does not reads Disconnected, then Down. After a change of leader
  every store reads Disconnected until its next heartbeat, with an older heartbeat than before.
- Force retires anything at once; a plain DELETE counts Down stores as Up. A retired store's own heartbeats
  count for nothing.
- A region's peers move away from Down, Offline and destroyed stores while a majority of them lives and a spare
  store is there.
- A PD member that is not listed does not leave by itself; one whose disk is empty joins when its name is not
  listed.
- A claim goes only after its pod; a pod on a lost node only by force; a deleted Node's pods are collected.

Left out: time beyond "a while" and "long", several region sets, learners (a replica moves in one step), TiFlash,
network volumes (test_gates.py has those).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeVar

Ordinal = int
DiskId = int
StoreId = tuple[Ordinal, int]  # (ordinal, which of its stores): ids are never used twice
MemberId = tuple[Ordinal, int]
Content = tuple[str, Ordinal, int] | None  # ("tikv" | "pd", ordinal, which); None: empty

NodeState = Literal["up", "short", "long", "gone", "deaf", "deaf long"]
# short, long: silent and NotReady, for less or more than `after`; gone: the Node object was deleted
# deaf: the kubelet is dead, so the Node is NotReady, and all that runs there runs on


ALIVE = frozenset({"up", "deaf", "deaf long"})
AWAY_FOR_LONG: dict[NodeState, NodeState] = {"short": "long", "deaf": "deaf long"}
"""What half an hour makes of a node that is NotReady."""


class Claim(NamedTuple):
    disk: DiskId | None
    deleting: bool


class Pod(NamedTuple):
    node: int | None
    deleting: bool


class Place(NamedTuple):
    """One ordinal."""

    claim: Claim | None
    pod: Pod | None


class Disk(NamedTuple):
    node: int
    sound: bool
    content: Content


class Store(NamedTuple):
    """PD's record. kind: live, offline, destroyed, tombstone. beat: fresh, short, long (ago), never."""

    id: StoreId
    kind: str
    beat: str


class Member(NamedTuple):
    id: MemberId
    named: bool


class Note(NamedTuple):
    """An entry of the journal: this disk holds that owner's data."""

    disk: DiskId
    owner: tuple[str, Ordinal, int]
    state: str


class Reading(NamedTuple):
    """The first of two readings. `moved` grows as stores heartbeat after it; `aged`: at least 15 s have passed."""

    leader: Ordinal
    known: frozenset[StoreId]
    moved: frozenset[StoreId]
    unhealthy: frozenset[MemberId]
    nameless: frozenset[MemberId]
    watched: bool
    steady: bool
    aged: bool


class World(NamedTuple):
    nodes: tuple[NodeState, ...]
    disks: tuple[Disk, ...]
    tikv: tuple[Place, ...]
    pd: tuple[Place, ...]
    stores: tuple[Store, ...]
    peers: frozenset[StoreId]
    members: tuple[Member, ...]
    leader: Ordinal | None
    unheard: frozenset[StoreId]
    notes: tuple[Note, ...]
    reading: Reading | None
    job: tuple[tuple[object, ...], ...] | None
    """None: idle. Else the actions that the last plan wants and that were not tried yet."""
    faults: int
    soft: bool
    """More than one pod of a component may share a node."""
    replicas: int
    """max-replicas."""
    sheltered: int
    """How many of the last nodes never fail: it keeps a component out of the faults."""


Step = tuple[str, World]


def start(
    nodes: int = 4,
    tikv: int = 3,
    pd: int = 3,
    *,
    soft: bool = False,
    disks: int = 2,
    faults: int = 2,
    shelter: str = "",
) -> World:
    """A healthy cluster: TiKV i and PD i on node i, each on a disk of its own; every further disk is free.

    `shelter` names a component ("pd", "tikv") that lies on one more node, which nothing ever happens to.
    """
    all_disks: list[Disk] = []
    holds: dict[tuple[str, int], int] = {}
    homes = {(c, i): i % nodes for c, n in (("tikv", tikv), ("pd", pd)) for i in range(n)}
    homes |= {key: nodes for key in homes if key[0] == shelter}
    count = nodes + (1 if shelter else 0)
    for node in range(count):
        wanted = [key for key, home in homes.items() if home == node]
        for slot in range(len(wanted) if node == nodes else max(disks, len(wanted))):
            content: Content = None
            if slot < len(wanted):
                content = (*wanted[slot], 0)
                holds[wanted[slot]] = len(all_disks)
            all_disks.append(Disk(node, True, content))

    def place(component: str, ordinal: int) -> Place:
        key = (component, ordinal)
        return Place(Claim(holds[key], False), Pod(homes[key], False))

    return World(
        nodes=tuple("up" for _ in range(count)),
        disks=tuple(all_disks),
        tikv=tuple(place("tikv", i) for i in range(tikv)),
        pd=tuple(place("pd", i) for i in range(pd)),
        stores=tuple(Store((i, 0), "live", "fresh") for i in range(tikv)),
        peers=frozenset((i, 0) for i in range(min(3, tikv))),
        members=tuple(Member((i, 0), True) for i in range(pd)),
        leader=0,
        unheard=frozenset(),
        notes=(),
        reading=None,
        job=None,
        faults=faults,
        soft=soft,
        replicas=3,
        sheltered=1 if shelter else 0,
    )


Truth = TypeVar("Truth")


def remembered(truth: Callable[[World], Truth]) -> Callable[[World], Truth]:
    """Asked of the same world again, as its successors are made, it answers from memory; told apart by identity, since
    to compare worlds costs more than to look.
    """
    last: list[tuple[World, Truth]] = []

    def ask(world: World) -> Truth:
        if not last or last[0][0] is not world:
            last[:] = [(world, truth(world))]
        return last[0][1]

    return ask


# --- What is true, whether anybody sees it or not -------------------------------------------------


def content(world: World, place: Place) -> Content:
    """What lies on the disk that a place's claim holds."""
    if place.claim is None or place.claim.disk is None:
        return None
    return world.disks[place.claim.disk].content


def runs(world: World, place: Place) -> bool:
    """Whether the pod's process is up: on a reachable node, with a sound disk of its own."""
    return (
        place.pod is not None
        and place.pod.node is not None
        and world.nodes[place.pod.node] in ALIVE
        and place.claim is not None
        and place.claim.disk is not None
        and world.disks[place.claim.disk].sound
    )


def running_store(world: World, ordinal: Ordinal) -> StoreId | None:
    """The identity of the TiKV process that runs at this ordinal."""
    place = world.tikv[ordinal]
    held = content(world, place)
    return (held[1], held[2]) if runs(world, place) and held is not None else None


def running_member(world: World, ordinal: Ordinal) -> MemberId | None:
    place = world.pd[ordinal]
    held = content(world, place)
    return (held[1], held[2]) if runs(world, place) and held is not None else None


@remembered
def healthy(world: World) -> frozenset[MemberId]:
    """Members that PD lists and whose process runs with that identity."""
    listed = {member.id for member in world.members if member.named}
    return frozenset(
        member
        for i in range(len(world.pd))
        if (member := running_member(world, i)) in listed and member
    )


def quorum(world: World) -> bool:
    return 2 * len(healthy(world)) > len(world.members)


def led(world: World) -> bool:
    """Whether PD has a leader that answers."""
    return (
        quorum(world)
        and world.leader is not None
        and world.leader in {m[0] for m in healthy(world)}
    )


@remembered
def beating(world: World) -> frozenset[StoreId]:
    """Stores that are not retired and whose process runs."""
    live = {store.id for store in world.stores if store.kind in ("live", "offline")}
    return frozenset(
        store
        for i in range(len(world.tikv))
        if (store := running_store(world, i)) in live and store
    )


def intact(world: World) -> frozenset[StoreId]:
    """Stores whose data still lies on a sound disk of a machine that was not taken away for good."""
    return frozenset(
        (disk.content[1], disk.content[2])
        for disk in world.disks
        if disk.content is not None and disk.content[0] == "tikv" and disk.sound
    )


def reads_up(world: World, store: Store) -> bool:
    """Whether PD calls it Up."""
    return store.kind == "live" and store.beat == "fresh" and store.id not in world.unheard


def well(world: World) -> bool:
    """Everything is as it should be: every ordinal Up or healthy, nothing under way."""
    return (
        led(world)
        and len(healthy(world)) == len(world.pd) == len(world.members)
        and all(
            any(reads_up(world, s) and s.id[0] == i for s in world.stores)
            for i in range(len(world.tikv))
        )
        and all(
            store.kind in ("live", "tombstone") and (store.kind != "live" or reads_up(world, store))
            for store in world.stores
        )
        and not any(note.state == "Retiring" for note in world.notes)
    )


# --- Changing a value -----------------------------------------------------------------------------


def put(sequence: tuple, index: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*sequence[:index], value, *sequence[index + 1 :])


def with_place(world: World, component: str, ordinal: Ordinal, place: Place) -> World:
    """Change a place; what the job still wanted to do to a claim or pod that is another one now can no longer
    happen.
    """
    places = world.tikv if component == "tikv" else world.pd
    before = places[ordinal]
    job = world.job
    if job is not None:
        old = set()
        if (before.claim is None) != (place.claim is None) or (
            before.claim and place.claim and before.claim.disk != place.claim.disk
        ):
            old.add("claim")
        if (before.pod is None) != (place.pod is None):
            old.add("pod")
        job = tuple(a for a in job if not (a[0] in old and a[1:3] == (component, ordinal)))
    changed = put(places, ordinal, place)
    return (
        world._replace(job=job, tikv=changed)
        if component == "tikv"
        else world._replace(job=job, pd=changed)
    )


def with_store(world: World, store_id: StoreId, **fields: str) -> World:
    return world._replace(
        stores=tuple(s._replace(**fields) if s.id == store_id else s for s in world.stores)  # type: ignore[arg-type]
    )


def all_places(world: World) -> Iterator[tuple[str, Ordinal, Place]]:
    yield from (("tikv", i, place) for i, place in enumerate(world.tikv))
    yield from (("pd", i, place) for i, place in enumerate(world.pd))
