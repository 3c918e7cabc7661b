"""What the failover job knows when it plans: plain frozen values, nothing fetched later, time included.

Three witnesses, kept apart by name: Kubernetes (`Slot`, `Claim`, `Pod`, `Node`, `Volume`), PD (`PdView`,
`Reading`) and the job's own journal (`Entry`, in the ConfigMap `tidb-finished-volumes`;
schema/finished.schema.yaml).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from hooks import pd


class Component(StrEnum):
    """The two kinds of pods whose data lives on local disks."""

    PD = "pd"
    TIKV = "tikv"


@dataclass(frozen=True)
class Policy:
    """`failover.*` of values.yaml, and the three spans that belong to PD rather than to taste.

    `reading_gap`: live stores read Disconnected or Down for up to one heartbeat (10 s) after a leader change
    or restart. `deleted_after`: PD calls a store Disconnected 20 s after its last heartbeat.
    `half_joined_after`: a member is nameless for about a second while it joins; one that stays so died on the way.
    """

    tikv_after: timedelta = timedelta(minutes=30)
    pd_after: timedelta = timedelta(minutes=10)
    max_per_day: int = 3
    reading_gap: timedelta = timedelta(seconds=15)
    reading_kept: timedelta = timedelta(minutes=5)
    deleted_after: timedelta = timedelta(seconds=20)
    half_joined_after: timedelta = timedelta(seconds=45)

    def after(self, component: Component) -> timedelta:
        return self.pd_after if component is Component.PD else self.tikv_after


# --- Kubernetes ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A Node object. `ready_since` is when the Ready condition last changed: for `ready: False`, how long it
    has been so.

    `hostname` is the label kubernetes.io/hostname, which local volumes name. `unschedulable` says why no new
    pod of the component goes there ("cordoned", "taint dedicated=db"), "" when one may.
    """

    name: str
    hostname: str
    ready: bool
    ready_since: datetime
    out_of_service: bool = False
    unschedulable: Mapping[Component, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Volume:
    """A claim's PersistentVolume. `hostname` is that of its node affinity, "" for a volume that can move.

    `phase` and `message` are its TidbVolume's; `phase` is "" when there is none (not helm-tidb's disk).
    """

    name: str
    uid: str
    hostname: str
    phase: str = ""
    message: str = ""

    @property
    def local(self) -> bool:
        """Tied to one node. Everything else counts as a network volume, which the old node may still write to."""
        return self.hostname != ""


@dataclass(frozen=True)
class Claim:
    """A PersistentVolumeClaim; `volume` is None until it is bound. `deleting`: kept only for the pod that uses
    it.
    """

    name: str
    uid: str
    created: datetime
    deleting: bool
    volume: Volume | None
    storage_class: str = ""
    request_bytes: int = 0


@dataclass(frozen=True)
class Pod:
    """`node` is "" until it is scheduled. `deleting`: has a deletionTimestamp; on a lost node it stays so for
    ever.
    """

    name: str
    uid: str
    node: str
    created: datetime
    deleting: bool


@dataclass(frozen=True)
class Slot:
    """One ordinal of the PD or TiKV StatefulSet: its place in the cluster, whoever fills it at the moment.

    `name` is the pod's, and so the PD member's; `address` the store's in PD, "" for PD. `claim_name` is there
    although the claim may not be.
    """

    component: Component
    ordinal: int
    name: str
    address: str
    claim_name: str
    claim: Claim | None
    pod: Pod | None


@dataclass(frozen=True)
class Disk:
    """An unclaimed volume that a replacement could bind."""

    volume: str
    hostname: str
    storage_class: str
    capacity_bytes: int


# --- PD ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """What of PD's word is compared over time. `beats`: live store id → its last heartbeat by PD's clock, in ns."""

    taken: datetime
    leader: int
    beats: Mapping[int, int]
    unhealthy: frozenset[int]
    nameless: frozenset[int]


@dataclass(frozen=True)
class Regions:
    """What PD's lists say about losing one store for good: of down, missing and pending peers, and of those on stores
    that were destroyed.

    `endangered` regions would keep no majority of healthy voters without `store`; `examples` are some of their ids.
    """

    store: int
    listed: int
    endangered: int
    examples: tuple[int, ...] = ()


@dataclass(frozen=True)
class PdView:
    """PD as of the last reading.

    `leader_steady`: the same member led before and after the stores were read. `leader_watched`: this very run
    took the earlier reading too, and asked for the leader in between more often than one could change twice.
    """

    cluster_id: int
    leader: pd.Member
    leader_steady: bool
    leader_watched: bool
    members: tuple[pd.Member, ...]
    health: tuple[pd.MemberHealth, ...]
    stores: tuple[pd.Store, ...]
    evicting: frozenset[int] = frozenset()
    maintenance: pd.Maintenance | None = None
    replication: pd.Replication | None = None
    regions: Regions | None = None

    @property
    def healthy(self) -> frozenset[int]:
        """Ids of the members that PD lists and calls healthy."""
        listed = {member.id for member in self.members}
        return frozenset(one.id for one in self.health if one.healthy and one.id in listed)


class Silence(StrEnum):
    """Why PD gave no view."""

    NO_LEADER = "no-leader"
    UNREACHABLE = "unreachable"
    NOT_BOOTSTRAPPED = "not-bootstrapped"


@dataclass(frozen=True)
class PdSilent:
    """No view of PD; `said` is the error's sentence."""

    kind: Silence
    said: str


# --- The journal ---------------------------------------------------------------------------------


class EntryState(StrEnum):
    """As in schema/finished.schema.yaml. All but RETIRING are final."""

    RETIRING = "Retiring"
    TOMBSTONE = "Tombstone"
    DESTROYED = "Destroyed"
    REMOVED = "Removed"


@dataclass(frozen=True)
class Entry:
    """The word about one PV: whose data it holds, and whether anybody can still need it.

    It is written before PD is changed, so that a later run knows the old claim from the new one without
    comparing clocks. `owner` is "store 5" or "member 8243761".
    """

    volume: str
    volume_uid: str
    claim: str
    owner: str
    cluster: int
    state: EntryState
    at: datetime

    @property
    def final(self) -> bool:
        return self.state is not EntryState.RETIRING


def store_owner(store_id: int) -> str:
    return f"store {store_id}"


def member_owner(member_id: int) -> str:
    return f"member {member_id}"


def owner_id(owner: str) -> int:
    """The id in an owner's name. Raises ValueError for a name that has none."""
    return int(owner.rpartition(" ")[2])


# --- All of it -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Snapshot:
    """The world of one run.

    `slots` are the ordinals that need a look (suspects(), hooks/failover/evidence.py), in order; `nodes` are
    all Nodes, by name, and `disks` all free volumes, both only read when there is a slot. `busy` are pods of
    the component by node name.

    `homes`: owner ("store 5") → the volume it was last well on, as an earlier run noted it; `held`: the volume
    that each ordinal's claim is bound to now.
    """

    now: datetime
    release: str
    namespace: str
    recorded_cluster: int | None
    record: str
    pd: PdView | PdSilent
    earlier: Reading | None
    entries: tuple[Entry, ...]
    homes: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[tuple[Component, int], str] = field(default_factory=dict)
    slots: tuple[Slot, ...] = ()
    nodes: Mapping[str, Node] = field(default_factory=dict)
    disks: tuple[Disk, ...] = ()
    busy: Mapping[tuple[Component, str], str] = field(default_factory=dict)
    spread: Mapping[Component, bool] = field(default_factory=dict)

    def node_of(self, volume: Volume) -> Node | None:
        """The Node that a local volume is tied to; None when the object is gone."""
        return next((n for n in self.nodes.values() if n.hostname == volume.hostname), None)

    def entry(self, volume: Volume | None) -> Entry | None:
        return next((e for e in self.entries if volume and e.volume_uid == volume.uid), None)
