"""Verbs on objects: get, list, create, apply, patch, delete; plain dicts in and out.

Who tries again
- Reads (GET, LIST pages) are repeated here, within the call's own deadline.
- Any request that the server turned away untouched (429, or 503 with Retry-After) is repeated here too.
- A write whose outcome is unknown is *never* repeated here: `UnknownOutcomeError` tells the job to look again.
  Every job is built to be rerun from what it sees, so that one rule covers time-outs, resets and crashes alike.

Who may overwrite whom: `replace` and `delete` take the resourceVersion or UID they were decided on; `apply` is
server-side apply under the client's field manager, and a conflict with another manager is an error unless `force`
is said.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from hooks.kube.backoff import Backoff
from hooks.kube.errors import GoneError, KubeError, NotFoundError, RetryableError, from_answer
from hooks.kube.kinds import Kind, Obj, kind_of, name, namespace
from hooks.kube.wire import Request, Response, Stream, Transport, decode

DEADLINE_SECONDS = 30.0
PAGE = 500

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Clocks:
    """Two readings of the time that should agree: this machine's, and the API server's latest Date header (UTC).

    What depends on how long ago something was takes `earlier`, so that one clock that jumped ahead ends no waiting
    time.
    """

    local: datetime
    server: datetime | None

    @property
    def earlier(self) -> datetime:
        return self.local if self.server is None else min(self.local, self.server)

    @property
    def later(self) -> datetime:
        return self.local if self.server is None else max(self.local, self.server)

    @property
    def apart_seconds(self) -> float:
        return 0.0 if self.server is None else abs((self.local - self.server).total_seconds())


class Client:
    """Safe to share between threads. `manager` names this job in managedFields and in the user agent."""

    def __init__(
        self,
        transport: Transport,
        *,
        manager: str,
        seconds: float = DEADLINE_SECONDS,
        backoff: Callable[[], Backoff] = Backoff,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.transport = transport
        self.manager = manager
        self.seconds = seconds
        self._backoff = backoff
        self._sleep = sleep
        self._date_lock = threading.Lock()
        # The server's Date, as it was sent and as a time, and the monotonic second it was first read at.
        self._date: tuple[str, datetime, float] | None = None

    @classmethod
    def connect(
        cls, manager: str, *, kubeconfig: str = "", context: str = "", connections: int = 4
    ) -> Client:
        """In a pod by its service account, elsewhere by kubeconfig. ConfigurationError when there is neither."""
        # Only now: the package behind it takes 0.4 s to import.
        from hooks.kube.transport import connect

        transport = connect(
            agent=f"helm-tidb/{manager}",
            kubeconfig=kubeconfig,
            context=context,
            connections=connections,
        )
        return cls(transport, manager=manager)

    # --- reads ---
    def get(self, kind: Kind, name: str, namespace: str = "") -> Obj:
        """The live object. NotFoundError when there is none."""
        return self._object(Request("GET", kind.path(name, namespace)))

    def find(self, kind: Kind, name: str, namespace: str = "") -> Obj | None:
        """As `get`; None for a 404 of this object, and for no other reason."""
        try:
            return self.get(kind, name, namespace)
        except NotFoundError:
            return None

    def list(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        page: int = PAGE,
    ) -> list[Obj]:
        """All objects, with apiVersion and kind filled in; an empty namespace means all namespaces."""
        return [
            obj
            for one in self.pages(kind, namespace, labels=labels, fields=fields, page=page)
            for obj in one.items
        ]

    def pages(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        page: int = PAGE,
    ) -> Iterator[Page]:
        """A consistent list in pages, so that only one is in memory. GoneError when it took too long: begin again."""
        token = ""
        while True:
            query = [("limit", str(page))]
            query += [("labelSelector", labels)] if labels else []
            query += [("fieldSelector", fields)] if fields else []
            query += [("continue", token)] if token else []
            document = self._object(Request("GET", kind.path(namespace=namespace), tuple(query)))
            items = document.get("items") or []
            for item in items:
                item.setdefault("apiVersion", kind.api_version)
                item.setdefault("kind", kind.kind)
            meta = document.get("metadata") or {}
            yield Page(items, str(meta.get("resourceVersion", "")))
            token = str(meta.get("continue") or "")
            if not token:
                return

    def stream(
        self, kind: Kind, namespace: str, query: Sequence[tuple[str, str]], silence: float
    ) -> Stream:
        """An open watch, for `hooks.kube.watch`. Raises as every read does; is not repeated here."""
        request = Request("GET", kind.path(namespace=namespace), tuple(query))
        stream = self.transport.stream(request, silence)
        self._note(stream.headers)
        if stream.status >= 400:
            raise self._error(request, Response(stream.status, stream.headers, stream.body()))
        return stream

    # --- writes ---
    def create(self, obj: Obj) -> Obj:
        """AlreadyExistsError when the name is taken."""
        kind = kind_of(obj)
        path = kind.path(namespace=namespace(obj))
        return self._object(Request("POST", path, self._managed(), obj))

    def apply(self, obj: Obj, *, force: bool = False, subresource: str = "") -> Obj:
        """Server-side apply of just the fields in `obj`. ConflictError when another manager owns one of them."""
        path = kind_of(obj).path(name(obj), namespace(obj), subresource)
        query = (*self._managed(), ("force", "true" if force else "false"))
        return self._object(Request("PATCH", path, query, obj, APPLY_PATCH))

    def replace(self, obj: Obj, *, subresource: str = "") -> Obj:
        """Write the whole object; its resourceVersion is the precondition (ConflictError)."""
        path = kind_of(obj).path(name(obj), namespace(obj), subresource)
        return self._object(Request("PUT", path, self._managed(), obj))

    def merge_patch(
        self,
        kind: Kind,
        name: str,
        patch: Mapping[str, Any],
        namespace: str = "",
        *,
        subresource: str = "",
    ) -> Obj:
        """RFC 7386. With metadata.resourceVersion (and uid) in the patch it is a compare-and-swap (ConflictError)."""
        path = kind.path(name, namespace, subresource)
        return self._object(Request("PATCH", path, self._managed(), patch, MERGE_PATCH))

    def json_patch(
        self,
        kind: Kind,
        name: str,
        operations: Sequence[Mapping[str, Any]],
        namespace: str = "",
        *,
        subresource: str = "",
    ) -> Obj:
        """RFC 6902; a failed `test` operation is an InvalidError (the server says 422)."""
        path = kind.path(name, namespace, subresource)
        request = Request("PATCH", path, self._managed(), list(operations), JSON_PATCH)
        return self._object(request)

    def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str,
        version: str = "",
        grace_seconds: int | None = None,
        propagation: str = "",
    ) -> None:
        """Delete this very object: `uid` always, `version` too when its content was the reason. ConflictError
        otherwise.

        NotFoundError when it is gone. With finalizers it is only marked.
        """
        if not uid:
            raise ValueError(
                f"delete {kind.kind} {namespace}/{name}: needs the UID it was decided on"
            )
        preconditions = {"uid": uid} | ({"resourceVersion": version} if version else {})
        body: Obj = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
        }
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        if propagation:
            body["propagationPolicy"] = propagation
        self._object(Request("DELETE", kind.path(name, namespace), (), body))

    # --- time ---
    def clocks(self) -> Clocks:
        """The server's clock is its last Date header carried on by this machine's monotonic clock."""
        with self._date_lock:
            noted = self._date
        server = None
        if noted is not None:
            _, date, at = noted
            server = datetime.fromtimestamp(date.timestamp() + time.monotonic() - at, UTC)
        return Clocks(datetime.now(UTC), server)

    def _note(self, headers: Mapping[str, str]) -> None:
        text = headers.get("date", "")
        with self._date_lock:
            if self._date is not None and self._date[0] == text:
                return  # of a thousand answers a second, one is parsed
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, TypeError):
            return
        with self._date_lock:
            self._date = (text, date, time.monotonic())

    # --- one call ---
    def raw(self, request: Request) -> Response:
        """One call with its deadline, repeated as the module's docstring says. Raises KubeError for status >= 400."""
        deadline = time.monotonic() + self.seconds
        backoff = self._backoff()
        while True:
            left = deadline - time.monotonic()
            try:
                return self._once(request, max(left, 0.1))
            except RetryableError as error:
                turned_away = error.status == 429 or (
                    error.status == 503 and error.retry_after is not None
                )
                if request.write and not turned_away:
                    raise
                wait = backoff.next(error.retry_after)
                if time.monotonic() + wait >= deadline:
                    raise
                self._sleep(wait)

    def _once(self, request: Request, seconds: float) -> Response:
        response = self.transport.request(request, seconds)
        self._note(response.headers)
        if response.status >= 400:
            raise self._error(request, response)
        return response

    def _error(self, request: Request, response: Response) -> KubeError:
        return from_answer(
            str(request),
            write=request.write,
            status=response.status,
            body=response.body,
            retry_after=response.headers.get("retry-after"),
        )

    def _object(self, request: Request) -> Obj:
        document = decode(str(request), self.raw(request).body)
        if not isinstance(document, dict):
            raise RetryableError(
                f"{request}: the answer is no object but {type(document).__name__}"
            )
        if document.get("kind") == "Status" and document.get("code") == 410:
            raise GoneError(f"{request}: {document.get('message')}", status=410)
        return document

    def _managed(self) -> tuple[tuple[str, str], ...]:
        return (("fieldManager", self.manager),)


@dataclass(frozen=True)
class Page:
    """One page of a list and the resourceVersion of the whole list."""

    items: list[Obj]
    version: str
