"""What PD says, typed: stores, members, regions. Shapes from pd-server 8.5 (tests/unit/pd replays its recorded
answers).

Parsing is strict where an action could follow from a field (ids, addresses, states, times): missing or of
another type is PdAnswerError. It is lenient where PD leaves keys out on purpose: an Up store has no `state`, a
new one no heartbeat.

Ids are integers of any size: a member's exceeds 2^53, so no float may touch it. Digits in quotes are taken as
ids too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from hooks.pd.errors import PdAnswerError, quote

TIMESTAMP = re.compile(
    r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?\d*(Z|[+-]\d{2}:\d{2})"
)


class StoreState(StrEnum):
    """`state_name` of a store. PD's word for all Offline stores is the same, alive or dead: see
    `last_heartbeat_ns`.
    """

    UP = "Up"
    DISCONNECTED = "Disconnected"
    DOWN = "Down"
    OFFLINE = "Offline"
    TOMBSTONE = "Tombstone"
    UNKNOWN = ""
    """A word this version of PD is not known to use: nothing may follow from it."""


@dataclass(frozen=True)
class Store:
    """One store as of one reading.

    `last_heartbeat_ns` is by PD's clock, nanoseconds since 1970, 0 when there never was one. After a leader
    change it is the stored one, up to 5 min old. `heard` is false until the present leader had a heartbeat of
    this store (`capacity` is 0B).
    """

    id: int
    address: str
    state: StoreState
    state_name: str
    physically_destroyed: bool
    last_heartbeat_ns: int
    heard: bool
    region_count: int
    leader_count: int
    start_ns: int = 0
    version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_tiflash(self) -> bool:
        """TiFlash stores count in PD's own replica checks, yet hold no voter: callers leave them out."""
        return self.labels.get("engine") in ("tiflash", "tiflash_compute")

    @property
    def retired(self) -> bool:
        """Final: its disk can never serve again under this id, and its address is free."""
        return self.state is StoreState.TOMBSTONE or self.physically_destroyed


@dataclass(frozen=True)
class Member:
    """One PD member. `name` is "" while it was added and has not come up (half-joined): it then has no
    `client_urls`.
    """

    id: int
    name: str
    client_urls: tuple[str, ...]
    peer_urls: tuple[str, ...]


@dataclass(frozen=True)
class Members:
    """`leader` is the PD leader; `etcd_leader` mostly the same one. `cluster_id` is PD's own, beyond 2^53."""

    cluster_id: int
    members: tuple[Member, ...]
    leader: Member | None
    etcd_leader: Member | None


@dataclass(frozen=True)
class MemberHealth:
    """One row of /health. It is a ping by the asked member, who counts itself healthy even without quorum."""

    id: int
    name: str
    healthy: bool


@dataclass(frozen=True)
class Peer:
    store: int
    voter: bool


@dataclass(frozen=True)
class Region:
    """One region of a check: its peers, and which stores' peers are down or pending by its leader's last report."""

    id: int
    peers: tuple[Peer, ...]
    down: frozenset[int]
    pending: frozenset[int]
    leader: int | None


@dataclass(frozen=True)
class Replication:
    """`isolation_level` and `location_labels` are "" when unset."""

    max_replicas: int
    location_labels: str
    isolation_level: str


@dataclass(frozen=True)
class Progress:
    """A drain under way: `fraction` 0 to 1; `left_seconds` is None while PD has no estimate."""

    fraction: float
    left_seconds: float | None


@dataclass(frozen=True)
class Maintenance:
    """The one maintenance task of the cluster. There is no expiry: judge its age by `start_timestamp` (seconds
    since 1970).
    """

    type: str
    id: str
    start_timestamp: int
    description: str


def store(raw: object) -> Store:
    """From one element of `stores` of GET /stores/check, or the answer of GET /store/{id}."""
    entry = mapping(raw, "store")
    meta = mapping(entry.get("store"), "store.store")
    status = mapping(entry.get("status"), "store.status")
    name = text(meta, "state_name")
    try:
        state = StoreState(name)
    except ValueError:
        state = StoreState.UNKNOWN
    return Store(
        id=number(meta, "id"),
        address=text(meta, "address"),
        state=state,
        state_name=name,
        physically_destroyed=flag(meta, "physically_destroyed"),
        last_heartbeat_ns=nanoseconds(text(status, "last_heartbeat_ts")),
        heard=text(status, "capacity") != "0B",
        region_count=number(status, "region_count"),
        leader_count=number(status, "leader_count"),
        start_ns=nanoseconds(text(status, "start_ts", "")),
        version=text(meta, "version", ""),
        labels={
            text(mapping(label, "label"), "key"): text(mapping(label, "label"), "value", "")
            for label in sequence(meta, "labels")
        },
    )


def member(raw: object) -> Member:
    """From one element of `members` of GET /members, its `leader`, or the answer of GET /leader."""
    entry = mapping(raw, "member")
    return Member(
        id=number(entry, "member_id"),
        name=text(entry, "name", ""),
        client_urls=texts(entry, "client_urls"),
        peer_urls=texts(entry, "peer_urls"),
    )


def members(raw: object) -> Members:
    """From GET /members."""
    entry = mapping(raw, "members")
    return Members(
        cluster_id=number(mapping(entry.get("header"), "header"), "cluster_id"),
        members=tuple(
            sorted(
                (member(one) for one in sequence(entry, "members", required=True)),
                key=lambda m: (m.name, m.id),
            )
        ),
        leader=_optional_member(entry.get("leader")),
        etcd_leader=_optional_member(entry.get("etcd_leader")),
    )


def _optional_member(raw: object) -> Member | None:
    # PD leaves the leader out, or sends {} for it, while there is none.
    return member(raw) if raw else None


def health(raw: object) -> tuple[MemberHealth, ...]:
    """From GET /health."""
    rows = [mapping(one, "health") for one in listing(raw, "health")]
    return tuple(
        sorted(
            (
                MemberHealth(number(row, "member_id"), text(row, "name", ""), flag(row, "health"))
                for row in rows
            ),
            key=lambda one: (one.name, one.id),
        )
    )


def region(raw: object) -> Region:
    """From one element of `regions` of GET /regions/check/*."""
    entry = mapping(raw, "region")
    leader = entry.get("leader")
    return Region(
        id=number(entry, "id"),
        peers=tuple(_peer(one) for one in sequence(entry, "peers")),
        down=frozenset(
            number(mapping(mapping(one, "down peer").get("peer"), "down peer"), "store_id")
            for one in sequence(entry, "down_peers")
        ),
        pending=frozenset(
            number(mapping(one, "pending peer"), "store_id")
            for one in sequence(entry, "pending_peers")
        ),
        leader=number(mapping(leader, "leader"), "store_id") if leader else None,
    )


def _peer(raw: object) -> Peer:
    entry = mapping(raw, "peer")
    # A voter on its way in or out votes in both configurations: it counts. Only a learner never does.
    return Peer(number(entry, "store_id"), text(entry, "role_name") != "Learner")


def replication(raw: object) -> Replication:
    """From GET /config/replicate, whose booleans are texts."""
    entry = mapping(raw, "replicate")
    return Replication(
        number(entry, "max-replicas"),
        text(entry, "location-labels", ""),
        text(entry, "isolation-level", ""),
    )


def progress(raw: object) -> Progress:
    """From GET /stores/progress?id=. Without an estimate PD sends the largest float there is as `left_seconds`."""
    entry = mapping(raw, "progress")
    left = real(entry, "left_seconds")
    return Progress(real(entry, "progress"), left if left < 1e300 else None)


def maintenance(raw: object) -> Maintenance:
    """From one element of GET /pd/api/v2/maintenance, or `existing_task` of a 409."""
    entry = mapping(raw, "maintenance task")
    return Maintenance(
        text(entry, "type"),
        text(entry, "id"),
        number(entry, "start_timestamp"),
        text(entry, "description", ""),
    )


def mapping(raw: object, what: str) -> Mapping[str, object]:
    if not isinstance(raw, dict):
        raise _unexpected(what, "an object", raw)
    return raw


def listing(raw: object, what: str) -> list[object]:
    if not isinstance(raw, list):
        raise _unexpected(what, "a list", raw)
    return raw


def sequence(entry: Mapping[str, object], key: str, *, required: bool = False) -> list[object]:
    raw = entry.get(key)
    return listing(raw, key) if raw is not None or required else []


def text(entry: Mapping[str, object], key: str, absent: str | None = None) -> str:
    raw = entry.get(key, absent)
    if not isinstance(raw, str):
        raise _unexpected(key, "a text", raw)
    return raw


def texts(entry: Mapping[str, object], key: str) -> tuple[str, ...]:
    found = sequence(entry, key)
    return tuple(text({key: one}, key) for one in found)


def number(entry: Mapping[str, object], key: str) -> int:
    raw = entry.get(key)
    if isinstance(raw, str) and raw.isascii() and raw.isdecimal():
        return int(raw)
    if not isinstance(raw, int) or isinstance(raw, bool) or raw < 0:
        raise _unexpected(key, "a whole number", raw)
    return raw


def real(entry: Mapping[str, object], key: str) -> float:
    raw = entry.get(key)
    if not isinstance(raw, int | float) or isinstance(raw, bool):
        raise _unexpected(key, "a number", raw)
    return float(raw)


def flag(entry: Mapping[str, object], key: str) -> bool:
    raw = entry.get(key, False)
    if not isinstance(raw, bool):
        raise _unexpected(key, "true or false", raw)
    return raw


def nanoseconds(stamp: str) -> int:
    """RFC 3339 with up to nine decimals as nanoseconds since 1970, which no float or datetime holds; "" and
    year 1 give 0.
    """
    if not stamp:
        return 0
    match = TIMESTAMP.fullmatch(stamp)
    if match is None:
        raise _unexpected("a time", "RFC 3339", stamp)
    whole, decimals, zone = match.groups()
    try:
        moment = datetime.fromisoformat(whole + ("+00:00" if zone == "Z" else zone))
    except ValueError as error:
        raise _unexpected("a time", "RFC 3339", stamp) from error
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = since.days * 86400 + since.seconds
    return max(0, seconds * 10**9 + int((decimals or "").ljust(9, "0")))


def _unexpected(what: str, expected: str, raw: object) -> PdAnswerError:
    return PdAnswerError(f"PD's answer has {quote(repr(raw))} as {what} where {expected} belongs")
