"""A world of KWOK nodes, volumes, claims and running pods, and pods that mostly fit nowhere in it: what
test_scheduler_judge.py lets the scheduler judge. All of it follows from a random.Random that the caller seeds.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hooks import kube
from hooks.kube.wire import Request
from tests.cluster.conftest import WaitFor

Obj = dict[str, Any]

NODES = 60
SPACE = "judge"
ZONES = ("a", "b", "c")

# --- the world -----------------------------------------------------------------------------------


def furnish(client: kube.Client, rng: random.Random, wait_for: WaitFor) -> None:
    """Nodes of different kinds, pods that run on them, volumes and claims."""
    client.create(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": SPACE, "labels": {"team": "shop"}},
        }
    )
    account = Request("GET", f"/api/v1/namespaces/{SPACE}/serviceaccounts/default")
    wait_for(
        lambda: client.transport.request(account, 5).status == 200, 30, "the namespace's account"
    )
    for number in range(NODES):
        _vary_node(client, f"kwok-{number}", number, rng)
    for name, mode in (
        ("disks", "WaitForFirstConsumer"),
        ("fast", "WaitForFirstConsumer"),
        ("now", "Immediate"),
    ):
        client.create({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
            "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": mode,
        })  # fmt: skip
    client.create({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "made"},
        "provisioner": "example.com/nobody", "volumeBindingMode": "WaitForFirstConsumer",
        "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}],
    })  # fmt: skip
    for number in range(40):
        _volume(
            client,
            f"pv-{number}",
            f"kwok-{number % 25}",
            ("disks", "fast")[number % 2],
            10 + number,
        )
    for number in range(8):
        _volume(client, f"held-{number}", f"kwok-{number}", "disks", 50, claim=f"held-{number}")
        _claim(client, f"held-{number}", "disks", 20, volume=f"held-{number}")
    for number in range(12):
        _claim(
            client,
            f"open-{number}",
            ("disks", "fast", "made", "gone", "now", "disks")[number % 6],
            5 + 7 * number,
        )
    _claim(client, "huge", "disks", 5000)
    create(client, [_runner(f"runs-{number}", rng) for number in range(160)])
    wait_for(lambda: len(_held(client)) == 8, 30, "8 claims bound", lambda: _held(client))
    wait_for(lambda: len(_free(client)) == 40, 30, "40 volumes available", lambda: _free(client))


def _held(client: kube.Client) -> list[str]:
    claims = client.list(kube.CLAIM, SPACE)
    return [kube.name(one) for one in claims if (one.get("status") or {}).get("phase") == "Bound"]


def _free(client: kube.Client) -> list[str]:
    volumes = client.list(kube.VOLUME)
    return [kube.name(one) for one in volumes if one["status"].get("phase") == "Available"]


def _vary_node(client: kube.Client, name: str, number: int, rng: random.Random) -> None:
    labels: dict[str, str | None] = {
        "zone": ZONES[number % 3] if number % 7 else None,
        "size": str(number),
    }
    labels["disk"] = rng.choice(["ssd", "hdd", None])
    taints = [{"key": "helm-tidb.io/kwok", "value": "true", "effect": "NoSchedule"}]
    if number % 5 == 0:
        taints.append(
            {"key": "dedicated", "value": rng.choice(["db", "web"]), "effect": "NoSchedule"}
        )
    if number % 11 == 0:
        taints.append({"key": "spot", "effect": "PreferNoSchedule"})
    spec: Obj = {"taints": taints, "unschedulable": number % 9 == 0}
    client.merge_patch(kube.NODE, name, {"metadata": {"labels": labels}, "spec": spec})
    room = {"cpu": str(4 + number % 8), "memory": f"{8 + number}Gi", "pods": str(4 + number % 5),
            "ephemeral-storage": "20Gi"}  # fmt: skip
    if number % 4 == 0:
        room["example.com/gpu"] = "2"
    client.merge_patch(
        kube.NODE, name, {"status": {"capacity": room, "allocatable": room}}, subresource="status"
    )


def _volume(
    client: kube.Client, name: str, node: str, cls: str, size: int, claim: str = ""
) -> None:
    spec: Obj = {
        "capacity": {"storage": f"{size}Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": cls,
        "local": {"path": f"/mnt/{name}"}, "persistentVolumeReclaimPolicy": "Retain",
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}},
    }  # fmt: skip
    if claim:
        spec["claimRef"] = {"namespace": SPACE, "name": claim}
    client.create(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
    )


def _claim(client: kube.Client, name: str, cls: str, size: int, volume: str = "") -> None:
    spec: Obj = {"accessModes": ["ReadWriteOnce"], "storageClassName": cls,
                 "resources": {"requests": {"storage": f"{size}Gi"}}}  # fmt: skip
    if volume:
        spec["volumeName"] = volume
    client.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                   "metadata": {"name": name, "namespace": SPACE}, "spec": spec})  # fmt: skip


# --- pods ----------------------------------------------------------------------------------------

APPS = ("db", "web", "cache", "batch")


def _runner(name: str, rng: random.Random) -> Obj:
    """A pod that is on a node already."""
    pod = _bare(name, {"app": rng.choice(APPS)})
    pod["spec"]["nodeName"] = f"kwok-{rng.randrange(NODES)}"
    container = pod["spec"]["containers"][0]
    container["resources"] = {
        "requests": {
            "cpu": rng.choice(["100m", "500m", "1"]),
            "memory": rng.choice(["1Gi", "2500Mi"]),
        }
    }
    if rng.random() < 0.2:
        container["ports"] = [{"containerPort": 80, "hostPort": rng.choice([4000, 2379])}]
    if rng.random() < 0.15:
        pod["spec"]["affinity"] = {
            "podAntiAffinity": _terms(rng, rng.choice(["zone", "kubernetes.io/hostname"]))
        }
    if rng.random() < 0.3:
        pod["spec"]["initContainers"] = [_container("init", {"cpu": "1500m", "memory": "3Gi"})]
    return pod


def demanding(name: str, rng: random.Random) -> Obj:
    """A pod with one to four demands, of which at least one is mostly too much."""
    pod = _bare(name, {"app": rng.choice(APPS), "case": "true"})
    spec = pod["spec"]
    if rng.random() < 0.95:
        spec["tolerations"] = [{"key": "helm-tidb.io/kwok", "operator": "Exists"}]
    for demand in rng.sample(DEMANDS, rng.choice([1, 2, 2, 3, 3, 4])):
        demand(pod, rng)
    return pod


def _cpu(pod: Obj, rng: random.Random) -> None:
    pod["spec"]["containers"][0].setdefault("resources", {}).setdefault("requests", {})["cpu"] = (
        rng.choice(["2", "3500m", "7", "9.5", "40"])
    )


def _memory(pod: Obj, rng: random.Random) -> None:
    pod["spec"]["containers"][0].setdefault("resources", {}).setdefault("requests", {})[
        "memory"
    ] = rng.choice(["6Gi", "20G", "45Gi", "1Ti"])


def _init(pod: Obj, rng: random.Random) -> None:
    sidecar = _container("side", {"cpu": rng.choice(["1", "3"])})
    sidecar["restartPolicy"] = "Always"
    pod["spec"]["initContainers"] = [
        _container("first", {"cpu": "5"}),
        sidecar,
        _container("next", {"memory": "30Gi"}),
    ]


def _scratch(pod: Obj, rng: random.Random) -> None:
    asked = {"ephemeral-storage": rng.choice(["15Gi", "30Gi"]), "example.com/gpu": "1"}
    container = pod["spec"]["containers"][0]
    container.setdefault("resources", {}).setdefault("requests", {}).update(asked)
    container["resources"]["limits"] = {"example.com/gpu": "1"}


def _port(pod: Obj, rng: random.Random) -> None:
    pod["spec"]["containers"][0]["ports"] = [
        {"containerPort": 80, "hostPort": rng.choice([4000, 2379])}
    ]


def _select(pod: Obj, rng: random.Random) -> None:
    pod["spec"]["nodeSelector"] = rng.choice(
        [{"disk": "ssd"}, {"zone": "a"}, {"zone": "z"}, {"disk": "hdd", "zone": "b"}]
    )


def _node_affinity(pod: Obj, rng: random.Random) -> None:
    expression = rng.choice([
        {"key": "size", "operator": "Gt", "values": ["30"]},
        {"key": "size", "operator": "Lt", "values": ["5"]},
        {"key": "disk", "operator": "DoesNotExist"},
        {"key": "zone", "operator": "NotIn", "values": ["a", "b"]},
        {"key": "zone", "operator": "In", "values": ["nowhere"]},
    ])  # fmt: skip
    term: Obj = {"matchExpressions": [expression]}
    if rng.random() < 0.3:
        field = {
            "key": "metadata.name",
            "operator": "In",
            "values": [f"kwok-{rng.randrange(NODES)}"],
        }
        term = {"matchFields": [field]}
    affinity = pod["spec"].setdefault("affinity", {})
    affinity["nodeAffinity"] = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}
    }


def _tolerate(pod: Obj, rng: random.Random) -> None:
    pod["spec"].setdefault("tolerations", []).append(
        {
            "key": "dedicated",
            "operator": "Equal",
            "value": rng.choice(["db", "web"]),
            "effect": "NoSchedule",
        }
    )


def _claims(pod: Obj, rng: random.Random) -> None:
    names = [
        f"open-{rng.randrange(12)}",
        f"held-{rng.randrange(8)}",
        rng.choice(["huge", "missing", "open-5", "open-6"]),
        f"open-{rng.randrange(12)}",
    ]
    chosen = rng.sample(sorted(set(names)), rng.choice([1, 1, 2]))
    pod["spec"]["volumes"] = [
        {"name": f"v{n}", "persistentVolumeClaim": {"claimName": c}} for n, c in enumerate(chosen)
    ]


def _spread(pod: Obj, rng: random.Random) -> None:
    constraint: Obj = {
        "maxSkew": 1,
        "topologyKey": rng.choice(["zone", "kubernetes.io/hostname", "rack"]),
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": pod["metadata"]["labels"]["app"]}},
    }
    if rng.random() < 0.3:
        constraint["minDomains"] = 5
    if rng.random() < 0.3:
        constraint["nodeTaintsPolicy"] = "Honor"
    pod["spec"]["topologySpreadConstraints"] = [constraint]


def _near(pod: Obj, rng: random.Random) -> None:
    pod["spec"].setdefault("affinity", {})["podAffinity"] = _terms(
        rng, rng.choice(["zone", "kubernetes.io/hostname"])
    )


def _apart(pod: Obj, rng: random.Random) -> None:
    pod["spec"].setdefault("affinity", {})["podAntiAffinity"] = _terms(
        rng, rng.choice(["zone", "kubernetes.io/hostname"])
    )


def _terms(rng: random.Random, key: str) -> Obj:
    term: Obj = {
        "topologyKey": key,
        "labelSelector": {"matchLabels": {"app": rng.choice([*APPS, "nobody"])}},
    }
    if rng.random() < 0.3:
        term["namespaceSelector"] = rng.choice(
            [{}, {"matchLabels": {"team": "shop"}}, {"matchLabels": {"team": "x"}}]
        )
    return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}


DEMANDS = (
    _cpu,
    _memory,
    _init,
    _scratch,
    _port,
    _select,
    _node_affinity,
    _tolerate,
    _claims,
    _claims,
    _spread,
    _near,
    _apart,
)


def _bare(name: str, labels: dict[str, str]) -> Obj:
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": SPACE, "labels": labels},
        "spec": {"containers": [_container("main", {})], "automountServiceAccountToken": False},
    }  # fmt: skip


def _container(name: str, requests: dict[str, str]) -> Obj:
    return {"name": name, "image": "none", "resources": {"requests": requests}}


def create(client: kube.Client, objects: list[Obj]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(client.create, objects))
