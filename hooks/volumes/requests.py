"""What a node's agent is asked for (schema/requests.schema.yaml): computed from what is seen, whole each time.

Invariant: a wipe stands in the document only while `spec.wipe` permits it *and* nothing can bind the PV it is
about: the PV is being deleted, or does not exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hooks.volumes.model import Disk, View, Volume
from hooks.volumes.place import locate
from schema import names


def entry(view: View, node: str) -> dict[str, Any] | None:
    """What `node` is asked for one volume; None when the disk is not there, or not there alone."""
    volume = view.volume
    if volume is None:
        return None
    place = locate(view, volume)
    disk = place.disk
    if disk is None or disk.node != node:
        return None
    asked: dict[str, Any] = {
        "identity": volume.identity,
        "volume": volume.name,
        "generation": volume.generation,
        "folder": names.folder_name(volume.name, volume.generation),
        "make": _may_make(view, volume, disk),
        "pvUID": _pv_uid(view, volume),
    }
    grant = volume.grant
    if grant is not None and fenced(view, volume):
        asked["wipe"] = {
            "generation": grant.generation,
            "pvUID": grant.pv_uid,
            "folder": asked["folder"],
            "foreign": grant.foreign,
        }
    return asked


def fenced(view: View, volume: Volume) -> bool:
    """Whether nothing can bind what the permission is about."""
    grant = volume.grant
    if grant is None or any(pv.generation > grant.generation for pv in view.pvs):
        return False
    pv = next((p for p in view.pvs if p.generation == grant.generation), None)
    return pv is None or (pv.uid == grant.pv_uid and pv.deleting and not pv.bound)


def _may_make(view: View, volume: Volume, disk: Disk) -> bool:
    """Only while this generation never had a PV: an empty folder where data was would let a database start empty."""
    marker = disk.marker
    marked = marker is not None and marker.generation == volume.generation and marker.pv_uid != ""
    had = bool(_pv_uid(view, volume)) or volume.used or marked
    return not had and volume.grant is None and not volume.deleting


def _pv_uid(view: View, volume: Volume) -> str:
    pv = next((p for p in view.pvs if p.generation == volume.generation), None)
    return pv.uid if pv is not None else volume.recorded_pv


def document(node: str, entries: Iterable[dict[str, Any]]) -> str:
    """The text of `requests.json`; the same entries in any order give the same bytes."""
    volumes = sorted(entries, key=lambda asked: str(asked["identity"]))
    return json.dumps({"version": 1, "node": node, "volumes": volumes}, separators=(",", ":"))
