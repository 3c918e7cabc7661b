"""The status that a volume should show, and the smallest patch that makes it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hooks.volumes.finding import Finding
from hooks.volumes.model import Disk, View, Volume

_MESSAGE = 1024
_LINE = 2048


def patch(view: View, volume: Volume, disk: Disk | None, finding: Finding) -> dict[str, Any]:
    """RFC 7386 from the stored status; empty when nothing differs."""
    return merge_diff(volume.status, wanted(view, volume, disk, finding))


def wanted(view: View, volume: Volume, disk: Disk | None, finding: Finding) -> dict[str, Any]:
    old = volume.status
    new: dict[str, Any] = {
        "phase": finding.phase,
        "message": finding.message[:_LINE],
        "reasons": [
            {"code": p.code, "message": p.message[:_MESSAGE]}
            for p in sorted(finding.reasons, key=lambda p: (p.code, p.message))
        ],
    }
    new |= _whereabouts(view, disk, old)
    pv = next((p for p in view.pvs if p.generation == volume.generation), None)
    if pv is not None:
        new["pv"] = {"name": pv.name, "uid": pv.uid}
        new["storageClass"] = pv.storage_class
    elif volume.recorded_pv:
        new["pv"] = old["pv"]
    if volume.used or (pv is not None and pv.claim is not None and pv.claim.uid):
        new["used"] = volume.generation
    elif "used" in old:
        new["used"] = old["used"]
    if pv is not None and pv.claim is not None:
        new["claim"] = _claim(view, pv.claim.namespace, pv.claim.name, pv.claim.uid, old)
    elif volume.used and "claim" in old:
        new["claim"] = old["claim"]
    if pv is not None and pv.released:
        new["releasedAt"] = old.get("releasedAt") or view.now.later.strftime("%Y-%m-%dT%H:%M:%SZ")
    if finding.wipe:
        new["wipe"] = finding.wipe
    if finding.last_wipe:
        finished = view.now.later.strftime("%Y-%m-%dT%H:%M:%SZ")
        new["lastWipe"] = {**finding.last_wipe, "finishedAt": finished}
    elif "lastWipe" in old:
        new["lastWipe"] = old["lastWipe"]
    return new


_PLACE = (
    "node",
    "nodeUID",
    "hostname",
    "path",
    "device",
    "fsType",
    "rotational",
    "capacityBytes",
    "size",
)


def _whereabouts(view: View, disk: Disk | None, old: Mapping[str, object]) -> dict[str, Any]:
    """Where the disk is; when it is nowhere to be seen, where it was last."""
    if disk is None:
        return {key: old[key] for key in _PLACE if key in old}
    node = view.nodes[disk.node]
    # A disk that cannot be read has no size; it keeps the one it was known by.
    capacity = disk.capacity_bytes or _known_capacity(old)
    return {
        "node": node.name,
        "nodeUID": node.uid,
        "hostname": node.hostname,
        "path": disk.path,
        "device": disk.device,
        "fsType": disk.fs_type,
        "rotational": disk.rotational,
        "capacityBytes": capacity,
        "size": size(capacity),
    }


def _known_capacity(old: Mapping[str, object]) -> int:
    known = old.get("capacityBytes")
    return known if isinstance(known, int) else 0


def _claim(
    view: View, namespace: str, name: str, uid: str, old: Mapping[str, object]
) -> dict[str, Any]:
    """With component and ordinal while the claim exists; after that, as they were last known."""
    claim: dict[str, Any] = {"namespace": namespace, "name": name, "uid": uid}
    if view.claim is not None:
        if view.claim.component:
            claim["component"] = view.claim.component
        if view.claim.ordinal is not None:
            claim["ordinal"] = view.claim.ordinal
        return claim
    before = old.get("claim")
    return dict(before) if isinstance(before, Mapping) and before.get("uid") == uid else claim


def merge_diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch from one object to another (RFC 7386): null removes, objects recurse, all else is replaced."""
    changes: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := merge_diff(before, value):
                changes[key] = inner
        elif value != before or key not in old:
            changes[key] = value
    return changes


def size(number: int) -> str:
    """Bytes as people and Kubernetes write them: 3.5Ti, 931.5Gi, 512Mi."""
    for unit, power in (("Ti", 40), ("Gi", 30), ("Mi", 20)):
        if number >= 1 << power:
            return f"{number / (1 << power):.1f}".rstrip("0").rstrip(".") + unit
    return f"{number}"
