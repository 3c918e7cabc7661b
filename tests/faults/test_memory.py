"""The API server in memory answers as the real one: the same requests to both, the answers compared.

Compared are the status, the kind of error and the object without what each server makes up (UIDs, versions, times,
managedFields).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from hooks import kube
from hooks.volumes import builders
from hooks.volumes.actions import CreatePv, CreateVolume
from hooks.volumes.model import Policy
from schema import names
from tests.faults.memory import Memory

NAME = names.volume_name("wwn-conformance")
PV = names.folder_name(NAME, 1)
Say = Callable[[kube.Client], Any]


def tidb_volume() -> kube.Obj:
    action = CreateVolume(
        code="",
        subject=None,  # type: ignore[arg-type]
        does="",
        why="",
        volume=NAME,
        identity="wwn-conformance",
        generation=2,
    )
    return builders.tidb_volume(action, Policy(manager="a.b"))


def persistent_volume() -> kube.Obj:
    action = CreatePv(
        code="",
        subject=None,  # type: ignore[arg-type]
        does="",
        why="",
        volume=NAME,
        volume_uid="",
        identity="wwn-conformance",
        generation=1,
        hostname="n1",
        path="/mnt/disks/a/g",
        fs_type="xfs",
        capacity_bytes=1025 << 20,
        storage_class="tidb-local",
    )
    return builders.persistent_volume(action, Policy(manager="a.b"))


def config_map(name: str = "conformance", **data: str) -> kube.Obj:
    metadata = {"name": name, "namespace": "default", "labels": {"app": "conformance"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def exact(client: kube.Client, kind: kube.Kind, name: str, namespace: str = "") -> dict[str, str]:
    found = client.get(kind, name, namespace)
    return {"uid": kube.uid(found), "resourceVersion": kube.version(found)}


def patch(kind: kube.Kind, name: str, body: kube.Obj, namespace: str = "", **more: str) -> Say:
    return lambda client: client.merge_patch(kind, name, body, namespace, **more)


def patch_exact(kind: kube.Kind, name: str, body: kube.Obj, **more: str) -> Say:
    def say(client: kube.Client) -> Any:
        said = copy.deepcopy(body)
        said["metadata"] = {**said.get("metadata", {}), **exact(client, kind, name)}
        return client.merge_patch(kind, name, said, **more)

    return say


def delete(kind: kube.Kind, name: str, namespace: str = "", **wrong: str) -> Say:
    def say(client: kube.Client) -> Any:
        found = exact(client, kind, name, namespace)
        client.delete(
            kind,
            name,
            namespace,
            uid=wrong.get("uid", found["uid"]),
            version=wrong.get("version", found["resourceVersion"]),
        )
        left = client.find(kind, name, namespace)
        return left and "deletionTimestamp" in left["metadata"]

    return say


SPEC = partial(patch, kube.TIDB_VOLUME, NAME)
STATUS = partial(patch, kube.TIDB_VOLUME, NAME, subresource="status")

STEPS: tuple[tuple[str, Say], ...] = (
    ("get what is not there", lambda c: c.get(kube.TIDB_VOLUME, NAME)),
    ("create a TidbVolume", lambda c: c.create(tidb_volume() | {"status": {"phase": "Bound"}})),
    ("create it again", lambda c: c.create(tidb_volume())),
    ("its status was dropped", lambda c: c.get(kube.TIDB_VOLUME, NAME)),
    ("write its status", patch_exact(kube.TIDB_VOLUME, NAME, {"status": {"phase": "Bound"}}, subresource="status")),
    ("a spec through the status is dropped", STATUS({"spec": {"generation": 9}})),
    ("a status through the object is dropped", patch(kube.TIDB_VOLUME, NAME, {"status": {"phase": "Lost"}})),
    ("another version", SPEC({"metadata": {"resourceVersion": "1"}, "spec": {"generation": 3}})),
    ("another uid", patch(kube.TIDB_VOLUME, NAME, {"metadata": {"uid": "x"}, "spec": {"generation": 3}})),
    ("another identity", patch(kube.TIDB_VOLUME, NAME, {"spec": {"identity": "wwn-2"}})),
    ("an earlier generation", patch(kube.TIDB_VOLUME, NAME, {"spec": {"generation": 1}})),
    (
        "a wipe of another generation",
        SPEC({"spec": {"wipe": {"generation": 1, "pvUID": "u", "cause": "now", "foreign": "keep"}}}),
    ),
    (
        "a wipe, and the annotation off",
        patch_exact(
            kube.TIDB_VOLUME,
            NAME,
            {
                "metadata": {"annotations": {names.WIPE_ANNOTATION: None}},
                "spec": {"wipe": {"generation": 2, "pvUID": "u", "cause": "now", "foreign": "keep"}},
            },
        ),
    ),
    ("the next generation", patch_exact(kube.TIDB_VOLUME, NAME, {"spec": {"generation": 3, "wipe": None}})),
    ("keys of the status removed", patch(kube.TIDB_VOLUME, NAME, {"status": {"phase": None}}, subresource="status")),
    ("delete with a wrong uid", delete(kube.TIDB_VOLUME, NAME, uid="x")),
    ("delete with a wrong version", delete(kube.TIDB_VOLUME, NAME, version="1")),
    ("delete marks it", delete(kube.TIDB_VOLUME, NAME)),
    ("delete again", delete(kube.TIDB_VOLUME, NAME)),
    ("the last finalizer off", patch_exact(kube.TIDB_VOLUME, NAME, {"metadata": {"finalizers": []}})),
    ("it is gone", lambda c: c.find(kube.TIDB_VOLUME, NAME)),
    ("create a PV", lambda c: c.create(persistent_volume())),
    ("find it by label", lambda c: [kube.name(o) for o in c.list(kube.VOLUME, labels=names.VOLUME_LABEL)]),
    ("its status", patch(kube.VOLUME, PV, {"status": {"phase": "Released"}}, subresource="status")),
    ("create ConfigMaps", lambda c: [kube.name(c.create(config_map(f"c{n}", a=str(n)))) for n in range(5)]),
    ("pages", lambda c: [kube.name(o) for o in c.list(kube.CONFIG_MAP, "default", labels="app=conformance", page=2)]),
    ("by name in all namespaces", lambda c: [kube.name(o) for o in c.list(kube.CONFIG_MAP, fields="metadata.name=c3")]),
    ("a key merged in", patch(kube.CONFIG_MAP, "c1", {"data": {"b": "2", "a": None}}, "default")),
    ("patch what is not there", patch(kube.CONFIG_MAP, "none", {"data": {}}, "default")),
    ("delete what has no finalizer", delete(kube.CONFIG_MAP, "c1", "default")),
    ("create a Lease", lambda c: c.create(_lease())),
    ("replace it", lambda c: c.replace(c.get(kube.LEASE, "l", "default") | {"spec": {"holderIdentity": "b"}})),
)  # fmt: skip


def _lease() -> kube.Obj:
    metadata = {"name": "l", "namespace": "default"}
    return {
        "apiVersion": kube.LEASE.api_version,
        "kind": "Lease",
        "metadata": metadata,
        "spec": {"holderIdentity": "a"},
    }


def answer(client: kube.Client, say: Say) -> Any:
    try:
        return plain(say(client))
    except kube.KubeError as error:
        return type(error).__name__, error.status


def plain(value: Any) -> Any:
    """Without what servers make up, and without what only a real one defaults."""
    made_up = {
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "lastPhaseTransitionTime",
    }
    if not isinstance(value, dict) or "metadata" not in value:
        return value
    metadata = {k: v for k, v in value["metadata"].items() if k not in made_up}
    # StorageObjectInUseProtection adds its own to each PV.
    if metadata.get("finalizers"):
        metadata["finalizers"] = [f for f in metadata["finalizers"] if f == names.FINALIZER]
    for empty in ("annotations", "finalizers"):
        if not metadata.get(empty):
            metadata.pop(empty, None)
    status = {k: v for k, v in (value.get("status") or {}).items() if k not in made_up}
    return {**value, "metadata": metadata, "status": status}


def test_both_answer_alike(api: kube.Client) -> None:
    memory = kube.Client(Memory(), manager="faults")
    for what, say in STEPS:
        real, ours = answer(api, say), answer(memory, say)
        assert ours == real, what


class Seen:
    """A sink that remembers, and wakes whoever waits."""

    def __init__(self) -> None:
        import threading

        self.told: list[tuple[str, str]] = []
        self.changed = threading.Condition()

    def _tell(self, what: str, name: str) -> None:
        with self.changed:
            self.told.append((what, name))
            self.changed.notify_all()

    def seen(self, obj: kube.Obj) -> None:
        self._tell("seen", f"{kube.name(obj)}={obj.get('data', {}).get('n', '')}")

    def gone(self, key: kube.Key, *_: str) -> None:
        self._tell("gone", key[1])

    def synced(self) -> None:
        self._tell("synced", "")

    def wait(self, what: str, name: str = "", times: int = 1) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.told.count((what, name)) >= times, 15), (
                self.told
            )


def test_a_watch_tells_everything_and_goes_on_after_breaks(api: kube.Client) -> None:
    """Created before, during and after a break; a resourceVersion that is too old; deleted while nobody watched."""
    from hooks.kube.wire import Request, Response, Stream, Transport

    class Breaking:
        """Breaks the watch whenever it is told to, and can make it forget where it was."""

        def __init__(self, inner: Transport) -> None:
            self.inner, self.streams, self.expire = inner, [], False  # type: ignore[var-annotated]

        def request(self, request: Request, seconds: float) -> Response:
            return self.inner.request(request, seconds)

        def stream(self, request: Request, silence: float) -> Stream:
            if self.expire:
                self.expire = False
                query = tuple((k, "1" if k == "resourceVersion" else v) for k, v in request.query)
                request = Request("GET", request.path, query)
            stream = self.inner.stream(request, silence)
            self.streams.append(stream)
            return stream

    broken = Breaking(api.transport)
    client = kube.Client(broken, manager="faults")
    sink = Seen()
    troubles: list[str] = []
    for n in ("w1", "w2"):
        api.create(watched(n, "1"))
    follower = kube.Follower(
        client, kube.CONFIG_MAP, sink, "default", labels="app=watched", trouble=troubles.append
    )
    thread = follower.thread()
    sink.wait("synced")
    assert ("seen", "w1=1") in sink.told
    api.create(watched("w3", "1"))
    sink.wait("seen", "w3=1")
    _shut(broken.streams[-1])
    api.merge_patch(kube.CONFIG_MAP, "w1", {"data": {"n": "2"}}, "default")
    sink.wait("seen", "w1=2")
    assert sink.told.count(("synced", "")) == 1, "no new list was needed"
    broken.expire = True
    _shut(broken.streams[-1])
    _remove(api, "w2")
    # 410: too old; the list that follows tells who is gone. An API server that still knows it all needs no list.
    sink.wait("gone", "w2")
    follower.stop.set()
    _remove(api, "w3")
    thread.join(15)
    assert not thread.is_alive()


def watched(name: str, number: str) -> kube.Obj:
    obj = config_map(name, n=number)
    obj["metadata"]["labels"] = {"app": "watched"}
    return obj


def _remove(client: kube.Client, name: str) -> None:
    found = client.get(kube.CONFIG_MAP, name, "default")
    client.delete(kube.CONFIG_MAP, name, "default", uid=kube.uid(found))


def _shut(stream: Any) -> None:
    """As when the peer vanishes: the socket dies under the reader."""
    import socket

    raw = stream._raw
    connection = raw._connection or raw.connection
    connection.sock.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("selector", ["metadata.name=nobody"])
def test_a_kind_that_is_not_served_yet_is_waited_for(api: kube.Client, selector: str) -> None:
    troubles: list[str] = []
    kind = kube.Kind("helm-tidb.io/v1", "Nothing", "nothings")
    sink = Seen()
    follower = kube.Follower(api, kind, sink, fields=selector, trouble=troubles.append)
    follower.thread()
    for _ in range(100):
        if troubles:
            break
        api._sleep(0.05)
    follower.stop.set()
    assert "404" in troubles[0]
    assert sink.told == []
