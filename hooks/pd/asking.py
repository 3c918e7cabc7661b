"""How a question gets its answer from PD: which member is asked, how long, and what is asked again.

Recorded from a real pd-server (the captures' README says more):

- Any member forwards to the leader. A member is asked for 5 s (15 s for a write), then the next one: a request
  that was forwarded to a hung leader stays open for minutes, long after a new leader was elected.
- An election takes up to 15 s and answers 500 at once meanwhile. So 5xx and silence are asked again, all
  members in turn, for `patience` (30 s). With no patience every member is asked once.
- Every write of this package can be sent twice, since it names a store or member by its id, which PD never gives to
  another one; but for one that names nobody (remove-tombstone), which is asked `once`.

Which question, and what its answer means, is client.py's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hooks.pd.errors import (
    PdAnswerError,
    PdError,
    PdNoLeaderError,
    PdNotBootstrappedError,
    PdNotFoundError,
    PdRefusedError,
    PdRetiredError,
    PdUnreachableError,
    code_of,
    quote,
)
from hooks.pd.transport import Request, Response, Transport, TransportError

READ_SECONDS = 5.0
WRITE_SECONDS = 15.0
REGIONS_SECONDS = 60.0
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.5
LARGEST_BYTES = 16 * 1024 * 1024

NO_LEADER = {
    "apiutil:ErrRedirect",
    "apiutil:ErrRedirectNoLeader",
    "apiutil:ErrRedirectToNotLeader",
    "server:ErrLeaderNil",
}
NOT_FOUND = {"core:ErrStoreNotFound", "progress:ErrProgressNotFound"}
RETIRED = {"core:ErrStoreRemoved", "core:ErrStoreDestroyed"}
ETCD_WRITE_FAILED = {"etcd:ErrEtcdKVPut", "etcd:ErrEtcdTxnInternal", "etcd:ErrEtcdTxnConflict"}

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Clock:
    """Time as the client sees it; tests bring their own."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Answer:
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


class Asking:
    """A cluster's members by their URLs, the one that answered last first."""

    def __init__(
        self, urls: Sequence[str], transport: Transport, clock: Clock, patience_seconds: float
    ) -> None:
        self._urls = [url.rstrip("/") for url in urls]
        self._transport = transport
        self._clock = clock
        self._patience = patience_seconds

    def read(self, path: str, parse: Callable[[object], Parsed]) -> Parsed:
        answer = self.ask("GET", path, None)
        expect_ok(answer)
        try:
            return parse(answer.parsed())
        except PdAnswerError as error:
            if error.tried:
                raise
            raise answer.error(PdAnswerError, f"cannot be understood ({error})") from error

    def ask(
        self,
        method: str,
        path: str,
        body: object,
        settles: Callable[[Answer], bool] | None = None,
        *,
        once: bool = False,
    ) -> Answer:
        """The first answer that settles the question; 5xx and silence do not, unless `settles` says so. `once`: of
        the member that answered last, and nobody is asked again.
        """

        def ask(url: str) -> Answer:
            return self._ask_one(method, url, path, body, settles)

        return self._rounds(method, path, ask, once=once)

    def open(self, path: str) -> tuple[str, Response]:
        """A 200 whose body is still to be read, and who gave it."""

        def ask(url: str) -> tuple[str, Response]:
            response = self._transport.send(
                Request("GET", url + path, None, READ_SECONDS, REGIONS_SECONDS)
            )
            if response.status != 200:
                text = response.text(LARGEST_BYTES)
                answer = Answer(response.status, text, url, f"GET {path}")
                _raise_unsettled(answer)
                raise refusal(answer)
            return url, response

        return self._rounds("GET", path, ask)

    def _rounds(
        self, method: str, path: str, ask: Callable[[str], Parsed], *, once: bool = False
    ) -> Parsed:
        """`ask` each member in turn until one settles it or patience ends; then the error that tells most."""
        give_up = self._clock.monotonic() + self._patience
        while True:
            failures: dict[str, Exception] = {}
            for position, url in enumerate(self._urls[:1] if once else list(self._urls)):
                try:
                    answered = ask(url)
                except (_UnsettledError, TransportError) as failure:
                    failures[url] = failure
                    continue
                # The next question goes to the member that answered: it is alive, and readings stay comparable.
                self._urls = self._urls[position:] + self._urls[:position]
                return answered
            if once or self._clock.monotonic() + PAUSE_SECONDS > give_up:
                patience = 0.0 if once else self._patience
                raise _gave_up(f"{method} {path}", failures, patience)
            self._clock.sleep(PAUSE_SECONDS)

    def _ask_one(
        self,
        method: str,
        url: str,
        path: str,
        body: object,
        settles: Callable[[Answer], bool] | None,
    ) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        timeout = READ_SECONDS if method == "GET" else WRITE_SECONDS
        response = self._transport.send(Request(method, url + path, data, timeout, timeout))
        answer = Answer(response.status, response.text(LARGEST_BYTES), url, f"{method} {path}")
        if settles is None or not settles(answer):
            _raise_unsettled(answer)
        return answer


def expect_ok(answer: Answer) -> None:
    """Raise what `answer` means, unless it is a 200."""
    if answer.status != 200:
        raise refusal(answer)


def refusal(answer: Answer) -> PdError:
    if answer.code in NOT_FOUND:
        return answer.error(PdNotFoundError, "found nothing")
    if answer.code in RETIRED:
        return answer.error(PdRetiredError, "came after the store was retired")
    if 400 <= answer.status < 500 and answer.status != 404:
        return answer.error(PdRefusedError, "was refused")
    return answer.error(PdAnswerError, "cannot be understood")


class _UnsettledError(Exception):
    """This member could not settle the question: another one, or the same one later, may."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {quote(answer.text)!r}")
        self.no_leader = answer.code in NO_LEADER


def _raise_unsettled(answer: Answer) -> None:
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
