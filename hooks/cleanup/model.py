"""What cleanup knows when it plans: plain frozen values. Names and the journal are failover's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from hooks.failover.model import Component, Entry
from hooks.pd import Store, StoreState


@dataclass(frozen=True)
class Policy:
    """`cleanup.*` of values.yaml."""

    claims_after: timedelta = timedelta(hours=72)
    volumes_after: timedelta = timedelta(days=7)
    pods_after: timedelta = timedelta(hours=24)


@dataclass(frozen=True)
class Claim:
    """A PD or TiKV claim of the release, any ordinal. `used_by`: a pod that mounts it. `address`: its store's,
    "" for PD.
    """

    component: Component
    ordinal: int
    name: str
    uid: str
    pod: str
    address: str
    volume: str
    deleting: bool
    used_by: str
    unused_since: datetime | None


@dataclass(frozen=True)
class Released:
    """A PersistentVolume whose claim is gone. `claim` is that claim's name; `gone_for_good`: its Node was
    deleted for long.
    """

    name: str
    claim: str
    gone_for_good: bool


@dataclass(frozen=True)
class LostVolume:
    """A TidbVolume that is Lost, or was noted as such."""

    name: str
    uid: str
    phase: str
    node: str
    lost_since: datetime | None

    @property
    def lost(self) -> bool:
        return self.phase == "Lost"


@dataclass(frozen=True)
class FinishedPod:
    name: str
    uid: str
    phase: str
    finished: datetime


@dataclass(frozen=True)
class Snapshot:
    """The world of one run.

    `pd_known` is false while PD does not answer, or answers as another cluster: then nothing is concluded from
    its silence. `claim_of`: the claim's name by store address. `evicted_by`: store id → job that noted its
    evict-leader scheduler.
    """

    now: datetime
    release: str
    namespace: str
    replicas: Mapping[Component, int]
    claims: tuple[Claim, ...]
    pd_known: bool
    stores: tuple[Store, ...]
    members: frozenset[str]
    evicting: frozenset[int]
    evicted_by: Mapping[int, str]
    lease_holder: str
    claim_of: Mapping[str, str]
    released: tuple[Released, ...]
    volume_uids: frozenset[str]
    entries: tuple[Entry, ...]
    lost: tuple[LostVolume, ...]
    finished: tuple[FinishedPod, ...]

    @property
    def tombstones(self) -> tuple[int, ...]:
        return tuple(s.id for s in self.stores if s.state is StoreState.TOMBSTONE)
