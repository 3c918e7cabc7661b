"""A release that manages the cluster's disks, and the StatefulSets that use them: what tests of volumes say and ask."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

from ci.cluster import Cluster
from schema import names
from tests.cluster.conftest import WaitFor
from tests.cluster.kube import Kubectl, Object
from tests.cluster.release import forget_volumes, impatient_disks

CLASS = "volumes-test"
VALUES: dict[str, dict[str, Any]] = {
    "hooks": {"image": {"tag": "dev"}},
    "disks": impatient_disks(CLASS),
}


@dataclass
class Disks:
    """The release that manages the cluster's disks."""

    cluster: Cluster
    kube: Kubectl

    def volumes(self) -> list[Object]:
        return self.kube.all("tidbvolumes")

    def at(self, machine: str, slot: str = "d0") -> Object:
        """The TidbVolume of the disk that is there now; empty when there is none."""
        for volume in self.volumes():
            status = volume.get("status", {})
            here = (status.get("node"), status.get("path")) == (machine, f"/mnt/disks/{slot}")
            if here and status["phase"] not in ("Failed", "Lost"):
                return volume
        return {}

    def phase(self, name: str) -> str:
        found = self.kube.find("tidbvolume", name)
        return str((found or {}).get("status", {}).get("phase", ""))

    def codes(self, name: str) -> list[str]:
        status = self.kube.get("tidbvolume", name).get("status", {})
        return [reason["code"] for reason in status.get("reasons", [])]

    def pvs(self, volume: str) -> list[str]:
        found = self.kube.all("pv", "-l", f"{names.VOLUME_LABEL}={volume}")
        return [pv["metadata"]["name"] for pv in found]

    def all_available(self) -> bool:
        phases = [volume.get("status", {}).get("phase") for volume in self.volumes()]
        return phases.count("Available") == 2 * len(self.cluster.nodes)

    def shown(self) -> str:
        return self.kube.run("get", "tidbvolumes", "-o", "wide") + self.kube.run(
            "logs", "deploy/d-volumes", "--tail=15"
        )


def component(obj: Object) -> str:
    return str(obj["metadata"].get("labels", {}).get("app.kubernetes.io/component", ""))


def remove(kube: Kubectl, objects: list[Object]) -> None:
    """Everything cluster-scoped that a release made."""
    forget_volumes(kube)
    kube.run("delete", "namespace", kube.namespace, "--wait=false")
    for o in objects:
        if "namespace" not in o["metadata"]:
            name = o["metadata"]["name"]
            kube.run("delete", o["kind"], name, "--ignore-not-found", "--wait=false")


def stateful_set(name: str, replicas: int = 3) -> Object:
    labels = {"app": name, "app.kubernetes.io/component": "tikv"}
    container = {
        "name": "main",
        "image": "helm-tidb/busybox:dev",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "echo $HOSTNAME > /data/who; sync; sleep 100000"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    apart = {
        "labelSelector": {"matchLabels": {"app": name}},
        "topologyKey": "kubernetes.io/hostname",
    }
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": CLASS,
            "resources": {"requests": {"storage": "100Mi"}},
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "serviceName": name,
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [container],
                    "affinity": affinity,
                    "terminationGracePeriodSeconds": 1,
                },
            },
            "volumeClaimTemplates": [claim],
        },
    }


def volume_of(kube: Kubectl, claim: str) -> str:
    """The TidbVolume behind a claim."""
    pv = kube.get("pvc", claim)["spec"]["volumeName"]
    return str(kube.get("pv", pv)["metadata"]["labels"][names.VOLUME_LABEL])


def started(disks: Disks, wait_for: WaitFor, name: str, replicas: int = 1) -> list[str]:
    """A StatefulSet that runs; the TidbVolumes of its claims, by ordinal."""
    kube = disks.kube
    kube.apply(stateful_set(name, replicas))
    wait_for(lambda: len(kube.running(f"app={name}")) == replicas, 60, f"{name} runs", disks.shown)
    return [volume_of(kube, f"data-{name}-{n}") for n in range(replicas)]


def gone(disks: Disks, wait_for: WaitFor, name: str) -> None:
    kube = disks.kube
    kube.run("delete", "statefulset", name, "--ignore-not-found")
    wait_for(lambda: not kube.all("pods", "-l", f"app={name}"), 60, "pods gone")
    kube.run("delete", "pvc", "-l", f"app={name}", "--ignore-not-found")


def cleared(disks: Disks, wait_for: WaitFor, *volumes: str) -> None:
    """Nobody needs them: say so by hand."""
    for volume in volumes:
        wait_for(partial(shown_as, disks, volume, "Released"), 30, "released", disks.shown)
        disks.kube.run("annotate", "tidbvolume", volume, f"{names.WIPE_ANNOTATION}=now")
    for volume in volumes:
        wait_for(partial(shown_as, disks, volume, "Available"), 60, "offered again", disks.shown)


def shown_as(disks: Disks, volume: str, phase: str) -> bool:
    return disks.phase(volume) == phase


class stopped_agent:  # noqa: N801 - reads as a statement
    """No agent on one node: a taint-like nodeSelector would move all, so its pods are kept away by a label."""

    def __init__(self, disks: Disks, wait_for: WaitFor, machine: str) -> None:
        self.kube, self.wait_for, self.machine = disks.kube, wait_for, machine

    def _select(self, selector: dict[str, Any] | None) -> None:
        patch = {"spec": {"template": {"spec": {"nodeSelector": selector}}}}
        self.kube.run("patch", "ds", "d-disk-agent", "--type=merge", "-p", json.dumps(patch))

    def _runs(self) -> bool:
        pods = self.kube.all("pods", "-l", "app.kubernetes.io/component=disk-agent")
        return any(p["spec"].get("nodeName") == self.machine for p in pods)

    def __enter__(self) -> None:
        for name in ("n1", "n2", "n3", "n4"):
            if name != self.machine:
                self.kube.run("label", "node", name, "agent=yes", "--overwrite")
        self._select({"agent": "yes"})
        self.wait_for(lambda: not self._runs(), 60, "the agent is gone")

    def __exit__(self, *_: object) -> None:
        self._select({"agent": None})
        for name in ("n1", "n2", "n3", "n4"):
            self.kube.run("label", "node", name, "agent-")
        self.wait_for(self._runs, 60, "the agent is back")
