"""What the job sees of a World: the Snapshot that its observe step would read, and a checker that refuses
impossible ones.

Ids and times are spelled out by rule, so that an action of the plan can be read back into the model (deeds.py).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hooks import pd
from hooks.failover.model import (
    Claim,
    Component,
    Disk,
    Entry,
    EntryState,
    Node,
    PdSilent,
    PdView,
    Pod,
    Reading,
    Regions,
    Silence,
    Slot,
    Snapshot,
    Volume,
    member_owner,
    store_owner,
)
from hooks.failover.plan import store_in_question
from hooks.failover.quorum import majority
from tests.model.world import (
    MemberId,
    Note,
    Place,
    Store,
    StoreId,
    World,
    beating,
    healthy,
    intact,
    led,
    reads_up,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=30)
CLUSTER = 7710175945323556207
SECOND = 10**9
NOW_NS = int(NOW.timestamp()) * SECOND
BEATS = {
    "fresh": NOW_NS,
    "short": NOW_NS - 60 * SECOND,
    "long": NOW_NS - 3600 * SECOND,
    "never": 0,
}
STORED = NOW_NS - 200 * SECOND
"""The heartbeat that a new leader knows of a store: up to 5 min old."""
GIB = 2**30


def store_number(store: StoreId) -> int:
    return 10 * store[0] + store[1] + 1


def member_number(member: MemberId) -> int:
    # Beyond 2^53, as real ones: a float anywhere on the way would show.
    return 2**60 + 10 * member[0] + member[1] + 1


def store_of(number: int) -> StoreId:
    return divmod(number - 1, 10)


def member_of(number: int) -> MemberId:
    return divmod(number - 2**60 - 1, 10)


def address(ordinal: int) -> str:
    return f"basic-tikv-{ordinal}.basic-tikv-peer.db.svc:20160"


def snapshot(world: World) -> Snapshot:
    view = pd_view(world)
    entries = tuple(entry(note) for note in world.notes)
    if isinstance(view, PdView):
        question = store_in_question(view, entries)
        if question is not None:
            view = with_regions(view, world, store_of(question.id))
    return Snapshot(
        now=NOW,
        release="basic",
        namespace="db",
        recorded_cluster=CLUSTER,
        record="ConfigMap db/basic-cluster",
        pd=view,
        earlier=reading(world),
        entries=entries,
        # As if every run at rest had noted them: who is missing here was never well.
        homes={
            owner: f"pv-{i}"
            for i, disk in enumerate(world.disks)
            if disk.content is not None and (owner := owner_name(*disk.content)) in known(world)
        },
        slots=slots(world),
        nodes={f"n{i}": node(i, state) for i, state in enumerate(world.nodes) if state != "gone"},
        disks=free_disks(world),
        busy={
            (component, f"n{place.pod.node}"): f"basic-{component}-{i}"
            for component, places in ((Component.TIKV, world.tikv), (Component.PD, world.pd))
            for i, place in enumerate(places)
            if place.pod is not None and place.pod.node is not None
        },
        spread={Component.TIKV: world.soft, Component.PD: world.soft},
    )


def pd_view(world: World) -> PdView | PdSilent:
    if not led(world):
        return PdSilent(Silence.NO_LEADER, "GET /pd/api/v1/leader found no PD leader in 30 s")
    well = healthy(world)
    members = tuple(
        pd.Member(member_number(m.id), f"basic-pd-{m.id[0]}" if m.named else "", (), ())
        for m in world.members
    )
    assert world.leader is not None
    leader = next(m for m in members if m.name == f"basic-pd-{world.leader}")
    return PdView(
        cluster_id=CLUSTER,
        leader=leader,
        leader_steady=world.reading is None or world.reading.steady,
        leader_watched=world.reading is not None and world.reading.watched,
        members=members,
        health=tuple(
            pd.MemberHealth(member.id, member.name, raw.id in well)
            for raw, member in zip(world.members, members, strict=True)
        ),
        stores=tuple(pd_store(world, store) for store in world.stores),
        replication=pd.Replication(world.replicas, "", ""),
    )


def pd_store(world: World, store: Store) -> pd.Store:
    state = {
        "offline": pd.StoreState.OFFLINE,
        "destroyed": pd.StoreState.OFFLINE,
        "tombstone": pd.StoreState.TOMBSTONE,
    }.get(store.kind)
    if state is None:
        down = store.beat in ("long", "never")
        state = pd.StoreState.DOWN if down else pd.StoreState.DISCONNECTED
        state = pd.StoreState.UP if reads_up(world, store) else state
    return pd.Store(
        id=store_number(store.id),
        address=address(store.id[0]),
        state=state,
        state_name=state.value,
        physically_destroyed=store.kind == "destroyed",
        last_heartbeat_ns=beat(world, store),
        heard=store.id not in world.unheard,
        region_count=34 if store.id in world.peers else 0,
        leader_count=0,
        start_ns=NOW_NS - (60 if store.id in beating(world) else 7200) * SECOND,
    )


def beat(world: World, store: Store) -> int:
    """The last heartbeat that PD's present leader knows; one that it has not heard itself is the stored one."""
    known = BEATS[store.beat]
    return min(known, STORED) if store.id in world.unheard and known else known


def reading(world: World) -> Reading | None:
    """The earlier reading: what moved since had an older heartbeat, the rest had the one of now."""
    seen = world.reading
    if seen is None:
        return None
    now = {store.id: beat(world, store) for store in world.stores}
    return Reading(
        taken=NOW - timedelta(seconds=60 if seen.aged else 5),
        leader=next(
            (member_number(m.id) for m in world.members if m.named and m.id[0] == seen.leader), 1
        ),
        beats={
            store_number(s): now.get(s, 0) - (15 * SECOND if s in seen.moved else 0)
            for s in seen.known
        },
        unhealthy=frozenset(member_number(m) for m in seen.unhealthy),
        nameless=frozenset(member_number(m) for m in seen.nameless),
    )


def with_regions(view: PdView, world: World, store: StoreId) -> PdView:
    """As PD's lists would say it of the one region set: a voter counts as down once its region has missed it for long,
    and one on a destroyed store because the regions of each are asked for; as are the store's own.
    """
    missed = {s.id for s in world.stores if s.beat == "long"} - (beating(world) & intact(world))
    gone = world.peers & (missed | given_up(world) | {store})
    endangered = bool(gone) and len(world.peers - gone) < majority(len(world.peers))
    regions = Regions(
        store_number(store), 1 if gone else 0, 1 if endangered else 0, (2,) if endangered else ()
    )
    return PdView(**{**view.__dict__, "regions": regions})


def given_up(world: World) -> set[StoreId]:
    return {s.id for s in world.stores if s.kind == "destroyed"}


def known(world: World) -> set[str]:
    """Owners that PD still knows."""
    stores = {owner_name("tikv", *s.id) for s in world.stores if s.kind in ("live", "offline")}
    return stores | {owner_name("pd", *m.id) for m in world.members}


def owner_name(component: str, ordinal: int, which: int) -> str:
    if component == "tikv":
        return store_owner(store_number((ordinal, which)))
    return member_owner(member_number((ordinal, which)))


def entry(note: Note) -> Entry:
    component, ordinal, _ = note.owner
    return Entry(
        volume=f"pv-{note.disk}",
        volume_uid=f"uid-{note.disk}",
        claim=f"{component}-basic-{component}-{ordinal}",
        owner=owner_name(*note.owner),
        cluster=CLUSTER,
        state=EntryState(note.state),
        at=LONG_AGO,
    )


def slots(world: World) -> tuple[Slot, ...]:
    found = [slot(world, Component.PD, i, place) for i, place in enumerate(world.pd)]
    return (*found, *(slot(world, Component.TIKV, i, place) for i, place in enumerate(world.tikv)))


def slot(world: World, component: Component, ordinal: int, place: Place) -> Slot:
    claim = None
    if place.claim is not None:
        volume = None
        if place.claim.disk is not None:
            disk = world.disks[place.claim.disk]
            lost = world.nodes[disk.node] == "gone"
            phase = "Lost" if lost else "Bound" if disk.sound else "Failed"
            volume = Volume(
                f"pv-{place.claim.disk}",
                f"uid-{place.claim.disk}",
                f"n{disk.node}",
                phase,
                "io-error",
            )
        claim = Claim(
            name=f"{component}-basic-{component}-{ordinal}",
            uid=f"claim-{component}-{ordinal}",
            created=LONG_AGO,
            deleting=place.claim.deleting,
            volume=volume,
            storage_class="tidb-local",
            request_bytes=GIB,
        )
    pod = None
    if place.pod is not None:
        where = "" if place.pod.node is None else f"n{place.pod.node}"
        pod = Pod(
            f"basic-{component}-{ordinal}",
            f"pod-{component}-{ordinal}",
            where,
            NOW,
            place.pod.deleting,
        )
    return Slot(
        component=component,
        ordinal=ordinal,
        name=f"basic-{component}-{ordinal}",
        address=address(ordinal) if component is Component.TIKV else "",
        claim_name=f"{component}-basic-{component}-{ordinal}",
        claim=claim,
        pod=pod,
    )


def node(index: int, state: str) -> Node:
    spans = {"up": timedelta(days=9), "short": timedelta(minutes=2), "long": timedelta(hours=1)}
    since = NOW - spans["long" if state == "deaf long" else "short" if state == "deaf" else state]
    return Node(f"n{index}", f"n{index}", state == "up", since)


def free_disks(world: World) -> tuple[Disk, ...]:
    taken = {p.claim.disk for p in (*world.tikv, *world.pd) if p.claim is not None}
    return tuple(
        Disk(f"pv-{i}", f"n{disk.node}", "tidb-local", 10 * GIB)
        for i, disk in enumerate(world.disks)
        if i not in taken and disk.sound and disk.content is None
    )


def impossible(world: World) -> list[str]:
    """Everything about this world that cannot be: all of it, so that a broken builder is seen at once."""
    wrong = []
    claims = [
        p.claim.disk
        for p in (*world.tikv, *world.pd)
        if p.claim is not None and p.claim.disk is not None
    ]
    if len(claims) != len(set(claims)):
        wrong.append("two claims hold one disk")
    contents = [d.content for d in world.disks if d.content is not None]
    if len(contents) != len(set(contents)):
        wrong.append("one identity lies on two disks")
    live = [s.id[0] for s in world.stores if s.kind in ("live", "offline")]
    if len(live) != len(set(live)):
        wrong.append("two live stores hold one address")
    if unknown := world.peers - {s.id for s in world.stores}:
        wrong.append(f"a region has peers on stores that PD does not know: {sorted(unknown)}")
    if any(s.kind == "tombstone" and s.id in world.peers for s in world.stores):
        wrong.append("a Tombstone holds a peer")
    names = [m.id[0] for m in world.members if m.named]
    if len(names) != len(set(names)):
        wrong.append("two members have one name")
    for component, places in (("tikv", world.tikv), ("pd", world.pd)):
        for i, place in enumerate(places):
            if place.pod is not None and place.pod.node is not None:
                if world.nodes[place.pod.node] == "gone":
                    wrong.append(f"{component}-{i} runs on a Node that is deleted")
                if place.claim is None:
                    wrong.append(f"{component}-{i} is scheduled without a claim")
                elif place.claim.disk is None:
                    continue  # by the claim before this one (nature.misled)
                elif world.disks[place.claim.disk].node != place.pod.node:
                    wrong.append(f"{component}-{i} is on another node than its disk")
    return wrong
