"""Where peers should be: PD's checkers and schedulers over plain data, reduced to what a job can notice.

`plan` is pure. Its promise: an operator never takes a voter away unless enough others of that region answer to copy
from (`quorate`), and never aims at a store that is not Up. What replica is worth replacing follows PD 8.5: a peer on
a Down store once its leader reports it down, a peer on an Offline store at once, never one on a Disconnected store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.standin.model import Peer, Region, State, Store

IN_FLIGHT_PER_STORE = 4  # snapshots that one store receives at a time
LEADER_TOLERANCE = 3  # the same for leaders
BALANCE_TOLERANCE = 3  # peers by which two stores may differ before balance-region moves one


@dataclass(frozen=True)
class Operator:
    """One step for one region: a new peer on `add`, then the voter `remove` taken away; either may be missing.

    With neither, the voters are sealed and opened again: the cure for a move that its PD leader did not finish.
    """

    kind: str
    region: int
    add: int | None = None
    remove: int | None = None  # a peer's id
    replica: bool = True  # counts against replica-schedule-limit; else region-schedule-limit


@dataclass(frozen=True)
class World:
    """What the plan looks at. `names` are the stores' state names, `room` the peers a store may receive now."""

    regions: Mapping[int, Region]
    stores: Mapping[int, Store]
    names: Mapping[int, str]
    silent: Collection[int]  # stores that answer nobody: no leader there, nothing to copy from
    max_replicas: int
    location_labels: Sequence[str]
    room: Mapping[int, int]
    busy: Mapping[int, Operator]
    replica_limit: int
    region_limit: int

    def quorate(self, region: Region) -> bool:
        return answering(region, self.silent) >= region.majority

    def target(self, region: Region, leaving: Peer | None, taken: Counter[int]) -> int | None:
        """The Up store that suits the region best: other places first, then the emptiest; None if there is none."""
        staying = [self.stores[p.store_id] for p in region.peers if p != leaving]
        held = peer_counts(self.regions.values())
        choices = [
            store
            for store in self.stores.values()
            if self.names[store.id] == "Up"
            and store.id not in region.stores
            and store.id not in self.silent
            and not store.is_tiflash
            and self.room.get(store.id, 0) > taken[store.id]
        ]
        best = min(
            choices,
            key=lambda s: (-self._isolation(s, staying), held[s.id] + taken[s.id], s.id),
            default=None,
        )
        return best.id if best else None

    def _isolation(self, store: Store, others: Iterable[Store]) -> int:
        return sum(
            store.labels.get(label) != other.labels.get(label)
            for other in others
            for label in self.location_labels
        )


def answering(region: Region, silent: Collection[int]) -> int:
    return sum(peer.store_id not in silent for peer in region.voters)


def peer_counts(regions: Iterable[Region]) -> Counter[int]:
    return Counter(peer.store_id for region in regions for peer in region.peers)


def leader_counts(regions: Iterable[Region]) -> Counter[int]:
    return Counter(region.leader_store for region in regions if region.leader_store is not None)


def plan(world: World) -> list[Operator]:
    """The operators to start now, within the limits; at most one a region, none for a busy one."""
    operators: list[Operator] = []
    taken = Counter(op.add for op in world.busy.values() if op.add is not None)
    replicas = sum(op.replica for op in world.busy.values())
    moves = len(world.busy) - replicas
    for region in sorted(world.regions.values(), key=lambda r: r.id):
        if region.id in world.busy or not world.quorate(region):
            continue
        operator = _repair(world, region, taken)
        if operator is None and not operators:
            operator = _balance(world, region, taken)
        if operator is None:
            continue
        limited = operator.add is not None or operator.remove is not None
        if limited and operator.replica and replicas >= world.replica_limit:
            continue
        if not operator.replica and moves >= world.region_limit:
            continue
        replicas += operator.replica
        moves += not operator.replica
        if operator.add is not None:
            taken[operator.add] += 1
        operators.append(operator)
    return operators


def _repair(world: World, region: Region, taken: Counter[int]) -> Operator | None:
    if region.move is not None:
        return Operator("resume-voter-change", region.id)
    if region.learners:
        return Operator("remove-left-over-learner", region.id)
    bad = [peer for peer in region.voters if _to_replace(world, region, peer)]
    if len(region.voters) > world.max_replicas:
        worst = bad[0] if bad else _on_fullest(world, region)
        return Operator("rm-extra-replica", region.id, remove=worst.id)
    if len(region.voters) < world.max_replicas:
        target = world.target(region, None, taken)
        return Operator("make-up-replica", region.id, add=target) if target else None
    for peer in bad:
        target = world.target(region, peer, taken)
        if target:
            offline = world.names[peer.store_id] in ("Offline", "Tombstone")
            kind = "replace-rule-offline-peer" if offline else "replace-rule-down-peer"
            return Operator(kind, region.id, add=target, remove=peer.id)
    return None


def _to_replace(world: World, region: Region, peer: Peer) -> bool:
    name = world.names.get(peer.store_id, "Tombstone")
    return name in ("Offline", "Tombstone") or (name == "Down" and peer.id in region.down)


def _on_fullest(world: World, region: Region) -> Peer:
    held = peer_counts(world.regions.values())
    return max(region.voters, key=lambda p: (held[p.store_id], p.id != region.leader, p.store_id))


def _balance(world: World, region: Region, taken: Counter[int]) -> Operator | None:
    if any(world.names.get(p.store_id) != "Up" for p in region.peers):
        return None
    held = peer_counts(world.regions.values()) + taken
    for op in world.busy.values():
        source = next((p for p in world.regions[op.region].peers if p.id == op.remove), None)
        if source is not None:
            held[source.store_id] -= 1
    fullest = _on_fullest(world, region)
    target = world.target(region, fullest, taken)
    if target is None or held[fullest.store_id] - held[target] < BALANCE_TOLERANCE:
        return None
    return Operator("balance-region", region.id, add=target, remove=fullest.id, replica=False)


def report(
    region: Region,
    stores: Mapping[int, Store],
    silent: Collection[int],
    down: Collection[int],
    shunned: Collection[int],
    leaders: Counter[int],
) -> Region:
    """The region after its leader's heartbeat: a leader that lives, the peers it misses.

    `silent` stores answer nobody, `down` ones have been silent for max-peer-down-duration, `shunned` ones must lose
    their leaders. Without a majority nobody reports and the record stays as it was, stale: PD's own trap. `offline`
    is looked at only when something else in the report changed: the other one.
    """
    leader = next((p for p in region.voters if p.id == region.leader), None)
    if answering(region, silent) < region.majority:
        if leader is None or leader.store_id in silent:
            return region
    elif leader is None or leader.store_id in silent or leader.store_id in shunned:
        able = [p for p in region.voters if p.store_id not in silent]
        wanted = [p for p in able if p.store_id not in shunned]
        if wanted:
            leader = min(wanted, key=lambda p: (leaders[p.store_id], p.store_id))
        elif leader is None or leader.store_id in silent:
            leader = able[0]
    elif not region.down:  # balance-leader leaves regions with down peers alone
        leader = _balanced_leader(region, leader, silent, shunned, leaders)
    reported = replace(
        region,
        leader=leader.id if leader else None,
        down=tuple(p.id for p in region.peers if p.store_id in down),
        pending=tuple(p.id for p in region.learners),
    )
    return refreshed(reported, stores) if reported != region else region


def _balanced_leader(
    region: Region,
    leader: Peer,
    silent: Collection[int],
    shunned: Collection[int],
    leaders: Counter[int],
) -> Peer:
    """balance-leader: another voter's store, if it has fewer leaders by LEADER_TOLERANCE or more."""
    able = [p for p in region.voters if p.store_id not in silent and p.store_id not in shunned]
    least = min(able, key=lambda p: (leaders[p.store_id], p.store_id))
    gap = leaders[leader.store_id] - leaders[least.store_id]
    return least if gap >= LEADER_TOLERANCE else leader


def refreshed(region: Region, stores: Mapping[int, Store]) -> Region:
    """The region with `offline` looked at anew, as PD does when a region changes."""
    offline = any(
        p.store_id in stores and stores[p.store_id].state is State.OFFLINE for p in region.peers
    )
    return replace(region, offline=offline)


CHECKS = ("miss-peer", "extra-peer", "down-peer", "pending-peer", "offline-peer", "learner-peer")


def check(name: str, region: Region, max_replicas: int) -> bool:
    """Whether /regions/check/{name} lists the region."""
    match name:
        case "miss-peer":
            return len(region.peers) < max_replicas
        case "extra-peer":
            return len(region.peers) > max_replicas
        case "down-peer":
            return bool(region.down)
        case "pending-peer":
            return bool(region.pending)
        case "offline-peer":
            return region.offline
        case _:
            return bool(region.learners)


def answer(region: Region, down_seconds: Mapping[int, int], size: int) -> dict[str, Any]:
    """One element of /regions/check/*: `down_seconds` by store id, `size` in MiB."""

    def peer(p: Peer) -> dict[str, Any]:
        if p.learner:
            return {
                "role_name": "Learner",
                "is_learner": True,
                "id": p.id,
                "store_id": p.store_id,
                "role": 1,
            }
        return {"role_name": "Voter", "id": p.id, "store_id": p.store_id}

    by_id = {p.id: p for p in region.peers}
    body: dict[str, Any] = {
        "id": region.id,
        "start_key": f"{region.start:04X}" if region.start else "",
        "end_key": f"{region.end:04X}" if region.end <= 0xFFFF else "",
        "epoch": {"conf_ver": region.ballot, "version": region.version},
        "peers": [peer(p) for p in region.peers],
    }
    if region.leader in by_id:
        body["leader"] = peer(by_id[region.leader])
    if region.down:
        body["down_peers"] = [
            {"peer": peer(by_id[i]), "down_seconds": down_seconds.get(by_id[i].store_id, 0)}
            for i in region.down
            if i in by_id
        ]
    if region.pending:
        body["pending_peers"] = [peer(by_id[i]) for i in region.pending if i in by_id]
    return body | {
        "cpu_usage": 0,
        "written_bytes": 0,
        "read_bytes": 0,
        "written_keys": 0,
        "read_keys": 0,
        "approximate_size": size,
        "approximate_keys": 0,
    }
