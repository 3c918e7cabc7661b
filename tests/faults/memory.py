"""An API server in memory, as far as jobs can tell: for the runs that are too many for the real one.

`Memory` is a Transport. It knows what preconditions, finalizers, merge patches, the status subresource, selectors
and paged lists do; tests/faults/test_memory.py puts the same requests to it and to the real API server and compares
the answers. Controllers are the test's: nothing happens here by itself.
"""

from __future__ import annotations

import copy
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from hooks.kube.wire import Request, Response, Stream

Obj = dict[str, Any]
Where = tuple[str, str, str]  # plural, namespace, name

# Kinds whose status only the status subresource writes.
_WITH_STATUS = frozenset(
    {"tidbvolumes", "persistentvolumes", "persistentvolumeclaims", "nodes", "pods"}
)
# `key`, `key=value` or `key in (a,b)`, comma-separated.
_TERM = re.compile(r"([^\s,=]+)(?: in \(([^)]*)\)|=([^,]*))?(?:,|$)")
_CLUSTER = frozenset({"tidbvolumes", "persistentvolumes", "nodes", "storageclasses"})


class _Refused(Exception):  # noqa: N818 - an answer, not an error
    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


@dataclass
class Memory:
    objects: dict[Where, Obj] = field(default_factory=dict)
    # (verb, plural) of everything that changed something.
    writes: Counter[tuple[str, str]] = field(default_factory=Counter)
    version: int = 100
    uids: int = 0
    date: str = "Fri, 20 Nov 2026 10:00:00 GMT"
    # What watches tell: (resourceVersion, ADDED, MODIFIED or DELETED, where, the object then).
    events: list[tuple[int, str, Where, Obj]] = field(default_factory=list)
    changed: Changed = field(default_factory=lambda: Changed())

    # --- Transport ---
    def request(self, request: Request, seconds: float) -> Response:  # noqa: ARG002
        with self.changed:
            return self._request(request)

    def _request(self, request: Request) -> Response:
        try:
            answer = self._answer(request)
            code = 201 if request.method == "POST" else 200
        except _Refused as refused:
            code = refused.code
            answer = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "message": str(refused),
                "reason": refused.reason,
                "code": code,
            }
        return Response(code, {"date": self.date}, json.dumps(answer).encode())

    def stream(self, request: Request, silence: float) -> Stream:
        """All changes after the query's resourceVersion. No bookmarks, and no end but a silence."""
        return Watch(self, request, silence)

    # --- for tests: the world's own moves ---
    def put(self, obj: Obj) -> Obj:
        """Create or overwrite, status and all, as a controller or a person with all rights would."""
        with self.changed:
            where = self._where_of(obj)
            old = self.objects.get(where)
            if old is None:
                self._stamp(obj)
            else:
                obj["metadata"] = {**old["metadata"], **obj["metadata"]}
            self._keep(where, obj, "MODIFIED" if old else "ADDED")
            return obj

    def remove(self, plural: str, name: str, namespace: str = "") -> None:
        with self.changed:
            self._delete((plural, namespace, name), {})

    def let_go(self, plural: str, name: str, namespace: str = "") -> None:
        """Whoever held it by a finalizer does so no longer."""
        with self.changed:
            self._drop((plural, namespace, name))

    def all(self, plural: str) -> list[Obj]:
        with self.changed:
            return [obj for (kind, _, _), obj in sorted(self.objects.items()) if kind == plural]

    # --- one request ---
    def _answer(self, request: Request) -> Obj:
        where, subresource = _path(request.path)
        plural, namespace, name = where
        body = json.loads(json.dumps(request.body))
        if request.method == "GET" and not name:
            return self._list(plural, namespace, dict(request.query))
        if request.method == "POST":
            assert isinstance(body, dict)
            return self._create(plural, namespace, body)
        found = self.objects.get(where)
        if found is None:
            raise _Refused(404, "NotFound", f'{plural} "{name}" not found')
        if request.method == "GET":
            return found  # becomes text at once
        assert isinstance(body, dict)
        if request.method == "DELETE":
            return self._delete(where, body.get("preconditions") or {})
        if request.method == "PUT":
            return self._update(where, found, body, subresource, exact=True)
        if request.content_type == "application/merge-patch+json":
            return self._update(where, found, _merge(found, body), subresource)
        raise NotImplementedError(request.content_type)

    def _list(self, plural: str, namespace: str, query: Mapping[str, str]) -> Obj:
        names = [
            where
            for where, obj in sorted(self.objects.items())
            if where[0] == plural and namespace in ("", where[1]) and _selected(obj, query)
        ]
        start = int(query.get("continue", "0") or 0)
        limit = int(query.get("limit", "500"))
        page = names[start : start + limit]
        more = str(start + limit) if start + limit < len(names) else ""
        # As the real one: items of a list don't say their kind.
        items = [
            {k: v for k, v in self.objects[where].items() if k not in ("kind", "apiVersion")}
            for where in page
        ]
        meta = {"resourceVersion": str(self.version)} | ({"continue": more} if more else {})
        return {"kind": "List", "metadata": meta, "items": items}

    def _create(self, plural: str, namespace: str, obj: Obj) -> Obj:
        where = (plural, namespace, obj["metadata"]["name"])
        if where in self.objects:
            raise _Refused(409, "AlreadyExists", f'{plural} "{where[2]}" already exists')
        if plural in _WITH_STATUS:
            obj.pop("status", None)
        if plural == "persistentvolumes":
            obj["status"] = {"phase": "Pending"}
        self._stamp(obj)
        self._keep(where, obj, "ADDED")
        self.writes["create", plural] += 1
        return copy.deepcopy(obj)

    def _update(
        self, where: Where, found: Obj, new: Obj, subresource: str, *, exact: bool = False
    ) -> Obj:
        meta = found["metadata"]
        if (
            new["metadata"].get("resourceVersion", meta["resourceVersion"])
            != meta["resourceVersion"]
        ):
            raise _Refused(409, "Conflict", f'{where[0]} "{where[2]}": it has been modified')
        if new["metadata"].get("uid", meta["uid"]) != meta["uid"]:
            # Unlike in a DELETE: in a patch the UID is a field that cannot be changed.
            raise _Refused(422, "Invalid", "metadata.uid: field is immutable")
        if exact and "resourceVersion" not in new["metadata"]:
            raise _Refused(
                422, "Invalid", "metadata.resourceVersion: must be specified for an update"
            )
        if subresource == "status":
            new = {**copy.deepcopy(found), "status": new.get("status", {})}
        elif where[0] in _WITH_STATUS:
            new = {**new, "status": copy.deepcopy(found.get("status", {}))}
            if not new["status"]:
                del new["status"]
        if where[0] == "tidbvolumes":
            _rules(found, new)
        if new == found:
            return copy.deepcopy(found)
        self._keep(where, new, "MODIFIED")
        self.writes["update", where[0]] += 1
        if "deletionTimestamp" in new["metadata"] and not new["metadata"].get("finalizers"):
            self._drop(where)
        return copy.deepcopy(new)

    def _delete(self, where: Where, preconditions: Mapping[str, str]) -> Obj:
        found = self.objects[where]
        for key, said in preconditions.items():
            if said != found["metadata"][key]:
                raise _Refused(409, "Conflict", f"the {key} in the precondition does not match")
        if found["metadata"].get("finalizers"):
            if "deletionTimestamp" not in found["metadata"]:
                found["metadata"]["deletionTimestamp"] = "2026-11-20T10:00:00Z"
                self._keep(where, found, "MODIFIED")
                self.writes["delete", where[0]] += 1
            return copy.deepcopy(found)
        self.writes["delete", where[0]] += 1
        return self._drop(where)

    def _drop(self, where: Where) -> Obj:
        self.version += 1
        self.writes["gone", where[0]] += 1
        gone = self.objects.pop(where)
        self._tell("DELETED", where, gone)
        return gone

    def _stamp(self, obj: Obj) -> None:
        self.uids += 1
        obj["metadata"]["uid"] = f"uid-{self.uids}"
        obj["metadata"]["creationTimestamp"] = "2026-11-20T10:00:00Z"

    def _keep(self, where: Where, obj: Obj, event: str) -> None:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.objects[where] = obj
        self._tell(event, where, obj)

    def _tell(self, event: str, where: Where, obj: Obj) -> None:
        if self.changed.watched:
            self.events.append((self.version, event, where, copy.deepcopy(obj)))
            self.changed.notify_all()

    def _where_of(self, obj: Obj) -> Where:
        plural = obj["kind"].lower() + ("es" if obj["kind"].endswith("s") else "s")
        return plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


class Changed(threading.Condition):
    """The lock of a Memory, and what its watches wait for. `watched`: somebody does; until then no event is kept.

    A copy of a world is another world: it has a lock of its own and no watches.
    """

    def __init__(self) -> None:
        super().__init__(threading.RLock())
        self.watched = False

    def __deepcopy__(self, _: dict[int, Any]) -> Changed:
        return Changed()


class Watch:
    status = 200

    def __init__(self, memory: Memory, request: Request, silence: float) -> None:
        query = dict(request.query)
        (self._plural, self._namespace, _), _ = _path(request.path)
        self._memory, self._query, self._silence = memory, query, silence
        self._version = int(query["resourceVersion"])
        self.headers: Mapping[str, str] = {"date": memory.date}
        self._closed = False

    def lines(self) -> Iterator[bytes]:
        told = 0
        while (batch := self._next(told)) is not None:
            told += len(batch)
            for version, event, where, obj in batch:
                if version > self._version and self._concerns(where, obj):
                    yield json.dumps({"type": event, "object": obj}).encode()

    def _next(self, told: int) -> list[tuple[int, str, Where, Obj]] | None:
        memory, deadline = self._memory, time.monotonic() + self._silence
        with memory.changed:
            while not self._closed and len(memory.events) <= told:
                if not memory.changed.wait(deadline - time.monotonic()):
                    return None
            return None if self._closed else memory.events[told:]

    def _concerns(self, where: Where, obj: Obj) -> bool:
        plural, namespace, _ = where
        return (
            plural == self._plural
            and self._namespace in ("", namespace)
            and _selected(obj, self._query)
        )

    def body(self) -> bytes:
        return b""

    def close(self) -> None:
        with self._memory.changed:
            self._closed = True
            self._memory.changed.notify_all()


def _path(path: str) -> tuple[Where, str]:
    """`/api/v1/namespaces/x/configmaps/y/status` → (configmaps, x, y), status."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    name = parts[1] if len(parts) > 1 else ""
    return (parts[0], namespace, name), parts[2] if len(parts) > 2 else ""


def _selected(obj: Obj, query: Mapping[str, str]) -> bool:
    labels = obj["metadata"].get("labels") or {}
    for key, among, value in _TERM.findall(query.get("labelSelector", "")):
        wanted = among.replace(" ", "").split(",") if among else [value] if value else []
        if key not in labels or (wanted and labels[key] not in wanted):
            return False
    key, _, value = query.get("fieldSelector", "").partition("=")
    return not key or (key == "metadata.name" and obj["metadata"]["name"] == value)


def _merge(old: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    new = copy.deepcopy(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = _merge(new.get(key), value)
    return new


def _rules(old: Obj, new: Obj) -> None:
    """The CEL rules of schema/tidbvolume.schema.yaml."""
    before, after = old["spec"], new["spec"]
    if before["identity"] != after["identity"]:
        raise _Refused(422, "Invalid", "a TidbVolume is one disk for ever")
    if after["generation"] < before["generation"]:
        raise _Refused(422, "Invalid", "a generation never comes back")
    if "wipe" in after and after["wipe"]["generation"] != after["generation"]:
        raise _Refused(422, "Invalid", "a wipe is for the present generation only")


def walk(obj: Any) -> Iterator[Any]:
    """All values inside, for oracles that look for something anywhere."""
    yield obj
    for inner in obj.values() if isinstance(obj, dict) else obj if isinstance(obj, list) else ():
        yield from walk(inner)
