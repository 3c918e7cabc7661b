"""The steps a volume's plan can take. Each carries what `apply.py` compares with the live objects before it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hooks.engine import Action
from hooks.volumes.model import ClaimRef, Finished, Grant


@dataclass(frozen=True, kw_only=True)
class VolumeAction(Action):
    # Name of the TidbVolume; for WriteRequests, of nothing.
    volume: str


@dataclass(frozen=True, kw_only=True)
class CreateVolume(VolumeAction):
    identity: str
    generation: int


@dataclass(frozen=True, kw_only=True)
class CreatePv(VolumeAction):
    volume_uid: str
    identity: str
    generation: int
    hostname: str
    path: str
    fs_type: str
    capacity_bytes: int
    storage_class: str


@dataclass(frozen=True, kw_only=True)
class DeletePv(VolumeAction):
    """Mark a PV for deletion; its finalizer keeps the object. Never one that is bound.

    expects unbound: it has no claimRef, and never had (withdrawn). expects released: its phase is Released or
    Failed and the claim of its claimRef does not exist.
    """

    pv: str
    pv_uid: str
    pv_version: str
    expects: Literal["unbound", "released"]
    claim: ClaimRef | None = None


@dataclass(frozen=True, kw_only=True)
class FreePv(VolumeAction):
    """Take our finalizer off a PV that is being deleted and is not bound."""

    pv: str
    pv_uid: str
    pv_version: str


@dataclass(frozen=True, kw_only=True)
class NextGeneration(VolumeAction):
    """Begin `generation`, and end the permission that was for the one before; one write."""

    volume_uid: str
    volume_version: str
    generation: int


@dataclass(frozen=True, kw_only=True)
class GiveWipe(VolumeAction):
    """Write the permission and take the annotation off; one write. `pv` is empty when there is none any more."""

    volume_uid: str
    volume_version: str
    grant: Grant
    pv: str
    claim: ClaimRef | None
    # The word of a database job that this leans on, read again before the write.
    finished: Finished | None = None


@dataclass(frozen=True, kw_only=True)
class RevokeWipe(VolumeAction):
    volume_uid: str
    volume_version: str


@dataclass(frozen=True, kw_only=True)
class RefuseWord(VolumeAction):
    """Take a person's annotation off without doing what it says, so that it can't count for a later generation."""

    volume_uid: str
    volume_version: str


@dataclass(frozen=True, kw_only=True)
class FreeVolume(VolumeAction):
    volume_uid: str
    volume_version: str


@dataclass(frozen=True, kw_only=True)
class WriteStatus(VolumeAction):
    """`patch` is RFC 7386 from the status as seen to the status as it should be.

    lazy: nobody waits for it; a controller may hold it back for a moment, because a better one is likely to follow.
    """

    volume_uid: str
    volume_version: str
    patch: Mapping[str, object]
    phase: str
    lazy: bool = False


@dataclass(frozen=True, kw_only=True)
class WriteRequests(VolumeAction):
    """The requests document of one node. `version` is the ConfigMap's; empty: there is none yet."""

    node: str
    text: str
    version: str
