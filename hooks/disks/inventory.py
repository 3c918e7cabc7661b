"""The inventory: what this agent publishes of its node (schema/inventory.schema.yaml)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hooks.disks import marker as markers
from hooks.disks.marker import Marker
from hooks.disks.mountinfo import Mount

MIB = 1 << 20
_MESSAGE = 1024
_NAMED = 5


@dataclass(frozen=True, order=True)
class Problem:
    code: str
    message: str


@dataclass(frozen=True)
class WipeAnswer:
    """What became of the wipe that the controller asked for."""

    generation: int
    pv_uid: str
    state: str
    """Running, Done, Refused or Failed."""
    reason: str = ""
    message: str = ""
    removed_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True)
class Entry:
    """One candidate or raw disk."""

    identity: str
    """Empty: nothing stable was found."""
    path: str
    """Empty: a disk that is not mounted below the discovery directory."""
    device: str
    disks: tuple[str, ...] = ()
    model: str = ""
    serial: str = ""
    size_bytes: int = 0
    capacity_bytes: int = 0
    rotational: bool = False
    fs_type: str = ""
    fs_uuid: str = ""
    problems: tuple[Problem, ...] = ()
    steady: bool = False
    folders: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    marker: Marker | None = None
    wipe: WipeAnswer | None = None
    occupied: tuple[str, ...] = ()
    """The folders that are not empty; published as `empty`, the others."""
    mount: Mount | None = None
    """That was looked at; not published: it says nothing to others."""

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(problem.code for problem in self.problems)

    def without(self, code: str) -> Entry:
        return replace(self, problems=tuple(p for p in self.problems if p.code != code))


@dataclass(frozen=True)
class Node:
    """Whose disks these are; from the downward API and the kernel."""

    name: str
    ip: str
    boot_id: str
    agent: str
    root: str


def document(
    node: Node, entries: Iterable[Entry], complaints: Iterable[str], nonce: str | None
) -> dict[str, Any]:
    """The whole inventory but for `writtenAt`: an unchanged node gives the same document."""
    said: dict[str, Any] = {
        "version": 1,
        "node": node.name,
        "nodeIP": node.ip,
        "bootID": node.boot_id,
        "root": node.root,
        "agent": node.agent,
        "disks": [
            _entry(entry) for entry in sorted(entries, key=lambda e: (e.identity, e.path, e.device))
        ],
    }
    if nonce:
        said["nonce"] = nonce
    told = [complaint[:_MESSAGE] for complaint in complaints]
    if told:
        said["complaints"] = told
    return said


def text(document: Mapping[str, Any], written_at: str) -> str:
    """The document as it goes into the ConfigMap."""
    return json.dumps({**document, "writtenAt": written_at}, separators=(",", ":"))


def _entry(entry: Entry) -> dict[str, Any]:
    said: dict[str, Any] = {
        "identity": entry.identity,
        "path": entry.path,
        "device": entry.device,
        "disks": list(entry.disks),
        "sizeBytes": entry.size_bytes,
        "capacityBytes": entry.capacity_bytes,
        "rotational": entry.rotational,
        "steady": entry.steady,
        "problems": [
            {"code": problem.code, "message": problem.message[:_MESSAGE]}
            for problem in sorted(entry.problems)
        ],
    }
    optional = {
        "model": entry.model[:256],
        "serial": entry.serial[:256],
        "fsType": entry.fs_type,
        "fsUUID": entry.fs_uuid,
        "folders": list(entry.folders),
        "empty": [folder for folder in entry.folders if folder not in entry.occupied],
    }
    said |= {key: value for key, value in optional.items() if value}
    if entry.foreign:
        names = [name[:255] for name in entry.foreign[:_NAMED]]
        said["foreign"] = {"count": len(entry.foreign), "names": names}
    if entry.marker:
        said["marker"] = {
            key: value for key, value in markers.document(entry.marker).items() if key != "wipe"
        }
    if entry.wipe:
        said["wipe"] = _wipe(entry.wipe)
    return said


def _wipe(wipe: WipeAnswer) -> dict[str, Any]:
    said: dict[str, Any] = {
        "generation": wipe.generation,
        "pvUID": wipe.pv_uid,
        "state": wipe.state,
    }
    if wipe.reason:
        said["reason"] = wipe.reason
    if wipe.message:
        said["message"] = wipe.message[:_MESSAGE]
    if wipe.total_bytes or wipe.removed_bytes:
        said |= {"removedBytes": wipe.removed_bytes, "totalBytes": wipe.total_bytes}
    return said


def size(number: int) -> str:
    """Bytes for people: 1.7 TiB."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.3g} {unit}" if unit != "B" else f"{number} B"
        value /= 1024
    return f"{value:.3g} TiB"
