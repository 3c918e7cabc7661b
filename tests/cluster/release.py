"""A Helm release of the chart in a test's namespace: the stand-ins on static local volumes, fit for four small
nodes.

Static volumes, because these tests are about the chart: how a disk becomes a volume is tested with the disk agent.
"""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql

from ci import tools
from ci.cluster import Cluster, ClusterError
from schema.names import VOLUME_LABEL
from tests.cluster.kube import Kubectl, Object

CHART = Path(__file__).resolve().parents[2] / "chart"
NAME = "shop"
DISKS = ("d0", "d1")

Values = Mapping[str, Any]


class HelmError(Exception):
    """Helm failed; the message is what it said, stdout and stderr."""


def small(storage_class: str) -> dict[str, Any]:
    """Values for the test cluster: the stand-ins, small and impatient; no Grafana, which no registry here has."""
    standin = {"repository": "helm-tidb/standin", "tag": "dev"}
    hooks = {"image": {"tag": "dev"}, "resources": {"cpu": "200m", "memory": "96Mi"}}
    claim = {"storageClassName": storage_class, "storage": "100Mi", "image": standin}
    return {
        "pd": {**claim, "resources": {"cpu": "50m", "memory": "192Mi"}},
        "tikv": {
            **claim,
            "resources": {"cpu": "50m", "memory": "128Mi"},
            "gracefulShutdownTimeout": "10s",
        },
        "tidb": {
            "replicas": 1,
            "image": standin,
            "resources": {"cpu": "50m", "memory": "128Mi"},
            "gracefulShutdownTimeout": "1s",
        },
        "boot": {**hooks, "poll": "1s", "refuseAfter": "10s"},
        "hooks": hooks,
        "disks": {"enabled": False},
        # Jobs by the clock would write in the middle of tests that count writes; failover's own tests turn it on.
        "failover": {"enabled": False},
        "cleanup": {"enabled": False},
        "monitor": {"enabled": False, **monitor()},
    }


def impatient_disks(storage_class: str) -> dict[str, Any]:
    """`disks` for the test cluster, whose disks are small: looked at all the time, and offered soon."""
    return {
        "storageClassName": storage_class,
        "minSize": "100Mi",
        "steadyFor": "1s",
        "rescanEvery": "2s",
    }


def monitor() -> dict[str, Any]:
    prometheus = {
        "image": {"repository": "helm-tidb/prometheus", "tag": "dev"},
        "resources": {"cpu": "50m", "memory": "256Mi"},
    }
    return {"scrapeInterval": "2s", "prometheus": prometheus, "grafana": {"enabled": False}}


def merged(left: Values, right: Values) -> dict[str, Any]:
    """As Helm merges a values file over another."""
    both = dict(left)
    for key, value in right.items():
        old = both.get(key)
        both[key] = (
            merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return both


class Release:
    """One release; `values` is what it was last installed or upgraded with, beside `small`."""

    def __init__(self, kube: Kubectl, folder: Path, *, helm: str = "helm4") -> None:
        self.kube = kube
        self.helm_name = helm
        self._home = folder
        self._kubeconfig = kube.cluster.layout.kubeconfig
        self.base = small(f"local-{kube.namespace}")

    def helm(self, *arguments: str, values: Values | None = None, timeout: float = 300) -> str:
        """Run Helm; returns all it said. Raises HelmError."""
        command = [str(tools.path(self.helm_name)), *arguments, "--namespace", self.kube.namespace]
        text = None
        if values is not None:
            command += ["-f", "-"]
            text = json.dumps(merged(self.base, values))
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env={
                "HOME": str(self._home),
                "KUBECONFIG": str(self._kubeconfig),
                "PATH": "/usr/bin:/bin",
            },
        )
        if done.returncode:
            raise HelmError(done.stdout + done.stderr)
        return done.stdout + done.stderr

    def install(self, values: Values) -> str:
        return self.helm("install", NAME, str(CHART), values=values)

    def upgrade(self, values: Values, *more: str) -> str:
        return self.helm("upgrade", NAME, str(CHART), *more, values=values)

    def refused(self, *arguments: str, values: Values | None = None) -> str:
        """Run Helm expecting a failure; returns what it said."""
        try:
            said = self.helm(*arguments, values=values)
        except HelmError as error:
            return str(error)
        raise AssertionError(f"helm {' '.join(arguments)} was not refused; it said {said}")

    def template(self, values: Values, *more: str) -> str:
        return self.helm(
            "template", NAME, str(CHART), "--kube-version", "1.36", *more, values=values
        )

    def pods(self, component: str) -> list[Object]:
        """The component's pods that are Ready."""
        return self.kube.running(
            f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component={component}"
        )

    def ready(self, **wanted: int) -> bool:
        return all(len(self.pods(component)) == number for component, number in wanted.items())

    def seen(self) -> str:
        return self.kube.run("get", "pods", "-o", "wide") + self.kube.run(
            "get", "events", "--field-selector", "type!=Normal"
        )

    def log(self, pod: str, container: str, *more: str) -> str:
        return self.kube.run("logs", pod, "-c", container, *more)

    def node_port(self, service: str, port: str) -> int:
        ports = self.kube.get("service", service)["spec"]["ports"]
        (found,) = (int(item["nodePort"]) for item in ports if item["name"] == port)
        return found

    def any_node_address(self) -> str:
        for address in self.kube.all("nodes")[0]["status"]["addresses"]:
            if address["type"] == "InternalIP":
                return str(address["address"])
        raise AssertionError("the first node has no InternalIP")

    def stores(self) -> list[Object]:
        """PD's stores as PD tells them, asked through a PD pod's address."""
        address = self.pods("pd")[0]["status"]["podIP"]
        with urllib.request.urlopen(
            f"http://{address}:2379/pd/api/v1/stores", timeout=10
        ) as answer:
            found: list[Object] = json.load(answer)["stores"]
            return found

    def prometheus(self, path: str, **query: str) -> Any:
        """What the monitor's Prometheus answers below /api/v1."""
        address = self.pods("prometheus")[0]["status"]["podIP"]
        url = f"http://{address}:9090/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]


def sql_answers(host: str, port: int) -> bool:
    """Whether SELECT 1 has an answer there now."""
    try:
        with (
            pymysql.connect(
                host=host, port=port, user="root", connect_timeout=3, read_timeout=3
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone() == (1,))
    except (pymysql.MySQLError, OSError):
        return False


def forget_cluster_wide(kube: Kubectl) -> None:
    """Delete what a release that Helm did not install has outside its namespace: `<namespace>.…`, and its class."""
    kinds = (
        "clusterroles",
        "clusterrolebindings",
        "validatingadmissionpolicybindings",
        "validatingadmissionpolicies",
    )
    for kind in kinds:
        names = [
            o["metadata"]["name"]
            for o in kube.all(kind)
            if o["metadata"]["name"].startswith(f"{kube.namespace}.")
        ]
        if names:
            kube.run("delete", kind, *names)
    kube.run(
        "delete", "storageclass", "-l", f"app.kubernetes.io/instance={NAME}", "--ignore-not-found"
    )


def forget_volumes(kube: Kubectl) -> None:
    """Delete every TidbVolume and its PVs, finalizers first, once nobody of the namespace is left to make them anew."""
    kube.run("delete", "deployments,daemonsets", "--all", "--cascade=foreground", timeout=120)
    for kind, which in (("pv", ("-l", VOLUME_LABEL)), ("tidbvolumes", ())):
        for obj in kube.all(kind, *which):
            name = obj["metadata"]["name"]
            # In this order: Kubernetes gives its own finalizer back to a PV that is in use and not being deleted.
            kube.run("delete", kind, name, "--wait=false", "--ignore-not-found")
            try:
                kube.run("patch", kind, name, "--type=merge", '-p={"metadata":{"finalizers":null}}')
            except ClusterError as error:
                if "NotFound" not in str(error):
                    raise


@contextmanager
def local_volumes(cluster: Cluster, namespace: str) -> Iterator[str]:
    """A StorageClass `local-<namespace>` with one volume a disk; gone afterwards, with what is in the folders."""
    name = f"local-{namespace}"
    for machine in cluster.nodes:
        for disk in DISKS:
            cluster.enter(machine, "mkdir", "-p", f"/mnt/disks/{disk}/{namespace}")
    volumes = [
        _volume(name, machine, disk, namespace) for machine in cluster.nodes for disk in DISKS
    ]
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    volume_names = [volume["metadata"]["name"] for volume in volumes]
    Kubectl(cluster, namespace).apply(storage_class, *volumes)
    try:
        # Neither the scheduler nor the preflight takes one that Kubernetes has not called Available.
        phase = "--for=jsonpath={.status.phase}=Available"
        cluster.kubectl("wait", phase, "--timeout=60s", "pv", *volume_names, timeout=90)
        yield name
    finally:
        cluster.kubectl("delete", "--wait=false", "--ignore-not-found", "pv", *volume_names)
        cluster.kubectl("delete", "--ignore-not-found", "storageclass", name)


def _volume(storage_class: str, machine: str, disk: str, namespace: str) -> Object:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [machine]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{machine}-{disk}"},
        "spec": {
            "storageClassName": storage_class,
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": f"/mnt/disks/{disk}/{namespace}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }


def empty_disk_under(cluster: Cluster, kube: Kubectl, claim: str) -> None:
    """Everything on the disk of this claim is gone, as when an empty one was put in its place."""
    volume = kube.get("pv", kube.get("pvc", claim)["spec"]["volumeName"])
    (machine,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0][
        "matchExpressions"
    ][0]["values"]
    path = volume["spec"]["local"]["path"]
    cluster.enter(machine, "find", path, "-mindepth", "1", "-delete")
