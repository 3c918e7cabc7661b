"""The release's disk agents, with the controller's part played by the test, and the objects that such a test makes."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ci import tools
from ci.cluster import Cluster
from schema import names
from tests.cluster.kube import Kubectl, Object
from tests.cluster.release import impatient_disks

CLASS = "agent-test"
VALUES = {
    "hooks": {"image": {"tag": "dev"}},
    "disks": {**impatient_disks(CLASS), "resources": {"cpu": "100m", "memory": "96Mi"}},
}


@dataclass
class Agents:
    """The release's agents, and the controller's part played by the test."""

    cluster: Cluster
    kube: Kubectl

    def inventory(self, name: str) -> Object:
        found = self.kube.find("configmap", f"{names.INVENTORY_PREFIX}{name}")
        said: Object = json.loads(found["data"][names.INVENTORY_KEY]) if found else {"disks": []}
        return said

    def disk(self, name: str, slot: str = "d0") -> Object:
        """What the node's agent says of a slot; empty while it says nothing."""
        path = f"/mnt/disks/{slot}"
        return next((d for d in self.inventory(name)["disks"] if d["path"] == path), {})

    def codes(self, name: str, slot: str = "d0") -> list[str]:
        return [problem["code"] for problem in self.disk(name, slot).get("problems", [])]

    def usable(self, name: str, slot: str = "d0") -> bool:
        disk = self.disk(name, slot)
        return bool(disk) and disk["steady"] and not disk["problems"]

    def serial(self, name: str, slot: str = "d0") -> str:
        return next(d.serial for d in self.cluster.memory.node(name).disks if d.slot == slot)

    def request(self, name: str, generation: int = 1, **said: Any) -> str:
        """Ask the agent of a node for disk d0; returns the folder's name."""
        identity: str = self.disk(name)["identity"]
        volume = names.volume_name(identity)
        folder = names.folder_name(volume, generation)
        entry = {
            "identity": identity,
            "volume": volume,
            "generation": generation,
            "folder": folder,
            "make": False,
            "pvUID": "",
            **said,
        }
        if "wipe" in said:
            entry["wipe"] = {
                "generation": generation,
                "pvUID": entry["pvUID"],
                "folder": folder,
                "foreign": said["wipe"],
            }
        document = {"version": 1, "node": name, "volumes": [entry]}
        self.kube.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": f"{names.REQUESTS_PREFIX}{name}",
                    "namespace": self.kube.namespace,
                    "labels": {names.EXCHANGE_LABEL: names.REQUESTS},
                },
                "data": {names.REQUESTS_KEY: json.dumps(document)},
            }
        )
        return folder

    def pod(self, name: str) -> str:
        pods = self.kube.running("app.kubernetes.io/component=disk-agent")
        return next(str(p["metadata"]["name"]) for p in pods if p["spec"]["nodeName"] == name)

    def last_look(self, name: str) -> float:
        """When (Unix time) the agent of a node ended its last complete look at the disks, by its own metrics."""
        script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/metrics').read().decode())"
        said = self.kube.exec(self.pod(name), "python3", "-c", script)
        (value,) = re.findall(r'^helm_tidb_last_success_seconds\{job="disks"\} (\S+)$', said, re.M)
        return float(value)


def local_volume(agents: Agents, name: str, folder: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": folder},
        "spec": {
            "capacity": {"storage": "100Mi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": CLASS,
            "claimRef": {"namespace": agents.kube.namespace, "name": "data"},
            "local": {"path": f"/mnt/disks/d0/{folder}"},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [
                                {
                                    "key": "kubernetes.io/hostname",
                                    "operator": "In",
                                    "values": [name],
                                }
                            ]
                        }
                    ]
                }
            },
        },
    }


def claim_of(folder: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": CLASS,
            "volumeName": folder,
            "resources": {"requests": {"storage": "50Mi"}},
        },
    }


def user_pod(name: str, where: str, command: str) -> Object:
    """As a database's pod runs: an ordinary user, for whom the kubelet hands the folder to its group."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": where},
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
            "containers": [
                {
                    "name": "main",
                    "image": "helm-tidb/busybox:dev",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", command],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    }


def events_of(kube: Kubectl, pod: str) -> str:
    found = kube.all("events", f"--field-selector=involvedObject.name={pod}")
    return "\n".join(str(event.get("message")) for event in found)


def config_map(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {}}


def said_to(agents: Agents, token: str, obj: Object) -> str:
    """Server-side apply as the token's owner, without persisting it; "" or what the API server refused it with."""
    config = yaml.safe_load(agents.cluster.kubeconfig.read_text())
    server = config["clusters"][0]["cluster"]
    authority = agents.cluster.kubeconfig.parent / "agent-test-ca.crt"
    _write_authority(server, authority)
    done = subprocess.run(
        [
            tools.path("kubectl"),
            "--kubeconfig=/dev/null",
            f"--server={server['server']}",
            f"--certificate-authority={authority}",
            f"--token={token}",
            "-n",
            obj["metadata"].get("namespace", agents.kube.namespace),
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-f",
            "-",
        ],
        input=json.dumps(obj),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.stderr if done.returncode else ""


def _write_authority(server: Object, path: Path) -> None:
    import base64

    if "certificate-authority-data" in server:
        path.write_bytes(base64.b64decode(server["certificate-authority-data"]))
    else:
        path.write_bytes(Path(server["certificate-authority"]).read_bytes())
