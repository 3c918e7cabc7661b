"""What the decision about one volume looks at. Plain values: no client, no clock, nothing fetched later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

NEVER = timedelta.max

# Two clocks further apart than this end no waiting time (schema/tidbvolume.schema.yaml, Wipe).
CLOCKS_APART = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Policy:
    """From the chart's values `disks.*`."""

    storage_class: str = "tidb-local"
    # "" : a disk that shares its hardware with another is never offered.
    shared_class: str = ""
    wipe_after: timedelta = timedelta(hours=72)
    # `<namespace>.<release>` that manages the cluster's disks (a label's value), and the one it takes over from, if
    # any.
    manager: str = ""
    takes_over: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def foreign(self, managers: Iterable[str]) -> tuple[str, ...]:
        """Which of these are neither us nor who we took over from; sorted."""
        return tuple(sorted(set(managers) - {"", self.manager, self.takes_over}))


@dataclass(frozen=True, slots=True)
class Problem:
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Marker:
    """`.helm-tidb.json` on the disk."""

    volume: str
    identity: str
    generation: int
    folder: str
    pv_uid: str


@dataclass(frozen=True, slots=True)
class WipeReport:
    """The agent's answer, a copy of what the marker on the disk records."""

    generation: int
    pv_uid: str
    state: str
    reason: str = ""
    message: str = ""
    removed_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """A candidate as one node's last good inventory shows it."""

    node: str
    identity: str
    path: str
    device: str = ""
    fs_type: str = ""
    rotational: bool = False
    capacity_bytes: int = 0
    steady: bool = True
    problems: tuple[Problem, ...] = ()
    folders: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    foreign_count: int = 0
    marker: Marker | None = None
    wipe: WipeReport | None = None


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    uid: str
    # The label kubernetes.io/hostname, which may differ from the name; "" when the Node has none.
    hostname: str


@dataclass(frozen=True, slots=True)
class Grant:
    """`spec.wipe`: permission, given once."""

    generation: int
    pv_uid: str
    cause: str
    foreign: str
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Volume:
    """A TidbVolume. `status` is as stored; what the decision leans on has a property."""

    name: str
    uid: str
    version: str
    identity: str
    generation: int
    deleting: bool = False
    finalizer: bool = True
    manager: str = ""
    # The annotation helm-tidb.io/wipe; "" for none.
    word: str = ""
    grant: Grant | None = None
    status: Mapping[str, object] = field(default_factory=dict)

    @property
    def used(self) -> bool:
        """Whether this generation was ever bound."""
        return self.status.get("used") == self.generation

    @property
    def recorded_pv(self) -> str:
        """UID of the PV that the status names for this generation."""
        pv = self.status.get("pv")
        if isinstance(pv, Mapping) and str(pv.get("name", "")).endswith(f"-g{self.generation}"):
            return str(pv.get("uid", ""))
        return ""

    @property
    def released_at(self) -> datetime | None:
        text = self.status.get("releasedAt")
        try:
            return datetime.fromisoformat(text) if isinstance(text, str) else None
        except ValueError:
            return None

    @property
    def last_node(self) -> str:
        return str(self.status.get("node", ""))

    @property
    def phase(self) -> str:
        return str(self.status.get("phase", ""))


@dataclass(frozen=True, slots=True)
class ClaimRef:
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Pv:
    name: str
    uid: str
    version: str
    generation: int
    # Kubernetes' own word: Pending, Available, Bound, Released, Failed.
    phase: str
    deleting: bool = False
    finalizer: bool = True
    claim: ClaimRef | None = None
    path: str = ""
    hostname: str = ""
    storage_class: str = ""
    capacity_bytes: int = 0
    identity: str = ""

    @property
    def released(self) -> bool:
        """Its claim is gone. Failed is Released whose reclaim policy somebody changed."""
        return self.phase in ("Released", "Failed") and self.claim is not None

    @property
    def bound(self) -> bool:
        """Bound, or reserved for a claim: somebody may have or get data there."""
        return self.claim is not None and not self.released


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim that a PV names, when it exists with that UID."""

    namespace: str
    name: str
    uid: str
    component: str = ""
    ordinal: int | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A database job's word about the owner of one PV (schema/finished.schema.yaml)."""

    namespace: str
    pv_uid: str
    state: str
    owner: str = ""

    @property
    def final(self) -> bool:
        return self.state in ("Tombstone", "Destroyed", "Removed")


@dataclass(frozen=True, slots=True)
class Now:
    """Two clocks, UTC: the earlier ends waiting times, the later begins them."""

    earlier: datetime
    later: datetime

    @property
    def apart(self) -> timedelta:
        return self.later - self.earlier


@dataclass(frozen=True, slots=True)
class View:
    """All that concerns one volume, at one moment.

    disks: each report of the identity, from good inventories of nodes whose Node object exists; other identities that
    hash to the same name are there too. known: nodes with a good inventory. nodes: by name. managers: whoever manages
    any TidbVolume of the cluster.
    """

    name: str
    now: Now
    disks: tuple[Disk, ...] = ()
    nodes: Mapping[str, Node] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    volume: Volume | None = None
    pvs: tuple[Pv, ...] = ()
    claim: Claim | None = None
    finished: Finished | None = None
    managers: frozenset[str] = frozenset()
