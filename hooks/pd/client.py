"""PD's HTTP API as the jobs use it: one method per endpoint, typed results, errors by remedy.

How it asks (which member, how long, how often) is asking.py's. One answer proves little: a former leader serves
stale 200s for 7.5 s, and after a leader change live stores read Disconnected or Down for up to one heartbeat.
Judging two readings is the caller's work (hooks/failover).

Not here: `?force=false`, which forces too (PD looks at the presence of the word), and deleting a member by its
name, which could hit the member that just joined anew under that name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from hooks.pd import model
from hooks.pd.asking import PATIENCE_SECONDS, Answer, Asking, Clock, expect_ok, refusal
from hooks.pd.errors import (
    PdAnswerError,
    PdNotFoundError,
    PdOtherClusterError,
    PdRefusedError,
    PdTakenError,
    PdUnhealthyError,
    PdUnreachableError,
    quote,
)
from hooks.pd.transport import Http, Transport, TransportError

V1 = "/pd/api/v1"
V2 = "/pd/api/v2"
EVICT_LEADER = "evict-leader-scheduler"

REGIONS_HEAD = re.compile(r'\s*\{\s*"count"\s*:\s*(\d+)\s*,\s*"regions"\s*:\s*(\[|null)')


class Pd:
    """A cluster's PD, through any of its members' client URLs (`http://…:2379`).

    Every method raises PdUnreachableError, PdNoLeaderError or PdAnswerError after `patience_seconds`; those
    that need a bootstrapped cluster raise PdNotBootstrappedError at once. Further errors stand at the method.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        transport: Transport | None = None,
        clock: Clock | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        if not urls:
            raise ValueError("Pd needs at least one member's URL")
        self._asking = Asking(urls, transport or Http(), clock or Clock(), patience_seconds)

    # Members

    def members(self) -> model.Members:
        """GET /members: cluster id, members (half-joined ones without a name), leader. Works before bootstrap."""
        return self._asking.read(f"{V1}/members", model.members)

    def leader(self) -> model.Member:
        """GET /leader: the one endpoint that proves service; /health, /ping and /ready answer 200 without
        quorum.
        """
        return self._asking.read(f"{V1}/leader", model.member)

    def health(self) -> tuple[model.MemberHealth, ...]:
        """GET /health: a ping of each member. Count the healthy ones against the list; one 200 proves nothing."""
        return self._asking.read(f"{V1}/health", model.health)

    def cluster_id(self) -> int:
        """GET /cluster. Works before bootstrap."""
        return self._asking.read(
            f"{V1}/cluster", lambda raw: model.number(model.mapping(raw, "cluster"), "id")
        )

    def is_bootstrapped(self) -> bool:
        """GET /cluster/status: whether any TiKV store has ever registered."""
        return self._asking.read(
            f"{V1}/cluster/status",
            lambda raw: model.flag(model.mapping(raw, "cluster status"), "is_initialized"),
        )

    def ready(self) -> bool:
        """GET /pd/api/v2/ready (8.5.2+): 500 from the leader until the first TiKV has bootstrapped the cluster.

        One round, first answer wins: meant for a client of one URL.
        """
        answer = self._asking.ask(
            "GET", f"{V2}/ready", None, lambda answer: answer.status in (200, 500)
        )
        return answer.status == 200

    def delete_member(self, member_id: int) -> None:
        """DELETE /members/id/{id}: twice is fine. Raises PdUnhealthyError where etcd protects the quorum."""
        answer = self._asking.ask(
            "DELETE",
            f"{V1}/members/id/{member_id}",
            None,
            lambda answer: _is_member_verdict(answer),
        )
        if answer.status == 200 or "member not found" in answer.text:
            return
        if "unhealthy cluster" in answer.text:
            raise answer.error(PdUnhealthyError, "was refused to protect the quorum")
        raise refusal(answer)

    def transfer_leader(self, name: str) -> None:
        """POST /leader/transfer/{name}: returns after the move (0.5 s). Raises PdRefusedError for a name PD
        cannot move to.
        """
        answer = self._asking.ask(
            "POST",
            f"{V1}/leader/transfer/{name}",
            None,
            lambda answer: answer.status == 200 or "no valid pd" in answer.text,
        )
        if answer.status != 200:
            raise answer.error(PdRefusedError, "was refused")

    # Stores

    def stores(self) -> tuple[model.Store, ...]:
        """GET /stores/check: every store by id, Tombstones included (GET /stores leaves them out)."""
        return self._asking.read(f"{V1}/stores/check", _stores)

    def store(self, store_id: int) -> model.Store:
        """GET /store/{id}. Raises PdNotFoundError."""
        return self._asking.read(f"{V1}/store/{store_id}", model.store)

    def retire_store(self, store_id: int, *, force: bool) -> None:
        """DELETE /store/{id}: Offline, so that PD moves its regions away; with `force` physically destroyed.

        PD protects nothing here: plain, it counts Down and TiFlash stores as Up; forced, it refuses nothing
        and cannot be undone. The caller has counted. Twice is fine.
        Raises PdNotFoundError, PdRetiredError (also plain on a destroyed one), PdRefusedError (too few stores).
        """
        suffix = "?force=true" if force else ""
        answer = self._asking.ask("DELETE", f"{V1}/store/{store_id}{suffix}", None)
        expect_ok(answer)

    def restore_store(self, store_id: int) -> None:
        """POST /store/{id}/state?state=Up: cancels an Offline. Raises PdNotFoundError, PdRetiredError (final)."""
        expect_ok(self._asking.ask("POST", f"{V1}/store/{store_id}/state?state=Up", None))

    def progress(self, store_id: int) -> model.Progress | None:
        """GET /stores/progress?id=: how far a drain is; None when there is no drain (Up, Tombstone, cancelled)."""
        try:
            return self._asking.read(f"{V1}/stores/progress?id={store_id}", model.progress)
        except PdNotFoundError:
            return None

    def remove_tombstones(self) -> None:
        """DELETE /stores/remove-tombstone: forgets *all* Tombstones, so it is asked once: a second one, long after,
        could take one that nobody had looked at.

        An old id whose record is gone registers again with its stale disk: only after every Tombstone's volume
        was cleared, or its Node is gone for good.
        """
        expect_ok(self._asking.ask("DELETE", f"{V1}/stores/remove-tombstone", None, once=True))

    # Regions, configuration

    def regions(self, check: str) -> Iterator[model.Region]:
        """GET /regions/check/{check}: "down-peer", "miss-peer", "pending-peer", "extra-peer", "learner-peer",
        one by one.

        A lost store has all its regions here, a gigabyte in a large cluster: they are parsed as they arrive,
        never kept. Regions without a leader report nothing, so these lists prove health only while all stores
        are Up and heartbeating. The end is checked: a cut answer raises PdAnswerError or PdUnreachableError
        during the iteration.
        """
        yield from self._listed(f"{V1}/regions/check/{check}")

    def regions_of(self, store_id: int) -> Iterator[model.Region]:
        """GET /regions/store/{id}: every region with a peer there, as PD knows it; streamed as `regions` is.

        The checks pass over a peer on a store that is silent or was destroyed until its region's leader has missed
        it for max-peer-down-duration (10 min).
        """
        yield from self._listed(f"{V1}/regions/store/{store_id}")

    def _listed(self, path: str) -> Iterator[model.Region]:
        url, response = self._asking.open(path)
        try:
            yield from _regions(response.chunks)
        except PdAnswerError as error:
            raise PdAnswerError(
                f"GET {path} at {url}: {error}", tried=f"GET {path}", asked=url
            ) from error
        except TransportError as error:
            raise PdUnreachableError(
                f"GET {path} at {url} broke off: {error}", tried=f"GET {path}", asked=url
            ) from error

    def replication(self) -> model.Replication:
        """GET /config/replicate."""
        return self._asking.read(f"{V1}/config/replicate", model.replication)

    # Schedulers

    def evicting_stores(self) -> frozenset[int]:
        """GET /scheduler-config/evict-leader-scheduler/list: the stores whose leaders are kept away; {}
        without one.
        """
        path = f"{V1}/scheduler-config/{EVICT_LEADER}/list"
        answer = self._asking.ask("GET", path, None)
        if answer.status == 404:
            return frozenset()
        expect_ok(answer)
        ranges = model.mapping(
            model.mapping(answer.parsed(), "evict-leader").get("store-id-ranges"), "store-id-ranges"
        )
        return frozenset(model.number({"store": key}, "store") for key in ranges)

    def evict_leaders(self, store_id: int) -> None:
        """POST /schedulers: keep leaders away from this store. Twice is fine. Raises PdNotFoundError."""
        body = {"name": EVICT_LEADER, "store_id": store_id}
        expect_ok(self._asking.ask("POST", f"{V1}/schedulers", body))

    def stop_evicting_leaders(self, store_id: int) -> None:
        """DELETE /schedulers/evict-leader-scheduler-{id}: absent is done."""
        answer = self._asking.ask("DELETE", f"{V1}/schedulers/{EVICT_LEADER}-{store_id}", None)
        if answer.status != 404:
            expect_ok(answer)

    # The cluster-wide maintenance task

    def maintenance(self) -> model.Maintenance | None:
        """GET /pd/api/v2/maintenance: who holds it; None when nobody does (or PD is older than 8.5.6 and has
        no such thing).
        """
        answer = self._asking.ask("GET", f"{V2}/maintenance", None)
        if answer.status == 404:
            return None
        expect_ok(answer)
        held = model.listing(answer.parsed(), "maintenance")
        return model.maintenance(held[0]) if held else None

    def begin_maintenance(self, kind: str, task_id: str, description: str) -> None:
        """PUT /pd/api/v2/maintenance/{type}/{id}. Holding it already is fine. Raises PdTakenError: another one
        holds it.
        """
        answer = self._asking.ask("PUT", f"{V2}/maintenance/{kind}/{task_id}", {"by": description})
        if answer.status == 409:
            held = model.maintenance(
                model.mapping(answer.parsed(), "conflict").get("existing_task")
            )
            if (held.type, held.id) != (kind, task_id):
                raise answer.error(PdTakenError, f"found {held.type}/{held.id} at work")
            return
        expect_ok(answer)

    def end_maintenance(self, kind: str, task_id: str) -> None:
        """DELETE /pd/api/v2/maintenance/{type}/{id}: absent is done. Raises PdTakenError: another one holds it."""
        answer = self._asking.ask("DELETE", f"{V2}/maintenance/{kind}/{task_id}", None)
        if answer.status == 409:
            raise answer.error(PdTakenError, "is held by another task")
        if answer.status != 404:
            expect_ok(answer)


def _is_member_verdict(answer: Answer) -> bool:
    return answer.code == "etcd:ErrEtcdMemberRemove" and (
        "member not found" in answer.text or "unhealthy cluster" in answer.text
    )


def _stores(raw: object) -> tuple[model.Store, ...]:
    entry = model.mapping(raw, "stores")
    rows = model.sequence(entry, "stores")
    found = tuple(sorted((model.store(one) for one in rows), key=lambda one: one.id))
    if len(found) != model.number(entry, "count"):
        raise PdAnswerError(f"PD counts {entry.get('count')} stores and lists {len(found)}")
    return found


def _regions(chunks: Iterator[bytes]) -> Iterator[model.Region]:
    decoder = json.JSONDecoder()
    buffer = ""
    head = None
    while head is None:
        chunk = next(chunks, b"")
        buffer += chunk.decode("utf-8", "replace")
        head = REGIONS_HEAD.match(buffer)
        if head is None and (not chunk or len(buffer) > 1024):
            raise PdAnswerError(f"no list of regions begins with {quote(buffer)!r}")
    expected, found = int(head.group(1)), 0
    buffer = buffer[head.end() :]
    more = head.group(2) == "["
    while more:
        buffer = buffer.lstrip(" \t\r\n,")
        if buffer.startswith("]"):
            break
        try:
            raw, end = decoder.raw_decode(buffer)
        except ValueError:
            chunk = next(chunks, b"")
            if not chunk:
                raise PdAnswerError(
                    f"the list of regions ends after {found} of {expected}"
                ) from None
            buffer += chunk.decode("utf-8", "replace")
            continue
        buffer = buffer[end:]
        found += 1
        yield model.region(raw)
    if found != expected:
        raise PdAnswerError(f"PD counts {expected} regions and lists {found}")


def require_cluster(members: model.Members, expected: int, where: str) -> None:
    """Raise PdOtherClusterError unless these members are of the cluster that the durable record (`where`) names."""
    if members.cluster_id != expected:
        raise PdOtherClusterError(
            f"PD answers as cluster {members.cluster_id}, but {where} names cluster {expected}: these are not "
            "the members that bootstrapped this release, nothing is changed; find out whose PD listens at "
            "the release's addresses"
        )
