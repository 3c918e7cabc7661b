"""What the controller knows, as an index by TidbVolume: told by watches, asked for one volume's View at a time.

Small enough for 24,000 volumes in 250 MB: of each object only what decisions look at is kept, the status of a
TidbVolume and the disks of an inventory as JSON bytes until they are asked for.

Objects of one name are taken in the order of their resourceVersion (comparable since Kubernetes 1.35, KEP-5504),
because the answers to our own writes come in beside the watches. All methods may be called from any thread.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hooks.kube.kinds import Obj, name, namespace, version
from hooks.volumes import inventory, parse, requests
from hooks.volumes.inventory import Inventory, InventoryError
from hooks.volumes.model import Claim, Disk, Finished, Node, Now, Policy, Pv, View, Volume
from hooks.volumes.news import Buried, no_news, older
from schema import names


@dataclass(frozen=True, slots=True)
class Touched:
    """What has to be looked at again: volumes by name, nodes whose requests may differ."""

    volumes: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()


NOTHING = Touched()


@dataclass(frozen=True, slots=True)
class Complaint:
    """A ConfigMap that is not understood."""

    namespace: str
    name: str
    message: str


@dataclass(slots=True)
class _Node:
    """Of one node's last good inventory: names of the volumes on it, and the fresh-scan nonce it answered."""

    volumes: frozenset[str]
    nonce: str


@dataclass
class World:
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _volumes: dict[str, tuple[Volume, bytes]] = field(default_factory=dict)
    # Whose volumes there are: how many, by the label managed-by.
    _managers: Counter[str] = field(default_factory=Counter)
    _phases: Counter[str] = field(default_factory=Counter)
    _pvs: dict[str, dict[str, Pv]] = field(default_factory=dict)
    _pv_of_uid: dict[str, str] = field(default_factory=dict)
    # TidbVolume → the disks that claim its name: all nodes' reports.
    _disks: dict[str, tuple[Disk, ...]] = field(default_factory=dict)
    _inventories: dict[str, _Node] = field(default_factory=dict)
    _nodes: dict[str, Node] = field(default_factory=dict)
    _on_node: dict[str, set[str]] = field(default_factory=dict)
    _claims: dict[tuple[str, str], tuple[Claim, str]] = field(default_factory=dict)
    _finished: dict[str, Finished] = field(default_factory=dict)
    _finished_in: dict[str, frozenset[str]] = field(default_factory=dict)
    _requests: dict[str, tuple[str, str]] = field(default_factory=dict)
    _buried: Buried = field(default_factory=Buried)
    complaints: dict[tuple[str, str], Complaint] = field(default_factory=dict)

    # --- told ---
    def volume(self, obj: Obj) -> Touched:
        new = parse.volume(obj)
        with self._lock:
            if self._buried.holds(new.uid, new.version):
                return NOTHING
            old = self._volumes.get(new.name)
            if old is not None and old[0].uid == new.uid and no_news(new.version, old[0].version):
                return NOTHING
            managers = set(self._managers)
            self._uncount(old)
            self._managers[new.manager] += 1
            self._phases[new.phase or "Pending"] += 1
            status = json.dumps(new.status, separators=(",", ":"), sort_keys=True).encode()
            self._volumes[new.name] = (replace(new, status={}), status)
            last = new.last_node
            if last:
                self._on_node.setdefault(last, set()).add(new.name)
            return self._touched(new.name, managers)

    def volume_gone(self, volume: str, uid: str = "", version: str = "") -> Touched:
        """The one with this uid, at this resourceVersion, if they are known (news.py)."""
        with self._lock:
            old = self._volumes.get(volume)
            if uid:
                self._buried.bury(uid, version)
            if old is not None and uid not in ("", old[0].uid):
                return NOTHING
            managers = set(self._managers)
            self._uncount(self._volumes.pop(volume, None))
            return self._touched(volume, managers)

    def _touched(self, volume: str, managers: set[str]) -> Touched:
        """The volume; or everything, when a release manages none any more: whoever waited for that may begin."""
        if managers - set(self._managers):
            return Touched(frozenset(self._known()), frozenset(self._inventories))
        return Touched(frozenset({volume}), self._nodes_of(volume))

    def _uncount(self, old: tuple[Volume, bytes] | None) -> None:
        if old is None:
            return
        for counter, key in ((self._managers, old[0].manager), (self._phases, _phase(old[1]))):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]

    def pv(self, obj: Obj) -> Touched:
        new = parse.pv(obj)
        volume = parse.volume_of(new.name)
        if not volume:
            return NOTHING
        with self._lock:
            if self._buried.holds(new.uid, new.version):
                return NOTHING
            pvs = self._pvs.setdefault(volume, {})
            old = pvs.get(new.name)
            if old is not None and old.uid == new.uid and no_news(new.version, old.version):
                return NOTHING
            pvs[new.name] = new
            self._pv_of_uid[new.uid] = volume
            return Touched(frozenset({volume}), self._nodes_of(volume))

    def pv_gone(self, pv: str, uid: str = "", version: str = "") -> Touched:
        """As volume_gone."""
        volume = parse.volume_of(pv)
        with self._lock:
            old = self._pvs.get(volume, {}).get(pv)
            if uid:
                self._buried.bury(uid, version)
            if old is not None and uid in ("", old.uid):
                del self._pvs[volume][pv]
                self._pv_of_uid.pop(old.uid, None)
            return Touched(frozenset({volume}), self._nodes_of(volume)) if volume else NOTHING

    def node(self, obj: Obj) -> Touched:
        new = parse.node(obj)
        with self._lock:
            if self._nodes.get(new.name) == new:
                return NOTHING  # heartbeats
            self._nodes[new.name] = new
            return self._whole_node(new.name)

    def node_gone(self, node: str) -> Touched:
        with self._lock:
            self._nodes.pop(node, None)
            return self._whole_node(node)

    def claim(self, obj: Obj) -> Touched:
        claim, pv = parse.claim(obj)
        volume = parse.volume_of(pv)
        with self._lock:
            key = (claim.namespace, claim.name)
            if not volume:
                # Not bound yet, or to somebody else's volume; PVs tell us of the binding.
                self._claims.pop(key, None)
                return NOTHING
            if self._claims.get(key) == (claim, volume):
                return NOTHING
            self._claims[key] = (claim, volume)
            return Touched(frozenset({volume}))

    def claim_gone(self, key: tuple[str, str]) -> Touched:
        with self._lock:
            old = self._claims.pop(key, None)
            return Touched(frozenset({old[1]})) if old else NOTHING

    def finished(self, obj: Obj) -> Touched:
        """The whole ConfigMap `tidb-finished-volumes` of one namespace."""
        where = namespace(obj)
        entries: dict[str, Finished] = {}
        wrong = []
        for key, text in (obj.get("data") or {}).items():
            entry, message = inventory.read_finished(where, key, text)
            entries[key] = entry
            if message:
                wrong.append(f"{key}: {message}")
        with self._lock:
            self._complain(obj, "; ".join(wrong))
            return self._finish(where, entries)

    def finished_gone(self, where: str) -> Touched:
        with self._lock:
            return self._finish(where, {})

    def _finish(self, where: str, entries: Mapping[str, Finished]) -> Touched:
        before = self._finished_in.get(where, frozenset())
        changed = {u for u in before | set(entries) if self._finished.get(u) != entries.get(u)}
        for pv_uid in before - set(entries):
            self._finished.pop(pv_uid, None)
        self._finished.update(entries)
        self._finished_in[where] = frozenset(entries)
        return Touched(frozenset(v for u in changed if (v := self._pv_of_uid.get(u))))

    def exchange(self, obj: Obj) -> Touched:
        """A ConfigMap with the exchange label: an inventory, or our own requests."""
        what = (obj["metadata"].get("labels") or {}).get(names.EXCHANGE_LABEL)
        if what == names.REQUESTS:
            return self.requests(obj)
        if what != names.INVENTORY:
            return NOTHING
        text = str((obj.get("data") or {}).get(names.INVENTORY_KEY, ""))
        try:
            found = inventory.read(name(obj), text)
        except InventoryError as error:
            # The last good one of this process counts; without one, the node stays unknown.
            with self._lock:
                self._complain(obj, str(error))
            return NOTHING
        with self._lock:
            self._complain(obj, "; ".join(found.complaints))
            return self._take(found)

    def exchange_gone(self, configmap: str) -> Touched:
        """An inventory that is gone says nothing about the disks: the node is unknown from now on."""
        if configmap.startswith(names.REQUESTS_PREFIX):
            node = configmap.removeprefix(names.REQUESTS_PREFIX)
            with self._lock:
                self._requests.pop(node, None)
                return Touched(nodes=frozenset({node}))
        node = configmap.removeprefix(names.INVENTORY_PREFIX)
        with self._lock:
            self._forget_disks(node)
            self._inventories.pop(node, None)
            return self._whole_node(node)

    def requests(self, obj: Obj) -> Touched:
        node = name(obj).removeprefix(names.REQUESTS_PREFIX)
        text = str((obj.get("data") or {}).get(names.REQUESTS_KEY, ""))
        with self._lock:
            old = self._requests.get(node)
            if old is not None and older(version(obj), old[1]):
                return NOTHING
            self._requests[node] = (text, version(obj))
            return Touched(
                nodes=frozenset({node}) if old is None or old[0] != text else frozenset()
            )

    def _take(self, found: Inventory) -> Touched:
        before = self._volumes_on(found.node)
        old = {d: None for n in before for d in self._disks.get(n, ()) if d.node == found.node}
        self._forget_disks(found.node)
        by_name: dict[str, tuple[Disk, ...]] = {}
        for disk in found.disks:
            if disk.identity and disk.path:
                key = names.volume_name(disk.identity)
                by_name[key] = (*by_name.get(key, ()), disk)
        for key, disks in by_name.items():
            self._disks[key] = (*self._disks.get(key, ()), *disks)
        known = self._inventories.get(found.node)
        self._inventories[found.node] = _Node(frozenset(by_name), found.nonce)
        if known is None:
            return self._whole_node(found.node)
        # Only volumes whose own disk changed: an inventory of 500 disks is told whole for each progress of a wipe.
        changed = {
            names.volume_name(d.identity) for ds in by_name.values() for d in ds if d not in old
        }
        changed |= {n for n in before if n not in by_name}
        return Touched(frozenset(changed), frozenset({found.node}))

    def _forget_disks(self, node: str) -> None:
        for key in self._volumes_on(node):
            left = tuple(d for d in self._disks.get(key, ()) if d.node != node)
            if left:
                self._disks[key] = left
            else:
                self._disks.pop(key, None)

    def _volumes_on(self, node: str) -> frozenset[str]:
        known = self._inventories.get(node)
        return known.volumes if known is not None else frozenset()

    def _nodes_of(self, volume: str) -> frozenset[str]:
        return frozenset(d.node for d in self._disks.get(volume, ()))

    def _whole_node(self, node: str) -> Touched:
        volumes = self._volumes_on(node) | self._on_node.get(node, set())
        return Touched(frozenset(volumes), frozenset({node}))

    def _complain(self, obj: Obj, message: str) -> None:
        key = (namespace(obj), name(obj))
        if message:
            self.complaints[key] = Complaint(*key, message)
        else:
            self.complaints.pop(key, None)

    # --- asked ---
    def view(self, volume: str, now: Now) -> View:
        with self._lock:
            return self._view(volume, now)

    def _view(self, volume: str, now: Now) -> View:
        stored = self._volumes.get(volume)
        tidb_volume = None
        if stored is not None:
            tidb_volume = replace(stored[0], status=json.loads(stored[1]))
        pvs = tuple(sorted(self._pvs.get(volume, {}).values(), key=lambda p: p.generation))
        disks = self._disks.get(volume, ())
        concerned = {d.node for d in disks}
        if tidb_volume is not None and tidb_volume.last_node:
            concerned.add(tidb_volume.last_node)
        claim = finished = None
        generation = tidb_volume.generation if tidb_volume is not None else 0
        for pv in pvs:
            if pv.generation == generation and pv.claim is not None:
                found = self._claims.get((pv.claim.namespace, pv.claim.name))
                claim = found[0] if found is not None and found[0].uid == pv.claim.uid else None
                finished = self._finished.get(pv.uid)
        return View(
            name=volume,
            now=now,
            disks=disks,
            nodes={n: self._nodes[n] for n in sorted(concerned) if n in self._nodes},
            known=frozenset(n for n in concerned if n in self._inventories),
            volume=tidb_volume,
            pvs=pvs,
            claim=claim,
            finished=finished,
            managers=frozenset(self._managers),
        )

    def wanted_requests(self, node: str, now: Now, policy: Policy) -> str | None:
        """The requests document as it should be; None while the node is not known well enough to ask it anything."""
        with self._lock:
            if policy.foreign(self._managers):
                return None
            if node not in self._inventories or node not in self._nodes:
                return None
            views = (self._view(volume, now) for volume in sorted(self._volumes_on(node)))
            entries = [entry for view in views if (entry := requests.entry(view, node)) is not None]
            return requests.document(node, entries)

    def seen_requests(self, node: str) -> tuple[str, str]:
        """Text and resourceVersion of the node's requests ConfigMap; empty when there is none."""
        with self._lock:
            return self._requests.get(node, ("", ""))

    def nodes_of(self, volume: str) -> frozenset[str]:
        """The nodes that report the volume's disk."""
        with self._lock:
            return self._nodes_of(volume)

    def volumes_on(self, node: str) -> frozenset[str]:
        """The volumes whose disks the node reports."""
        with self._lock:
            return self._volumes_on(node)

    def nonce(self, node: str) -> str:
        """The fresh-scan nonce that the node answered last."""
        with self._lock:
            known = self._inventories.get(node)
            return known.nonce if known is not None else ""

    def all_volumes(self) -> list[str]:
        """Names of everything there is to decide about: TidbVolumes, PVs and disks."""
        with self._lock:
            return sorted(self._known())

    def _known(self) -> set[str]:
        return {*self._volumes, *self._disks, *(k for k, pvs in self._pvs.items() if pvs)}

    def all_nodes(self) -> list[str]:
        with self._lock:
            return sorted(self._inventories)

    def phases(self) -> Mapping[str, int]:
        with self._lock:
            return Counter(self._phases)

    def knows(self, volume: str) -> bool:
        """Whether the TidbVolume exists."""
        with self._lock:
            return volume in self._volumes

    def views(self, now: Now) -> Iterator[View]:
        for volume in self.all_volumes():
            yield self.view(volume, now)


def _phase(status: bytes) -> str:
    found: Any = json.loads(status).get("phase")
    return str(found or "Pending")
