"""The life of a store, as PD decides it: pure rules over `Store` records, with PD's own refusals.

Sources: release-8.5 of PD, `server/cluster/cluster.go` (RemoveStore, UpStore, PutMetaStore) and the captures
`store-*`, `stores-*`, `grpc-*`. The traps are kept: a Down or TiFlash store counts as up; `?force` is never refused;
an address is free again once its store is destroyed or a Tombstone; a removed record lets an old id come back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tests.standin.clock import Clock, format_duration, format_size, format_time
from tests.standin.model import NodeState, Region, State, Stats, Store

DISCONNECTED_AFTER = 20.0  # seconds without a heartbeat
PERSIST_EVERY = 300.0  # seconds between two times that PD writes a store's heartbeat to etcd
MIB = 1 << 20
STATE_WORDS = ("Up", "Disconnected", "Down", "Offline", "Tombstone")
LABEL_FORMAT = "^[-A-Za-z0-9_./]*$"


class RefusedError(Exception):
    """PD's refusal: its HTTP status and its text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class RegistrationError(Exception):
    """A refusal of PutStore or StoreHeartbeat: pdpb's ErrorType by number and name, and its message."""

    def __init__(self, kind: int, name: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.name = name
        self.message = message


def not_bootstrapped() -> RegistrationError:
    return RegistrationError(2, "NOT_BOOTSTRAPPED", "cluster is not bootstrapped")


def find(stores: Mapping[int, Store], store_id: int) -> Store:
    if store_id not in stores:
        raise RefusedError(404, f"[PD:core:ErrStoreNotFound]store {store_id} not found")
    return stores[store_id]


def state_name(store: Store, now: int, max_down_seconds: float, clock: Clock) -> str:
    """What PD calls the store; `now` in Unix nanoseconds, `max_down_seconds` as configured (unscaled)."""
    if store.state is State.TOMBSTONE:
        return "Tombstone"
    if store.state is State.OFFLINE:
        return "Offline"
    silent = (now - store.last_heartbeat) / 1e9
    if silent > clock.wait(max_down_seconds):
        return "Down"
    return "Disconnected" if silent > clock.wait(DISCONNECTED_AFTER) else "Up"


def delete(stores: Mapping[int, Store], store_id: int, max_replicas: int, *, force: bool) -> Store:
    """The store's record after DELETE /store/{id}; `force` says that its disk is gone and is never refused."""
    store = find(stores, store_id)
    if store.state is State.TOMBSTONE:
        raise RefusedError(410, f"[PD:core:ErrStoreRemoved]store {store_id} has been removed")
    if store.physically_destroyed and not force:
        raise RefusedError(
            400, f"[PD:core:ErrStoreDestroyed]store {store_id} has been physically destroyed"
        )
    if store.state is State.UP and not force:
        remaining = sum(other.state is State.UP for other in stores.values()) - 1
        if remaining < max_replicas:
            raise RefusedError(
                400,
                f"[PD:core:ErrStoresNotEnough]can not remove store {store_id} since the number of up stores "
                f"would be {remaining} while need {max_replicas}",
            )
    return replace(
        store,
        state=State.OFFLINE,
        node_state=NodeState.REMOVING,
        physically_destroyed=store.physically_destroyed or force,
    )


def cancel(stores: Mapping[int, Store], store_id: int) -> Store:
    """The store's record after POST /store/{id}/state?state=Up."""
    store = find(stores, store_id)
    if store.state is State.TOMBSTONE:
        raise RefusedError(410, f"[PD:core:ErrStoreRemoved]store {store_id} has been removed")
    if store.physically_destroyed:
        raise RefusedError(
            400, f"[PD:core:ErrStoreDestroyed]store {store_id} has been physically destroyed"
        )
    if store.state is State.UP:
        return store
    return replace(store, state=State.UP, node_state=NodeState.SERVING)


def bury(store: Store) -> Store:
    return replace(store, state=State.TOMBSTONE, node_state=NodeState.REMOVED)


def register(stores: Mapping[int, Store], new: Store) -> Store:
    """PutStore: the record to write for a TiKV that presents itself; raises RegistrationError with PD's message."""
    old = stores.get(new.id)
    if old is not None and old.state is State.TOMBSTONE:
        raise RegistrationError(3, "STORE_TOMBSTONE", "store is tombstone")
    rival = rival_of(stores, new)
    if rival is not None:
        raise RegistrationError(
            1,
            "UNKNOWN",
            f"duplicated store address: {describe(new)}, already registered by {describe(rival)}",
        )
    if old is None:
        return new
    return replace(
        old,
        address=new.address,
        status_address=new.status_address,
        peer_address=new.peer_address,
        version=new.version,
        start_timestamp=new.start_timestamp,
        labels=old.labels | new.labels,
    )


def rival_of(stores: Mapping[int, Store], new: Store) -> Store | None:
    """The store that holds the address of `new`: neither a Tombstone nor physically destroyed."""
    return next(
        (
            store
            for store in stores.values()
            if store.id != new.id
            and store.address == new.address
            and store.state is not State.TOMBSTONE
            and not store.physically_destroyed
        ),
        None,
    )


def heartbeat(stores: Mapping[int, Store], store_id: int) -> Store:
    """The store that a StoreHeartbeat is for; a destroyed one's is accepted, as PD does."""
    store = stores.get(store_id)
    if store is None:
        raise RegistrationError(1, "UNKNOWN", f"store {store_id} not found")
    if store.state is State.TOMBSTONE:
        raise RegistrationError(3, "STORE_TOMBSTONE", "store is tombstone")
    return store


def describe(store: Store) -> str:
    """The store as protobuf's text format writes it, in PD's messages."""
    state = f"state:{store.state.name.capitalize()} " if store.state else ""
    labels = "".join(f'labels:<key:"{k}" value:"{v}" > ' for k, v in store.labels.items())
    tail = f"last_heartbeat:{store.last_heartbeat} " if store.last_heartbeat else ""
    tail += "physically_destroyed:true " if store.physically_destroyed else ""
    tail += f"node_state:{store.node_state.name.capitalize()} " if store.node_state else ""
    return (
        f'id:{store.id} address:"{store.address}" {state}{labels}version:"{store.version}" '
        f'peer_address:"{store.peer_address}" status_address:"{store.status_address}" '
        f'start_timestamp:{store.start_timestamp} deploy_path:"{store.deploy_path}" {tail}'
    )


def check_labels(labels: Mapping[str, str]) -> None:
    """Raises RefusedError, with PD's text, for a label that PD would not take."""
    for text in (*labels, *labels.values()):
        if not re.fullmatch(LABEL_FORMAT.strip("^$"), text):
            raise RefusedError(400, f'{text} does not match format "{LABEL_FORMAT}"')


def answer(
    store: Store,
    name: str,
    stats: Stats | None,
    regions: Iterable[Region],
    sizes: Mapping[int, int],
) -> dict[str, Any]:
    """One element of /stores: `{store, status}`; `sizes` gives a region's size in MiB (empty: not known yet)."""
    held = [region for region in regions if store.id in region.stores]
    led = [region for region in held if region.leader_store == store.id]
    size, leader_size = (sum(sizes.get(region.id, 0) for region in some) for some in (held, led))
    record: dict[str, Any] = {"id": store.id, "address": store.address}
    if store.state:
        record["state"] = int(store.state)
    if store.labels:
        record["labels"] = [{"key": k, "value": v} for k, v in store.labels.items()]
    record |= {
        "version": store.version,
        "peer_address": store.peer_address,
        "status_address": store.status_address,
        "start_timestamp": store.start_timestamp,
        "deploy_path": store.deploy_path,
    }
    if store.last_heartbeat:
        record["last_heartbeat"] = store.last_heartbeat
    if store.physically_destroyed:
        record["physically_destroyed"] = True
    if store.node_state:
        record["node_state"] = int(store.node_state)
    record["state_name"] = name
    status: dict[str, Any] = {
        "capacity": format_size(stats.capacity if stats else 0),
        "available": format_size(stats.available if stats else 0),
        "used_size": format_size(stats.used_size if stats else 0),
        "leader_count": len(led),
        "leader_weight": store.leader_weight,
        "leader_score": len(led) / max(store.leader_weight, 1e-6),
        "leader_size": leader_size,
        "region_count": len(held),
        "region_weight": store.region_weight,
        "region_score": size / max(store.region_weight, 1e-6),
        "region_size": size,
    }
    learners = sum(
        peer.learner for region in held for peer in region.peers if peer.store_id == store.id
    )
    pending = sum(
        peer.id in region.pending
        for region in held
        for peer in region.peers
        if peer.store_id == store.id
    )
    status |= {"learner_count": learners} if learners else {}
    status |= {"pending_peer_count": pending} if pending else {}
    status |= {"slow_score": 1} if stats else {}
    status["start_ts"] = format_time(store.start_timestamp * 1_000_000_000)
    status["last_heartbeat_ts"] = format_time(store.last_heartbeat)
    uptime = store.last_heartbeat / 1e9 - store.start_timestamp
    if store.last_heartbeat and uptime > 0:
        status["uptime"] = format_duration(uptime)
    return {"store": record, "status": status}
