"""Small worlds in the field's words: nodes, disks, a release with pods and claims, PD's answers; and `only`, for a
world that has one thing wrong.
"""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any

from hooks.doctor.diagnose import diagnose
from hooks.doctor.finding import Finding
from hooks.doctor.snapshot import Gap, Snapshot
from schema import names

Obj = dict[str, Any]

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GI = 2**30
_uids = itertools.count(1)


def meta(name: str, namespace: str = "", labels: dict[str, str] | None = None, **more: Any) -> Obj:
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, "uid": f"uid-{next(_uids)}", "labels": labels or {}, **place, **more}


def labels_of(component: str, release: str = "shop") -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "tidb",
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "tidb",
        "app.kubernetes.io/managed-by": "Helm",
    }


def node(
    name: str,
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    ready: bool = True,
    cordoned: bool = False,
    taints: tuple[Obj, ...] = (),
    labels: dict[str, str] | None = None,
) -> Obj:
    room = {"cpu": cpu, "memory": memory, "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": meta(name, labels={"kubernetes.io/hostname": name, **(labels or {})}),
        "spec": {"taints": list(taints), **({"unschedulable": True} if cordoned else {})},
        "status": {
            "allocatable": room,
            "conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}],
        },
    }


def pod(
    name: str,
    component: str = "tikv",
    *,
    on: str = "",
    claim: str = "",
    cpu: str = "1",
    memory: str = "1Gi",
    ready: bool = True,
    spec: Obj | None = None,
    status: Obj | None = None,
    container: Obj | None = None,
    deleting: bool = False,
) -> Obj:
    """A pod of the release; without `on` it is Pending, with it Running and ready unless said otherwise."""
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
    state: Obj = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False"}]}
    if on:
        state = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [
                {
                    "name": component,
                    "ready": ready,
                    "restartCount": 0,
                    "state": {"running": {}},
                    **(container or {}),
                }
            ],
        }
    more = {"deletionTimestamp": "2026-11-20T11:50:00Z"} if deleting else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(name, "db", labels_of(component), **more),
        "spec": {
            "nodeName": on,
            "volumes": volumes,
            "containers": [
                {
                    "name": component,
                    "image": f"pingcap/{component}:v8.5.7",
                    "resources": {
                        "requests": {"cpu": cpu, "memory": memory},
                        "limits": {"memory": memory},
                    },
                }
            ],
            **(spec or {}),
        },
        "status": {**state, **(status or {})},
    }


def claim(
    name: str,
    *,
    volume: str = "",
    size: str = "100Gi",
    cls: str = "tidb-local",
    phase: str = "",
    component: str = "tikv",
    deleting: bool = False,
) -> Obj:
    bound = {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    more = {"deletionTimestamp": "2026-11-20T11:50:00Z"} if deleting else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta(name, "db", labels_of(component), annotations=bound, **more),
        "spec": {
            "storageClassName": cls,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            **({"volumeName": volume} if volume else {}),
        },
        "status": {"phase": phase or ("Bound" if volume else "Pending")},
    }


def disk(
    number: int,
    on: str,
    *,
    phase: str = "Available",
    size: int = 200 * GI,
    held: str = "",
    why: str = "",
    cls: str = "tidb-local",
    with_pv: bool = True,
) -> list[Obj]:
    """A TidbVolume, and its PV as the volume controller makes it."""
    name = f"tv-{number:016x}"
    status: Obj = {
        "phase": phase, "message": why, "node": on, "path": f"/mnt/disks/d{number}", "capacityBytes": size,
        "storageClass": cls,
    }  # fmt: skip
    if held:
        status["claim"] = {"namespace": "db", "name": held, "uid": "x", "component": "tikv"}
    volume = {
        "apiVersion": names.API_VERSION,
        "kind": "TidbVolume",
        "metadata": meta(name),
        "spec": {"identity": f"serial-{number}", "generation": 1},
        "status": status,
    }
    if not with_pv:
        return [volume]
    terms = [
        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [on]}]}
    ]
    pv: Obj = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": meta(f"{name}-g1"),
        "spec": {
            "capacity": {"storage": str(size)},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": cls,
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
        "status": {"phase": "Bound" if held else "Available"},
    }
    if held:
        pv["spec"]["claimRef"] = {"namespace": "db", "name": held}
    return [volume, pv]


def volume_of(number: int) -> str:
    return f"tv-{number:016x}-g1"


def storage_class(
    name: str = "tidb-local", provisioner: str = "kubernetes.io/no-provisioner"
) -> Obj:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": meta(name),
        "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def stateful_set(component: str, replicas: int = 3, release: str = "shop", **status: int) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": meta(f"{release}-{component}", "db", labels_of(component, release)),
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas, **status},
    }


def event(about: Obj, reason: str, note: str) -> Obj:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": meta(f"e{next(_uids)}", "db"),
        "type": "Warning",
        "reason": reason,
        "note": note,
        "eventTime": "2026-11-20T11:59:00.000000Z",
        "regarding": {
            "kind": about["kind"], "name": about["metadata"]["name"], "namespace": "db",
            "uid": about["metadata"]["uid"],
        },
    }  # fmt: skip


def last_plan(job: str, **parts: list[Obj]) -> Obj:
    whole = {"actions": [], "waits": [], "refusals": [], **parts}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta(f"shop-plan-{job}", "db"),
        "data": {"plan.json": json.dumps(whole)},
    }


def world(
    *objects: Obj | list[Obj],
    pd: dict[str, str] | None = None,
    pd_said: str = "",
    logs: dict[str, list[str]] | None = None,
    gaps: tuple[Gap, ...] = (),
) -> Snapshot:
    """A snapshot of these objects; the class tidb-local is there unless another one is given."""
    found: dict[str, list[Obj]] = {}
    for one in objects:
        for obj in one if isinstance(one, list) else [one]:
            found.setdefault(obj["kind"], []).append(obj)
    found.setdefault("StorageClass", [storage_class()])
    return Snapshot(
        taken=NOW,
        namespace="db",
        release="shop",
        objects=found,
        pd=pd or {},
        pd_said=pd_said,
        logs=logs or {},
        gaps=gaps,
    )


def bound_to(node: str) -> list[Obj]:
    """A pending pod whose data is on a disk of that node."""
    return [
        *disk(1, node, phase="Bound", held="c"), claim("c", volume=volume_of(1)), pod("shop-tikv-2", claim="c")
    ]  # fmt: skip


# --- PD's answers, in the shape that pd-server 8.5 gives -----------------------------------------


def store(
    number: int, pod_name: str, state: str = "Up", *, regions: int = 12, destroyed: bool = False
) -> Obj:
    return {
        "store": {
            "id": number,
            "address": f"{pod_name}.shop-tikv-peer.db.svc:20160",
            "state_name": state,
            **({"physically_destroyed": True} if destroyed else {}),
        },
        "status": {
            "capacity": "98GiB", "region_count": regions, "leader_count": 4,
            "last_heartbeat_ts": "2026-11-20T11:59:58.000000000Z",
        },
    }  # fmt: skip


def pd_answers(
    *stores: Obj,
    members: tuple[str, ...] = ("shop-pd-0", "shop-pd-1", "shop-pd-2"),
    silent: tuple[str, ...] = (),
) -> dict[str, str]:
    listed = [
        {
            "name": name,
            "member_id": 100 + n,
            "client_urls": [f"http://{name}:2379"],
            "peer_urls": [f"http://{name}:2380"],
        }
        for n, name in enumerate(members)
    ]
    whole = {
        "header": {"cluster_id": 7489271631232323232},
        "members": listed, "leader": listed[0], "etcd_leader": listed[0],
    }  # fmt: skip
    health = [
        {"name": m["name"], "member_id": m["member_id"], "health": m["name"] not in silent}
        for m in listed
    ]
    return {
        "/pd/api/v1/members": json.dumps(whole),
        "/pd/api/v1/health": json.dumps(health),
        "/pd/api/v1/stores/check": json.dumps({"count": len(stores), "stores": list(stores)}),
    }


# --- what is made of them -------------------------------------------------------------------------


def only(snapshot: Snapshot) -> Finding:
    """The one finding; a failure tells all."""
    found = diagnose(snapshot).findings
    assert len(found) == 1, [f"{one.code}: {one.why}" for one in found]
    return found[0]
