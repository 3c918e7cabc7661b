"""Is it lost? Kubernetes' word, PD's word, and what each is worth. Pure functions over a Snapshot.

Both must agree, and each by its own clock:

- **Kubernetes** says that the data's place is out of reach: the Node object is gone, is marked out of service,
  has been NotReady for longer than `after`, the disk failed, or somebody took the claim away (`kubernetes_loss`).
- **PD** says that the store or member does not answer, in two readings at least 15 s apart from one leader.
  For a store the heartbeat must stand still while those of all others move, and be older than `after` *by PD's
  own clock*: the age is the distance to the newest heartbeat of the others, so that no clock of ours is
  compared with PD's.

One Disconnected or Down proves nothing: after a leader change or a restart of PD live stores read so for up to one
heartbeat, and a store that has just registered reads Down.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hooks.failover.model import (
    Node,
    PdView,
    Policy,
    Reading,
    Slot,
    Snapshot,
    Volume,
)
from hooks.pd import Member, Store, StoreState

SILENT = frozenset({StoreState.DISCONNECTED, StoreState.DOWN})
NANOSECONDS = 10**9


@dataclass(frozen=True)
class Lost:
    """Kubernetes' evidence. `code` is the kind, `words` the sentence's middle part.

    `silence` is how long PD must have heard nothing. `fenced`: the node can no longer write, whatever it still
    runs.
    """

    code: str
    words: str
    silence: timedelta
    fenced: bool

    @property
    def node_lost(self) -> bool:
        """The kubelet there will not confirm anything: a pod goes by force or not at all."""
        return self.code in ("node-deleted", "node-out-of-service", "node-not-ready")


@dataclass(frozen=True)
class NotLost:
    """No evidence (yet). `ends` says what would change that."""

    code: str
    words: str
    ends: str


def kubernetes_loss(slot: Slot, world: Snapshot, policy: Policy, owner: str = "") -> Lost | NotLost:
    """What Kubernetes knows about the place where this ordinal's data lies.

    `owner` ("store 5") is who should live there: when its home is known to be another volume, its data is not
    on this one.
    """
    after = policy.after(slot.component)
    claim = slot.claim
    if claim is None or (claim.volume is None and not claim.deleting):
        return Lost(
            "claim-gone", f"its claim {slot.claim_name} has no volume any more", after, True
        )
    volume = claim.volume
    if volume is None:
        return NotLost(
            "claim-deleting",
            f"its claim {claim.name} is being deleted and names no volume",
            "Kubernetes finishes that deletion",
        )
    home = world.homes.get(owner, volume.name)
    if home != volume.name:
        words = f"{owner} lived on volume {home}, and its claim {claim.name} now has {volume.name}"
        return Lost("claim-replaced", words, after, True)
    node = world.node_of(volume) if volume.local else pod_node(slot, world)
    if node is None:
        if not volume.local and (slot.pod is None or not slot.pod.node):
            return NotLost(
                "pod-moving",
                f"its volume {volume.name} is not tied to a node and its pod is between two",
                "the pod is scheduled",
            )
        gone = volume.hostname or (slot.pod.node if slot.pod else "")
        return Lost("node-deleted", f"Node {gone} no longer exists", policy.deleted_after, True)
    if node.out_of_service:
        words = f"Node {node.name} carries the taint node.kubernetes.io/out-of-service"
        return Lost("node-out-of-service", words, after, True)
    return _by_condition(node, slot, volume, world, after)


def _by_condition(
    node: Node, slot: Slot, volume: Volume, world: Snapshot, after: timedelta
) -> Lost | NotLost:
    if not node.ready:
        # Points in time, not spans: the same world must give the same words a minute later.
        words = f"Node {node.name} has been NotReady since {clock(node.ready_since)}"
        if world.now - node.ready_since >= after:
            return Lost("node-not-ready", words, after, False)
        return NotLost(
            "node-not-ready",
            f"{words}, for less than {span(after)}",
            f"it comes back, or it is {clock(node.ready_since + after)}",
        )
    if volume.phase == "Failed":
        words = (
            f"disk {volume.name} on Node {node.name} failed ({volume.message or 'no reason given'})"
        )
        return Lost("disk-failed", words, after, False)
    holder = world.busy.get((slot.component, node.name), slot.name)
    if (slot.pod is None or not slot.pod.node) and holder != slot.name:
        return NotLost(
            "pod-kept-out",
            f"its pod cannot return to Node {node.name}, where {holder} has moved meanwhile",
            f"a person moves {holder} away, or allows two pods a node",
        )
    return NotLost(
        "place-fine",
        f"Node {node.name} is Ready and disk {volume.name} shows no fault",
        "its process comes up, or the node or disk is found faulty",
    )


def pod_node(slot: Slot, world: Snapshot) -> Node | None:
    """The Node that the pod was scheduled to; None when it has none or the object is gone."""
    return world.nodes.get(slot.pod.node) if slot.pod else None


def out_of_reach(node: Node | None, slot: Slot, world: Snapshot, policy: Policy) -> bool:
    """Whether the kubelet there will confirm nothing: gone, out of service, or NotReady for longer than `after`."""
    return (
        node is None
        or node.out_of_service
        or (not node.ready and world.now - node.ready_since >= policy.after(slot.component))
    )


def silent_store(
    store: Store, world: Snapshot, view: PdView, policy: Policy, silence: timedelta
) -> NotLost | None:
    """None when PD's word is enough: this store stands still for longer than `silence` while all others move.

    A store that never sent a heartbeat is as old as its process's start, by its own clock: it must be silent
    for `after`.
    """
    if store.state not in SILENT and store.state is not StoreState.OFFLINE:
        return NotLost(
            "store-state", f"PD calls it {store.state_name!r}", "PD calls it Disconnected or Down"
        )
    earlier = earlier_reading(world, view, policy.reading_gap)
    if isinstance(earlier, NotLost):
        return earlier
    if earlier.beats.get(store.id) != store.last_heartbeat_ns:
        return NotLost(
            "store-heartbeats",
            "its heartbeat moved between two readings",
            "PD calls it Up, or its heartbeat stands still",
        )
    others = [one for one in live(view.stores) if one.id != store.id]
    still = [one.id for one in others if earlier.beats.get(one.id) == one.last_heartbeat_ns]
    if still or not others:
        return NotLost(
            "others-stand-still",
            f"so do the heartbeats of stores {ids(still)}"
            if others
            else "there is no other store to compare its heartbeat with",
            "every other store's heartbeat moves between two readings",
        )
    if not store.heard and not view.leader_watched:
        return NotLost(
            "leader-new",
            "PD's leader has not heard it in its own term, and was not watched since the earlier reading",
            "this job reads PD twice itself",
        )
    last = store.last_heartbeat_ns or store.start_ns
    if not store.last_heartbeat_ns:
        silence = max(silence, policy.tikv_after)
    age = timedelta(microseconds=(max(one.last_heartbeat_ns for one in others) - last) // 1000)
    if not last or age < silence:
        since = f"PD heard it last at {clock(moment(last))}" if last else "PD has never heard it"
        return NotLost(
            "store-silent-too-briefly",
            f"{since}, by its own clock",
            f"PD hears nothing for {span(silence)}",
        )
    return None


def silent_member(
    member: Member, world: Snapshot, view: PdView, policy: Policy, *, alone: bool = True
) -> NotLost | None:
    """None when PD's word is enough: unhealthy in both readings while (`alone`) all others were healthy in both.

    A nameless (half-joined) member must be nameless in both, and these further apart than a join takes.
    """
    gap = policy.reading_gap if member.name else policy.half_joined_after
    earlier = earlier_reading(world, view, gap)
    if isinstance(earlier, NotLost):
        return earlier
    if member.id not in (earlier.unhealthy if member.name else earlier.nameless):
        return NotLost(
            "member-changed",
            "it was in another state in the earlier reading",
            "two readings agree",
        )
    # etcd refuses to lose a member within 10 s of another one's trouble, and so do we.
    unsteady = [
        one.id for one in view.members if one.id != member.id and one.id in earlier.unhealthy
    ]
    if unsteady and alone:
        return NotLost(
            "others-unsteady",
            f"members {ids(unsteady)} were unhealthy in the earlier reading",
            f"they are healthy in two readings {span(gap)} apart",
        )
    return None


def earlier_reading(world: Snapshot, view: PdView, gap: timedelta) -> Reading | NotLost:
    """The earlier reading, when it is old enough and of the leader that leads steadily now."""
    earlier = world.earlier
    if not view.leader_steady or (earlier is not None and earlier.leader != view.leader.id):
        return NotLost(
            "leader-changed",
            f"PD's leader changed between two readings (now {view.leader.name})",
            f"two readings {span(gap)} apart from the same leader",
        )
    if earlier is None or world.now - earlier.taken < gap:
        apart = f"{span(world.now - earlier.taken)} apart" if earlier else "only one"
        return NotLost(
            "one-reading",
            f"PD's readings are too close together ({apart})",
            f"two readings {span(gap)} apart from the same leader",
        )
    return earlier


def reading_of(view: PdView, taken: datetime) -> Reading:
    """What of this view a later look compares with."""
    return Reading(
        taken=taken,
        leader=view.leader.id,
        beats={store.id: store.last_heartbeat_ns for store in live(view.stores)},
        unhealthy=frozenset(m.id for m in view.members if m.id not in view.healthy),
        nameless=frozenset(m.id for m in view.members if not m.name),
    )


def live(stores: Iterable[Store]) -> list[Store]:
    """The stores that PD expects heartbeats of: neither Tombstone nor destroyed."""
    return [store for store in stores if not store.retired]


def voters(stores: Iterable[Store]) -> list[Store]:
    """The live TiKV stores: TiFlash holds no voter, and PD's own checks count it."""
    return [store for store in live(stores) if not store.is_tiflash]


def span(delta: timedelta) -> str:
    """`1h30m`, `12m`, `45s`: as durations are written in values.yaml, never below one second."""
    seconds = max(0, int(delta.total_seconds()))
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if n]
    return "".join(parts[:2]) or "0s"


def clock(when: datetime) -> str:
    """A point in time for a sentence: `2026-11-20 10:42:07 UTC`."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def moment(nanoseconds: int) -> datetime:
    """PD's time in ns since 1970."""
    return datetime.fromtimestamp(nanoseconds / NANOSECONDS, UTC)


def ids(some: Iterable[int], at_most: int = 5) -> str:
    """`1, 4, 5`, and how many more."""
    every = sorted(some)
    more = f" and {len(every) - at_most} more" if len(every) > at_most else ""
    return ", ".join(str(one) for one in every[:at_most]) + more
