"""PD's HTTP API as the jobs use it: one method per endpoint, typed results, errors by remedy.

How it asks, and why (recorded from a real pd-server; the captures' README says more):

- Any member forwards to the leader. A member is asked for 5 s (15 s for a write), then the next one: a request
  that was forwarded to a hung leader stays open for minutes, long after a new leader was elected.
- An election takes up to 15 s and answers 500 at once meanwhile. So 5xx and silence are asked again, all
  members in turn, for `patience` (30 s). With no patience every member is asked once.
- Every write here can be sent twice: it names a store or member by its id, which PD never gives to another one.
- One answer proves little: a former leader serves stale 200s for 7.5 s, and after a leader change live stores read
  Disconnected or Down for up to one heartbeat. Judging two readings is the caller's work (hooks/failover).

Not here: `?force=false`, which forces too (PD looks at the presence of the word), and deleting a member by its
name, which could hit the member that just joined anew under that name.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hooks.pd import model
from hooks.pd.errors import (
    PdAnswerError,
    PdError,
    PdNoLeaderError,
    PdNotBootstrappedError,
    PdNotFoundError,
    PdOtherClusterError,
    PdRefusedError,
    PdRetiredError,
    PdTakenError,
    PdUnhealthyError,
    PdUnreachableError,
    code_of,
    quote,
)
from hooks.pd.transport import Http, Request, Response, Transport, TransportError

READ_SECONDS = 5.0
WRITE_SECONDS = 15.0
REGIONS_SECONDS = 60.0
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.5
LARGEST_BYTES = 16 * 1024 * 1024

V1 = "/pd/api/v1"
V2 = "/pd/api/v2"
EVICT_LEADER = "evict-leader-scheduler"

NO_LEADER = {
    "apiutil:ErrRedirect",
    "apiutil:ErrRedirectNoLeader",
    "apiutil:ErrRedirectToNotLeader",
    "server:ErrLeaderNil",
}
NOT_FOUND = {"core:ErrStoreNotFound", "progress:ErrProgressNotFound"}
RETIRED = {"core:ErrStoreRemoved", "core:ErrStoreDestroyed"}
ETCD_WRITE_FAILED = {"etcd:ErrEtcdKVPut", "etcd:ErrEtcdTxnInternal", "etcd:ErrEtcdTxnConflict"}

REGIONS_HEAD = re.compile(r'\s*\{\s*"count"\s*:\s*(\d+)\s*,\s*"regions"\s*:\s*(\[|null)')

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Clock:
    """Time as the client sees it; tests bring their own."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class _Answer:
    status: int
    text: str
    asked: str
    tried: str

    @property
    def code(self) -> str:
        return code_of(self.text)

    def parsed(self) -> object:
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise self.error(PdAnswerError, "answered something that is not JSON") from error

    def error(self, kind: type[PdError], what: str) -> PdError:
        return kind(
            f"{self.tried} at {self.asked} {what}: {self.status} {quote(self.text)!r}",
            tried=self.tried,
            asked=self.asked,
            code=self.code,
            said=quote(self.text),
        )


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
        self._urls = [url.rstrip("/") for url in urls]
        self._transport = transport or Http()
        self._clock = clock or Clock()
        self._patience = patience_seconds

    # Members

    def members(self) -> model.Members:
        """GET /members: cluster id, members (half-joined ones without a name), leader. Works before bootstrap."""
        return self._read(f"{V1}/members", model.members)

    def leader(self) -> model.Member:
        """GET /leader: the one endpoint that proves service; /health, /ping and /ready answer 200 without
        quorum.
        """
        return self._read(f"{V1}/leader", model.member)

    def health(self) -> tuple[model.MemberHealth, ...]:
        """GET /health: a ping of each member. Count the healthy ones against the list; one 200 proves nothing."""
        return self._read(f"{V1}/health", model.health)

    def cluster_id(self) -> int:
        """GET /cluster. Works before bootstrap."""
        return self._read(
            f"{V1}/cluster", lambda raw: model.number(model.mapping(raw, "cluster"), "id")
        )

    def is_bootstrapped(self) -> bool:
        """GET /cluster/status: whether any TiKV store has ever registered."""
        return self._read(
            f"{V1}/cluster/status",
            lambda raw: model.flag(model.mapping(raw, "cluster status"), "is_initialized"),
        )

    def ready(self) -> bool:
        """GET /pd/api/v2/ready (8.5.2+): 500 from the leader until the first TiKV has bootstrapped the cluster.

        One round, first answer wins: meant for a client of one URL.
        """
        answer = self._ask("GET", f"{V2}/ready", None, lambda answer: answer.status in (200, 500))
        return answer.status == 200

    def delete_member(self, member_id: int) -> None:
        """DELETE /members/id/{id}: twice is fine. Raises PdUnhealthyError where etcd protects the quorum."""
        answer = self._ask(
            "DELETE",
            f"{V1}/members/id/{member_id}",
            None,
            lambda answer: _is_member_verdict(answer),
        )
        if answer.status == 200 or "member not found" in answer.text:
            return
        if "unhealthy cluster" in answer.text:
            raise answer.error(PdUnhealthyError, "was refused to protect the quorum")
        raise self._refusal(answer)

    def transfer_leader(self, name: str) -> None:
        """POST /leader/transfer/{name}: returns after the move (0.5 s). Raises PdRefusedError for a name PD
        cannot move to.
        """
        answer = self._ask(
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
        return self._read(f"{V1}/stores/check", _stores)

    def store(self, store_id: int) -> model.Store:
        """GET /store/{id}. Raises PdNotFoundError."""
        return self._read(f"{V1}/store/{store_id}", model.store)

    def retire_store(self, store_id: int, *, force: bool) -> None:
        """DELETE /store/{id}: Offline, so that PD moves its regions away; with `force` physically destroyed.

        PD protects nothing here: plain, it counts Down and TiFlash stores as Up; forced, it refuses nothing
        and cannot be undone. The caller has counted. Twice is fine.
        Raises PdNotFoundError, PdRetiredError (also plain on a destroyed one), PdRefusedError (too few stores).
        """
        suffix = "?force=true" if force else ""
        answer = self._ask("DELETE", f"{V1}/store/{store_id}{suffix}", None)
        self._expect_ok(answer)

    def restore_store(self, store_id: int) -> None:
        """POST /store/{id}/state?state=Up: cancels an Offline. Raises PdNotFoundError, PdRetiredError (final)."""
        self._expect_ok(self._ask("POST", f"{V1}/store/{store_id}/state?state=Up", None))

    def progress(self, store_id: int) -> model.Progress | None:
        """GET /stores/progress?id=: how far a drain is; None when there is no drain (Up, Tombstone, cancelled)."""
        try:
            return self._read(f"{V1}/stores/progress?id={store_id}", model.progress)
        except PdNotFoundError:
            return None

    def remove_tombstones(self) -> None:
        """DELETE /stores/remove-tombstone: forgets *all* Tombstones.

        An old id whose record is gone registers again with its stale disk: only after every Tombstone's volume
        was cleared, or its Node is gone for good.
        """
        self._expect_ok(self._ask("DELETE", f"{V1}/stores/remove-tombstone", None))

    # Regions, configuration

    def regions(self, check: str) -> Iterator[model.Region]:
        """GET /regions/check/{check}: "down-peer", "miss-peer", "pending-peer", "extra-peer", "learner-peer",
        one by one.

        A lost store has all its regions here, a gigabyte in a large cluster: they are parsed as they arrive,
        never kept. Regions without a leader report nothing, so these lists prove health only while all stores
        are Up and heartbeating. The end is checked: a cut answer raises PdAnswerError or PdUnreachableError
        during the iteration.
        """
        path = f"{V1}/regions/check/{check}"
        url, response = self._open(path)
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
        return self._read(f"{V1}/config/replicate", model.replication)

    # Schedulers

    def evicting_stores(self) -> frozenset[int]:
        """GET /scheduler-config/evict-leader-scheduler/list: the stores whose leaders are kept away; {}
        without one.
        """
        path = f"{V1}/scheduler-config/{EVICT_LEADER}/list"
        answer = self._ask("GET", path, None)
        if answer.status == 404:
            return frozenset()
        self._expect_ok(answer)
        ranges = model.mapping(
            model.mapping(answer.parsed(), "evict-leader").get("store-id-ranges"), "store-id-ranges"
        )
        return frozenset(model.number({"store": key}, "store") for key in ranges)

    def evict_leaders(self, store_id: int) -> None:
        """POST /schedulers: keep leaders away from this store. Twice is fine. Raises PdNotFoundError."""
        body = {"name": EVICT_LEADER, "store_id": store_id}
        self._expect_ok(self._ask("POST", f"{V1}/schedulers", body))

    def stop_evicting_leaders(self, store_id: int) -> None:
        """DELETE /schedulers/evict-leader-scheduler-{id}: absent is done."""
        answer = self._ask("DELETE", f"{V1}/schedulers/{EVICT_LEADER}-{store_id}", None)
        if answer.status != 404:
            self._expect_ok(answer)

    # The cluster-wide maintenance task

    def maintenance(self) -> model.Maintenance | None:
        """GET /pd/api/v2/maintenance: who holds it; None when nobody does (or PD is older than 8.5.6 and has
        no such thing).
        """
        answer = self._ask("GET", f"{V2}/maintenance", None)
        if answer.status == 404:
            return None
        self._expect_ok(answer)
        held = model.listing(answer.parsed(), "maintenance")
        return model.maintenance(held[0]) if held else None

    def begin_maintenance(self, kind: str, task_id: str, description: str) -> None:
        """PUT /pd/api/v2/maintenance/{type}/{id}. Holding it already is fine. Raises PdTakenError: another one
        holds it.
        """
        answer = self._ask("PUT", f"{V2}/maintenance/{kind}/{task_id}", {"by": description})
        if answer.status == 409:
            held = model.maintenance(
                model.mapping(answer.parsed(), "conflict").get("existing_task")
            )
            if (held.type, held.id) != (kind, task_id):
                raise answer.error(PdTakenError, f"found {held.type}/{held.id} at work")
            return
        self._expect_ok(answer)

    def end_maintenance(self, kind: str, task_id: str) -> None:
        """DELETE /pd/api/v2/maintenance/{type}/{id}: absent is done. Raises PdTakenError: another one holds it."""
        answer = self._ask("DELETE", f"{V2}/maintenance/{kind}/{task_id}", None)
        if answer.status == 409:
            raise answer.error(PdTakenError, "is held by another task")
        if answer.status != 404:
            self._expect_ok(answer)

    # Asking

    def _read(self, path: str, parse: Callable[[object], Parsed]) -> Parsed:
        answer = self._ask("GET", path, None)
        self._expect_ok(answer)
        try:
            return parse(answer.parsed())
        except PdAnswerError as error:
            if error.tried:
                raise
            raise answer.error(PdAnswerError, f"cannot be understood ({error})") from error

    def _ask(
        self,
        method: str,
        path: str,
        body: object,
        settles: Callable[[_Answer], bool] | None = None,
    ) -> _Answer:
        """The first answer that settles the question; 5xx and silence do not, unless `settles` says so."""
        return self._rounds(
            method, path, lambda url: self._ask_one(method, url, path, body, settles)
        )

    def _open(self, path: str) -> tuple[str, Response]:
        """A 200 whose body is still to be read, and who gave it."""

        def ask(url: str) -> tuple[str, Response]:
            response = self._transport.send(
                Request("GET", url + path, None, READ_SECONDS, REGIONS_SECONDS)
            )
            if response.status != 200:
                text = response.text(LARGEST_BYTES)
                answer = _Answer(response.status, text, url, f"GET {path}")
                _raise_unsettled(answer)
                raise self._refusal(answer)
            return url, response

        return self._rounds("GET", path, ask)

    def _rounds(self, method: str, path: str, ask: Callable[[str], Parsed]) -> Parsed:
        """`ask` each member in turn until one settles it or patience ends; then the error that tells most."""
        give_up = self._clock.monotonic() + self._patience
        while True:
            failures: dict[str, Exception] = {}
            for position, url in enumerate(list(self._urls)):
                try:
                    answered = ask(url)
                except (_UnsettledError, TransportError) as failure:
                    failures[url] = failure
                    continue
                # The next question goes to the member that answered: it is alive, and readings stay comparable.
                self._urls = self._urls[position:] + self._urls[:position]
                return answered
            if self._clock.monotonic() + PAUSE_SECONDS > give_up:
                raise _gave_up(f"{method} {path}", failures, self._patience)
            self._clock.sleep(PAUSE_SECONDS)

    def _ask_one(
        self,
        method: str,
        url: str,
        path: str,
        body: object,
        settles: Callable[[_Answer], bool] | None,
    ) -> _Answer:
        data = None if body is None else json.dumps(body).encode()
        timeout = READ_SECONDS if method == "GET" else WRITE_SECONDS
        response = self._transport.send(Request(method, url + path, data, timeout, timeout))
        answer = _Answer(response.status, response.text(LARGEST_BYTES), url, f"{method} {path}")
        if settles is None or not settles(answer):
            _raise_unsettled(answer)
        return answer

    def _expect_ok(self, answer: _Answer) -> None:
        if answer.status != 200:
            raise self._refusal(answer)

    def _refusal(self, answer: _Answer) -> PdError:
        if answer.code in NOT_FOUND:
            return answer.error(PdNotFoundError, "found nothing")
        if answer.code in RETIRED:
            return answer.error(PdRetiredError, "came after the store was retired")
        if 400 <= answer.status < 500 and answer.status != 404:
            return answer.error(PdRefusedError, "was refused")
        return answer.error(PdAnswerError, "cannot be understood")


class _UnsettledError(Exception):
    """This member could not settle the question: another one, or the same one later, may."""

    def __init__(self, answer: _Answer) -> None:
        super().__init__(f"{answer.status} {quote(answer.text)!r}")
        self.no_leader = answer.code in NO_LEADER


def _raise_unsettled(answer: _Answer) -> None:
    """Raise for what is worth asking again, and for "not bootstrapped", which settles any question about stores."""
    if answer.code == "cluster:ErrNotBootstrapped":
        raise answer.error(
            PdNotBootstrappedError, "found no TiKV store: none has ever registered with this PD"
        )
    if answer.code in NOT_FOUND or answer.code in RETIRED:
        return
    if answer.status >= 500 or answer.code in ETCD_WRITE_FAILED:
        raise _UnsettledError(answer)
    if answer.status == 200 and answer.text.lstrip().startswith("<"):
        # A page of HTML: something between us and this member answers in its place.
        raise _UnsettledError(answer)


def _gave_up(tried: str, failures: dict[str, Exception], patience: float) -> PdError:
    asked = ", ".join(failures)
    each = "; ".join(f"{url}: {failure}" for url, failure in failures.items())
    unsettled = [one for one in failures.values() if isinstance(one, _UnsettledError)]
    kind: type[PdError]
    if any(one.no_leader for one in unsettled):
        kind, what = PdNoLeaderError, "found no PD leader"
    elif unsettled:
        kind, what = PdAnswerError, "got no usable answer"
    else:
        kind, what = PdUnreachableError, "reached no PD member"
    return kind(f"{tried} {what} in {patience:.0f} s ({each})", tried=tried, asked=asked, said=each)


def _is_member_verdict(answer: _Answer) -> bool:
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
