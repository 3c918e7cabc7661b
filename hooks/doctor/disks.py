"""The disks as the doctor sees them: one row a disk, and why each can't serve a claim."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hooks import kube
from hooks.doctor.finding import Finding, Weight
from hooks.doctor.scheduler.requests import show
from hooks.doctor.snapshot import Snapshot
from hooks.engine import Subject
from schema import names


@dataclass(frozen=True, order=True)
class Disk:
    """A row of `kubectl tidb disks`. `why` is "" for one that is free or in use; `size_bytes` is what a claim gets."""

    node: str
    path: str
    size_bytes: int
    phase: str
    claim: str
    why: str
    volume: str
    storage_class: str
    component: str = ""

    @property
    def size(self) -> str:
        return show("storage", self.size_bytes)

    @property
    def cells(self) -> tuple[str, ...]:
        """As the tables have it: node, disk, size, phase, claim, volume, why."""
        return (
            *(self.node, self.path, self.size, self.phase),
            *(self.claim or "-", self.volume, self.why),
        )

    def is_of(self, namespace: str, release: str) -> bool:
        """Whether its claim is, or was, one of that release's: StatefulSets name them so, and the name outlives it."""
        own = rf"{re.escape(namespace)}/.+-{re.escape(release)}-{re.escape(self.component)}-\d+"
        return bool(self.component and re.fullmatch(own, self.claim))


def rows(snapshot: Snapshot) -> list[Disk]:
    """Every TidbVolume; sorted by node and path."""
    if "disks" not in snapshot.derived:
        snapshot.derived["disks"] = sorted(_row(one) for one in snapshot.all("TidbVolume"))
    return list(snapshot.derived["disks"])


def document(disk: Disk) -> dict[str, Any]:
    """A row for programs."""
    return {
        "node": disk.node, "path": disk.path, "sizeBytes": disk.size_bytes, "phase": disk.phase,
        "claim": disk.claim, "why": disk.why, "volume": disk.volume, "storageClass": disk.storage_class,
    }  # fmt: skip


def _row(obj: Mapping[str, Any]) -> Disk:
    status: Mapping[str, Any] = obj.get("status") or {}
    claim = status.get("claim") or {}
    return Disk(
        node=str(status.get("node", "")),
        path=str(status.get("path") or status.get("device") or ""),
        size_bytes=int(status.get("capacityBytes") or 0),
        phase=str(status.get("phase") or "Pending"),
        claim=f"{claim['namespace']}/{claim['name']}" if claim else "",
        why=str(status.get("message", "")),
        volume=kube.name(obj),
        storage_class=str(status.get("storageClass", "")),
        component=str(claim.get("component", "")),
    )


def why_not(disk: Disk, storage_class: str, asked: int) -> str:
    """Why this disk can't be bound by a claim of that class and size; "" when it can."""
    if disk.phase == "Bound":
        return f"in use by claim {disk.claim}"
    if disk.phase == "Available":
        if disk.storage_class != storage_class:
            return f"free, but of class {disk.storage_class}"
        if disk.size_bytes < asked:
            return f"free, but {show('storage', asked - disk.size_bytes)} too small"
        return ""
    return f"{disk.phase}: {disk.why or 'no reason is given yet'}"


def of_claim(snapshot: Snapshot, volume_name: str) -> Disk | None:
    """The disk behind a PersistentVolume, by the name the volume controller gave it."""
    if "disk of volume" not in snapshot.derived:
        snapshot.derived["disk of volume"] = {disk.volume: disk for disk in rows(snapshot)}
    found: Disk | None = snapshot.derived["disk of volume"].get(volume_name.rpartition("-g")[0])
    return found


_REMEDIES = {
    "Refused": "mend what the message says, or, to give up what is on it: "
    f"kubectl tidb wipe {{volume}} (annotates {names.WIPE_ANNOTATION})",
    "Failed": "replace the disk; failover replaces its store once PD has given it up, and the new disk is offered by "
    "itself",
    "Lost": "bring the machine back, or leave it: failover replaces what lived there; then "
    "kubectl delete tidbvolume {volume}",
}


def findings(snapshot: Snapshot) -> list[Finding]:
    """Disks that don't do their work. Free, used and new ones are no findings."""
    found = []
    for disk in rows(snapshot):
        subject = Subject("TidbVolume", disk.volume)
        where = f"{disk.path or 'a disk'} of node {disk.node} ({disk.size})"
        held = f", claim {disk.claim}" if disk.claim else ""
        if disk.phase in _REMEDIES:
            found.append(
                Finding(
                    code=f"disk-{disk.phase.lower()}",
                    subject=subject,
                    weight=Weight.PROBLEM,
                    why=f"{where}{held} is {disk.phase}: {disk.why or 'no reason is given yet'}",
                    remedy=_REMEDIES[disk.phase].format(volume=disk.volume),
                )
            )
        elif disk.phase in ("Released", "Wiping"):
            found.append(
                Finding(
                    code=f"disk-{disk.phase.lower()}",
                    subject=subject,
                    weight=Weight.NOTE,
                    why=f"{where}{held} is {disk.phase}: {disk.why}",
                    remedy="it is offered again by itself when it is cleared",
                )
            )
    return found
