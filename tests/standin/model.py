"""What PD remembers: stores, regions and their peers, as plain data that travels as JSON."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum
from typing import Any

KEYSPACE = 1 << 16  # a row's place is two bytes of its key's hash: regions are equal shares of it


class State(IntEnum):
    """metapb.StoreState: what PD was told about the store. Disconnected and Down are only readings of a clock."""

    UP = 0
    OFFLINE = 1
    TOMBSTONE = 2


class NodeState(IntEnum):
    """metapb.NodeState; a new store is PREPARING until PD has looked at it after its first heartbeat."""

    PREPARING = 0
    SERVING = 1
    REMOVING = 2
    REMOVED = 3


@dataclass
class Store:
    """One TiKV (or TiFlash) by its id; times in Unix nanoseconds unless their name says otherwise.

    `last_heartbeat` is what this PD knows, `persisted_heartbeat` what etcd knows: PD writes it once in five minutes,
    which is why every live store reads Disconnected or Down just after a leader change.
    """

    id: int
    address: str
    status_address: str = ""
    peer_address: str = ""
    version: str = "8.5.7"
    deploy_path: str = "/"
    labels: dict[str, str] = field(default_factory=dict)
    start_timestamp: int = 0  # Unix seconds
    state: State = State.UP
    node_state: NodeState = NodeState.PREPARING
    physically_destroyed: bool = False
    last_heartbeat: int = 0
    persisted_heartbeat: int = 0
    leader_weight: float = 1
    region_weight: float = 1
    disk_gone: bool = (
        False  # a fresh identity has asked for this store's address: its disk is gone (see loss.py)
    )

    @property
    def is_tiflash(self) -> bool:
        return self.labels.get("engine") == "tiflash"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"last_heartbeat": self.persisted_heartbeat}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Store:
        return cls(
            **{**data, "state": State(data["state"]), "node_state": NodeState(data["node_state"])}
        )


@dataclass(frozen=True)
class Stats:
    """What a store's heartbeat says about itself; bytes. PD forgets it with its process: then sizes read 0B."""

    capacity: int
    available: int
    used_size: int
    is_stopping: bool = False
    max_peer_down_seconds: float = 600.0  # raftstore.max-peer-down-duration


@dataclass(frozen=True)
class Peer:
    id: int
    store_id: int
    learner: bool = False


@dataclass(frozen=True)
class Move:
    """A change of voters that has begun: `ballot` was sealed, or may have been, on some peers of the old voters."""

    ballot: int
    voters: tuple[Peer, ...]


@dataclass(frozen=True)
class Region:
    """A share of the rows and the peers that hold it.

    `ballot` is the number of the configuration: peers take reads and writes only under it or a higher one
    (`operators.py` says why that keeps rows). `leader` is a peer's id: PD's answers and the graceful shutdown need it,
    rows do not. What PD's region checks read are `down` and `pending` (peer ids) and `offline`: like in PD they
    change only when the region reports.
    """

    id: int
    start: int
    end: int
    peers: tuple[Peer, ...]
    ballot: int = 1
    leader: int | None = None
    move: Move | None = None
    version: int = 1
    down: tuple[int, ...] = ()
    pending: tuple[int, ...] = ()
    offline: bool = False

    @property
    def voters(self) -> tuple[Peer, ...]:
        return tuple(peer for peer in self.peers if not peer.learner)

    @property
    def learners(self) -> tuple[Peer, ...]:
        return tuple(peer for peer in self.peers if peer.learner)

    @property
    def stores(self) -> frozenset[int]:
        return frozenset(peer.store_id for peer in self.peers)

    @property
    def leader_store(self) -> int | None:
        return next((peer.store_id for peer in self.peers if peer.id == self.leader), None)

    @property
    def majority(self) -> int:
        return len(self.voters) // 2 + 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Region:
        move = data.get("move")
        return cls(
            **{
                **data,
                "peers": tuple(Peer(**peer) for peer in data["peers"]),
                "move": Move(move["ballot"], tuple(Peer(**peer) for peer in move["voters"]))
                if move
                else None,
                "down": tuple(data["down"]),
                "pending": tuple(data["pending"]),
            }
        )

    def with_peers(self, *peers: Peer, **changes: Any) -> Region:
        return replace(self, peers=tuple(peers), **changes)


def place_of(key: str) -> int:
    """Where a row stands in the key space: spread evenly, the same in every process and for ever."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:2])


def first_regions(count: int, ids: list[int], store_id: int) -> list[Region]:
    """The regions of a new cluster, each with one peer on the store that bootstraps it; `ids` holds 2 x count ids."""
    bounds = [KEYSPACE * i // count for i in range(count + 1)]
    return [
        Region(
            id=ids[2 * i],
            start=bounds[i],
            end=bounds[i + 1],
            peers=(Peer(ids[2 * i + 1], store_id),),
            leader=ids[2 * i + 1],
            version=count,
        )
        for i in range(count)
    ]
