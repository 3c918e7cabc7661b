"""The test cluster itself, on the real thing: what other tests take for granted is shown here.

Covered: local volumes and headless DNS, pods across nodes, NodePort, RBAC from inside, every fault, clean-up. Left to
tests/unit/ci: what is refused before anything starts.
"""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from ci.cluster import Cluster, ClusterError, faults
from tests.cluster.conftest import WaitFor
from tests.cluster.kube import Kubectl, Object

BUSYBOX = "helm-tidb/busybox:dev"
HOOKS = "helm-tidb/hooks:dev"


def on(name: str) -> Object:
    """The part of a pod's spec that sends it to one node."""
    return {"nodeSelector": {"kubernetes.io/hostname": name}}


def pod(name: str, command: str = "", **spec: Any) -> Object:
    container = {
        "name": "main",
        "image": spec.pop("image", BUSYBOX),
        "imagePullPolicy": "IfNotPresent",
        "command": spec.pop("argv", ["sh", "-c", command]),
    }
    if mounts := spec.pop("mounts", None):
        container["volumeMounts"] = mounts
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **spec},
    }


def local_volumes(cluster: Cluster, storage_class: str, namespace: str) -> list[Object]:
    """A class and one PV for disk d0 of every node."""
    made: list[Object] = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": storage_class},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
    ]
    for name in cluster.nodes:
        term = {
            "matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
            ]
        }
        made.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"{namespace}-{name}"},
                "spec": {
                    "capacity": {"storage": "900Mi"},
                    "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "storageClassName": storage_class,
                    "local": {"path": "/mnt/disks/d0"},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
                },
            }
        )
    return made


def stateful_set(storage_class: str) -> list[Object]:
    """Three pods with a local volume each, one a node, behind a headless Service; each serves its own name."""
    command = "echo $HOSTNAME >> /data/boots; exec nc -ll -p 8080 -e hostname"
    template = pod("kv", command, mounts=[{"name": "data", "mountPath": "/data"}])
    anti = {
        "labelSelector": {"matchLabels": {"app": "kv"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    template["spec"]["affinity"] = {
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [anti]}
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": "500Mi"}},
        },
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kv"},
            "spec": {"clusterIP": "None", "selector": {"app": "kv"}, "ports": [{"port": 8080}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "kv"},
            "spec": {
                "replicas": 3,
                "serviceName": "kv",
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": {"app": "kv"}},
                "template": {"metadata": {"labels": {"app": "kv"}}, "spec": template["spec"]},
                "volumeClaimTemplates": [claim],
            },
        },
    ]


@pytest.fixture
def kv(fresh_disks: Cluster, kube: Kubectl, wait_for: WaitFor) -> Iterator[Kubectl]:
    """A running StatefulSet of three with local volumes; its class and PVs go after the test."""
    cluster, storage_class = fresh_disks, f"local-{kube.namespace}"
    objects = local_volumes(cluster, storage_class, kube.namespace)
    kube.apply(*objects)
    kube.apply(*stateful_set(storage_class))
    wait_for(
        lambda: len(kube.running("app=kv")) == 3,
        60,
        "three kv pods Ready",
        lambda: kube.run("get", "pods"),
    )
    yield kube
    faults.mend(cluster)
    kube.run("delete", "statefulset", "kv", "--wait=true", timeout=90)
    kube.run("delete", "pvc", "--all", "--wait=false")
    for made in objects:
        kube.run("delete", made["kind"], made["metadata"]["name"], "--wait=false")


def node_of(kube: Kubectl, name: str) -> str:
    return str(kube.get("pod", name)["spec"]["nodeName"])


def status_of(kube: Kubectl, name: str) -> str:
    """The Node's Ready condition: True, False or Unknown."""
    conditions = kube.get("node", name)["status"]["conditions"]
    return next(str(item["status"]) for item in conditions if item["type"] == "Ready")


def test_stateful_set_has_local_volumes_and_names_across_nodes(
    cluster: Cluster, kv: Kubectl, wait_for: WaitFor
) -> None:
    nodes = {node_of(kv, f"kv-{ordinal}") for ordinal in range(3)}
    assert len(nodes) == 3
    for ordinal in range(3):
        name = node_of(kv, f"kv-{ordinal}")
        # On the disk of that node, and on nobody else's.
        content = cluster.enter(name, "cat", "/mnt/disks/d0/boots")
        assert content.split() == [f"kv-{ordinal}"]
        # By its headless name, from a pod of another node.
        address = f"kv-{ordinal}.kv.{kv.namespace}.svc.cluster.local"
        ask = partial(said, kv, f"kv-{(ordinal + 1) % 3}", "nc", "-w", "5", address, "8080")
        wait_for(
            lambda ask=ask, ordinal=ordinal: ask() == f"kv-{ordinal}\n",
            20,
            f"answer from {address}",
            ask,
        )


def said(kube: Kubectl, name: str, *command: str) -> str:
    """What a command in a pod printed, or why it could not: for conditions that are waited for."""
    try:
        return kube.exec(name, *command)
    except ClusterError as error:
        return repr(error)


def test_node_port_answers_from_the_host(
    cluster: Cluster, kube: Kubectl, wait_for: WaitFor
) -> None:
    kube.apply(
        pod("web", "mkdir /www; echo hello > /www/index.html; httpd -f -p 80 -h /www", **on("n1")),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80}]},
        },
    )
    service = kube.get("service", "web")["spec"]
    # Through a node that does not run the pod, and through the ClusterIP.
    by_node = f"http://{cluster.layout.node(2).address}:{service['ports'][0]['nodePort']}/"
    wait_for(
        lambda: fetched(by_node) == "hello\n",
        30,
        f"answer from {by_node}",
        lambda: fetched(by_node),
    )
    assert fetched(f"http://{service['clusterIP']}/") == "hello\n"


def fetched(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError) as error:
        return repr(error)


IN_CLUSTER = """
import json, ssl, urllib.request, urllib.error
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
token, namespace = open(f"{folder}/token").read(), open(f"{folder}/namespace").read()
context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
for what in ("configmaps", "secrets"):
    url = f"https://kubernetes.default.svc/api/v1/namespaces/{namespace}/{what}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        status = urllib.request.urlopen(request, context=context, timeout=5).status
    except urllib.error.HTTPError as error:
        status = error.code
    print(what, status)
"""


def test_a_client_inside_has_the_rights_of_its_account_and_no_more(
    kube: Kubectl, wait_for: WaitFor
) -> None:
    rbac = "rbac.authorization.k8s.io"
    kube.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "job"}},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": {"name": "job"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "job"},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "job"},
            "subjects": [{"kind": "ServiceAccount", "name": "job"}],
        },
        pod(
            "client",
            image=HOOKS,
            argv=["python", "-c", IN_CLUSTER],
            serviceAccountName="job",
            restartPolicy="Never",
        ),
    )
    wait_for(
        lambda: kube.get("pod", "client")["status"]["phase"] in ("Succeeded", "Failed"),
        60,
        "the client has ended",
    )
    assert kube.run("logs", "client").split("\n")[:2] == ["configmaps 200", "secrets 403"]


def test_a_kubelet_may_not_read_another_node(cluster: Cluster, kube: Kubectl) -> None:
    """NodeRestriction and the Node authorizer are on: n1's own certificate is held to n1."""
    kubeconfig = str(cluster.layout.node(1).folder / "kubelet.kubeconfig")
    assert "n1" in cluster.kubectl("--kubeconfig", kubeconfig, "get", "node", "n1")
    said = kube.refused("--kubeconfig", kubeconfig, "label", "node", "n2", "mine=yes")
    assert "is not allowed to modify node" in said or "forbidden" in said.lower()


def test_a_killed_node_is_missed_and_its_pod_moves_when_it_is_given_up(
    cluster: Cluster, kv: Kubectl, wait_for: WaitFor
) -> None:
    victim = node_of(kv, "kv-1")
    before = kv.get("pod", "kv-1")["metadata"]["uid"]
    faults.kill_node(cluster, victim)
    wait_for(lambda: status_of(kv, victim) == "Unknown", 40, f"{victim} NotReady")
    wait_for(
        lambda: "deletionTimestamp" in kv.get("pod", "kv-1")["metadata"],
        40,
        "kv-1 marked for deletion",
    )
    assert kv.get("pod", "kv-1")["metadata"]["uid"] == before, (
        "a StatefulSet alone replaces nothing"
    )
    # What a person, or our failover job, does about it.
    kv.run("delete", "node", victim)
    kv.run("delete", "pvc", "data-kv-1", "--wait=false")
    kv.run("delete", "pod", "kv-1", "--force", "--grace-period=0")
    wait_for(
        lambda: len(kv.running("app=kv")) == 3,
        60,
        "three pods Ready again",
        lambda: kv.run("get", "pods,pvc"),
    )
    assert node_of(kv, "kv-1") != victim
    faults.start_node(cluster, victim)
    assert status_of(kv, victim) == "True"


def test_a_node_that_comes_back_has_its_data(
    cluster: Cluster, kv: Kubectl, wait_for: WaitFor
) -> None:
    name = node_of(kv, "kv-2")
    machine = kv.get("node", name)["status"]["nodeInfo"]["machineID"]
    boot = kv.get("node", name)["metadata"]["uid"]
    faults.kill_node(cluster, name)
    with pytest.raises(ClusterError, match=f"node {name} is off"):
        cluster.enter(name, "true")
    faults.start_node(cluster, name)
    wait_for(
        lambda: cluster.enter(name, "cat", "/mnt/disks/d0/boots").split() == ["kv-2", "kv-2"],
        60,
        "kv-2 started a second time, on the data of the first",
    )
    assert node_of(kv, "kv-2") == name
    assert kv.get("node", name)["status"]["nodeInfo"]["machineID"] == machine
    assert kv.get("node", name)["metadata"]["uid"] == boot


def test_a_forgotten_node_is_a_new_machine(
    cluster: Cluster, kube: Kubectl, wait_for: WaitFor
) -> None:
    _, memory = cluster.node("n4")
    cluster.enter("n4", "touch", "/mnt/disks/d0/mark")
    machine = kube.get("node", "n4")["status"]["nodeInfo"]["machineID"]
    serials = {disk.serial for disk in memory.disks}
    faults.forget_node(cluster, "n4")
    assert cluster.enter("n4", "ls", "/mnt/disks/d0") == ""
    assert serials.isdisjoint({disk.serial for disk in memory.disks})
    assert kube.get("node", "n4")["status"]["nodeInfo"]["machineID"] not in (machine, "")
    # Its images were loaded anew: a pod that never pulls starts.
    kube.apply(pod("probe", "sleep 1000", **on("n4")))
    wait_for(lambda: kube.running("app=probe"), 30, "a pod on the new machine")


def test_a_cut_node_lives_but_is_unreachable(
    cluster: Cluster, kube: Kubectl, wait_for: WaitFor
) -> None:
    place, _ = cluster.node("n3")
    faults.cut_node(cluster, "n3")
    # Alive: its kubelet still answers itself. Unreachable: nobody else gets through.
    assert "kubelet" in cluster.enter("n3", "ps", "-eo", "comm")
    with pytest.raises(OSError, match=r"timed out|No route|unreachable"):
        socket.create_connection((place.address, 10250), timeout=2)
    wait_for(lambda: status_of(kube, "n3") == "Unknown", 40, "n3 NotReady")
    faults.heal_node(cluster, "n3")
    wait_for(lambda: status_of(kube, "n3") == "True", 60, "n3 Ready again")
    socket.create_connection((place.address, 10250), timeout=5).close()


def test_a_frozen_node_goes_on_where_it_stood(
    cluster: Cluster, kube: Kubectl, wait_for: WaitFor
) -> None:
    kube.apply(
        pod("count", "i=0; while :; do i=$((i+1)); echo $i > /tmp/i; sleep 0.1; done", **on("n2"))
    )
    wait_for(lambda: kube.running("app=count"), 30, "count Ready")
    faults.freeze_node(cluster, "n2")
    wait_for(lambda: status_of(kube, "n2") == "Unknown", 40, "n2 NotReady")
    faults.thaw_node(cluster, "n2")
    wait_for(lambda: status_of(kube, "n2") == "True", 60, "n2 Ready again")
    assert kube.get("pod", "count")["status"]["containerStatuses"][0]["restartCount"] == 0
    before = int(kube.exec("count", "cat", "/tmp/i"))
    wait_for(lambda: int(kube.exec("count", "cat", "/tmp/i")) > before, 10, "count goes on")


@pytest.mark.parametrize("component", ["kube-apiserver", "etcd"])
def test_the_api_goes_away_and_comes_back(cluster: Cluster, component: Any) -> None:
    faults.stop_api(cluster, component)
    # A write needs both; reads may come from the API server's cache.
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "while-away-"}}
    with pytest.raises((ClusterError, OSError)):
        cluster.api.create("/api/v1/namespaces/default/configmaps", made)
    with pytest.raises(ClusterError, match=f"{component} is stopped already"):
        faults.stop_api(cluster, component)
    faults.start_api(cluster)
    assert cluster.api.ready()
    assert len(cluster.api.get("/api/v1/nodes")["items"]) >= len(cluster.nodes)
