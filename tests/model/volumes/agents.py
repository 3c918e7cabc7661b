"""A disk agent that follows schema/requests.schema.yaml on disks in memory, for worlds too many or too large for
real disks.

The real agent has its own tests; what both promise each other is the schema, and tests/cluster runs them together.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

GIB = 1 << 30


@dataclass
class FakeDisk:
    """A physical disk with what is on it; survives reboots, nodes and agents."""

    identity: str
    capacity: int = 100 * GIB
    folders: dict[str, set[str]] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    marker: dict[str, Any] | None = None
    wipe: dict[str, Any] | None = None
    problems: list[dict[str, str]] = field(default_factory=list)
    # What was ever deleted, for the oracles: (generation, PV UID, files).
    cleared: list[tuple[int, str, frozenset[str]]] = field(default_factory=list)


@dataclass
class FakeAgent:
    """One node's agent: `disks` by mount point."""

    node: str
    disks: dict[str, FakeDisk] = field(default_factory=dict)
    steady: bool = True
    nonce: str = ""
    root: str = "/mnt/disks"

    def inventory(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "version": 1,
            "node": self.node,
            "nodeIP": "10.0.0.1",
            "bootID": "boot",
            "root": self.root,
            "disks": [
                self._entry(path, disk)
                for path, disk in sorted(
                    self.disks.items(), key=lambda pair: (pair[1].identity, pair[0])
                )
            ],
        }
        if self.nonce:
            document["nonce"] = self.nonce
        return document

    def text(self) -> str:
        return json.dumps(self.inventory(), separators=(",", ":"))

    def _entry(self, path: str, disk: FakeDisk) -> dict[str, Any]:
        problems = list(disk.problems)
        if disk.foreign:
            problems.append(
                {"code": "dirty", "message": f"{path} holds {sorted(disk.foreign)[:5]}"}
            )
        entry: dict[str, Any] = {
            "identity": disk.identity,
            "path": path,
            "device": "sd" + disk.identity[-1],
            "capacityBytes": disk.capacity,
            "rotational": False,
            "fsType": "xfs",
            "steady": self.steady,
            "problems": sorted(problems, key=lambda p: p["code"]),
            "folders": sorted(disk.folders),
            "empty": sorted(f for f, files in disk.folders.items() if not files),
        }
        if disk.foreign:
            entry["foreign"] = {"count": len(disk.foreign), "names": sorted(disk.foreign)[:5]}
        if disk.marker is not None:
            entry["marker"] = dict(disk.marker)
        if disk.wipe is not None:
            entry["wipe"] = dict(disk.wipe)
        return entry

    def obey(self, requests: str, scan: str = "") -> None:
        """Act on a requests document, completely."""
        self.nonce = scan or self.nonce
        wanted = {v["identity"]: v for v in json.loads(requests)["volumes"]} if requests else {}
        for disk in self.disks.values():
            asked = wanted.get(disk.identity)
            if asked is not None and self.steady:
                self._obey(disk, asked)

    def _obey(self, disk: FakeDisk, asked: dict[str, Any]) -> None:
        if "wipe" in asked:
            self._wipe(disk, asked, asked["wipe"])
            return
        marker = disk.marker
        usable = all(p["code"] == "shared-disk" for p in disk.problems) and not disk.foreign
        if asked["make"] and usable:
            self._make(disk, asked)
        elif (
            asked["pvUID"]
            and marker is not None
            and (marker["volume"], marker["generation"]) == (asked["volume"], asked["generation"])
            and not marker["pvUID"]
        ):
            marker["pvUID"] = asked["pvUID"]

    def _make(self, disk: FakeDisk, asked: dict[str, Any]) -> None:
        marker = disk.marker
        if marker is not None and (
            marker["volume"] != asked["volume"] or marker["generation"] > asked["generation"]
        ):
            return
        for folder in list(disk.folders):
            if folder == asked["folder"]:
                continue
            if disk.folders[folder]:
                return
            del disk.folders[folder]
        if marker is None or marker["generation"] != asked["generation"]:
            disk.marker = {
                "volume": asked["volume"],
                "identity": disk.identity,
                "generation": asked["generation"],
                "folder": asked["folder"],
                "pvUID": "",
            }
        disk.folders.setdefault(asked["folder"], set())

    def _wipe(self, disk: FakeDisk, asked: dict[str, Any], wipe: dict[str, Any]) -> None:
        key = {"generation": wipe["generation"], "pvUID": wipe["pvUID"]}
        done = disk.wipe
        if (
            done is not None
            and done["state"] == "Done"
            and (done["generation"], done["pvUID"])
            == (
                key["generation"],
                key["pvUID"],
            )
        ):
            return
        marker = disk.marker
        nothing = not disk.folders and not disk.foreign
        if marker is None and wipe["foreign"] != "remove" and not nothing:
            disk.wipe = {**key, "state": "Refused", "reason": "generation", "message": "no marker"}
            return
        ours = {
            "volume": asked["volume"],
            "identity": disk.identity,
            "generation": wipe["generation"],
            "folder": wipe["folder"],
            "pvUID": wipe["pvUID"],
        }
        if marker is not None and marker != ours and not self._may_be_anyones(marker, asked, wipe):
            disk.wipe = {**key, "state": "Refused", "reason": "pv-uid", "message": "another PV"}
            return
        if disk.foreign and wipe["foreign"] == "keep":
            disk.wipe = {**key, "state": "Refused", "reason": "dirty", "message": "foreign files"}
            return
        gone = set(disk.folders.pop(wipe["folder"], set()))
        if wipe["foreign"] == "remove":
            gone |= disk.foreign
            for files in disk.folders.values():
                gone |= files
            disk.folders.clear()
            disk.foreign.clear()
        disk.cleared.append((wipe["generation"], wipe["pvUID"], frozenset(gone)))
        disk.marker = ours
        disk.wipe = {**key, "state": "Done"}

    def _may_be_anyones(
        self, marker: dict[str, Any], asked: dict[str, Any], wipe: dict[str, Any]
    ) -> bool:
        """A person said everything of a disk that never had a PV of this cluster, and it has not gone on since."""
        later = marker["volume"] == asked["volume"] and marker["generation"] > asked["generation"]
        return wipe["foreign"] == "remove" and not wipe["pvUID"] and not later
