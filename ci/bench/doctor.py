"""The doctor at size: 1,000 nodes and 3,000 pods of which 60 are pending; and how fast the commands answer.

Wanted: `doctor` within 3 s and 200 MB, `status` within 1.5 s, `--help` within 0.2 s, each as a person waits for it: the
whole command, from a real API server. Compared within the run: kubectl reading the same pods, and Python's own start.
The diagnosis alone, of a saved snapshot, is in CPU seconds, beside a tenth of everything.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ci import tools
from ci.bench import spread
from ci.cluster import Cluster, control
from ci.cluster.api import Api, wait_until
from ci.demo.tools import ROOT
from hooks import kube
from schema import crd

NODES, PODS, PENDING = 1000, 3000, 60
THREADS = 8
TIMES = 5
# Its own peak of memory at the end: what a parent is told of its child counts what the parent had when it forked.
_COMMAND = """
import atexit, sys
from pathlib import Path
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(line for line in lines if line.startswith("VmHWM")), file=sys.stderr)
atexit.register(peak)
from hooks.doctor.command import main
sys.exit(main())
"""
_MEASURE = """
import resource, sys, time
from pathlib import Path
from hooks.doctor.snapshot import load
from hooks.doctor.diagnose import diagnose
began = time.process_time()
snapshot = load(Path(sys.argv[1]))
read = time.process_time()
found = diagnose(snapshot)
done = time.process_time()
print(read - began, done - read, len(found.findings), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    whole = _measure(NODES, PODS, PENDING)
    tenth = _measure(NODES // 10, PODS // 10, PENDING // 10)
    print(f"{NODES} nodes, {PODS} pods, {PENDING} pending: read {whole[0]:.2f} s, diagnosed {whole[1]:.2f} s, "
          f"{whole[2]:.0f} findings, {whole[3] / 1024:.0f} MB at most")  # fmt: skip
    ratio = whole[1] / max(tenth[1], 1e-6)
    print(f"a tenth of all: read {tenth[0]:.2f} s, diagnosed {tenth[1]:.2f} s; ratio {ratio:.0f}")
    _said("Python alone", [sys.executable, "-c", "pass"])
    _said("kubectl-tidb --help (at most 0.2 s)", _tidb("--help"))
    _said("kubectl-tidb status --help", _tidb("status", "--help"))
    _live()


def _live() -> None:
    """The commands against an API server with KWOK's nodes, which are Ready and run what they are given."""
    cluster = Cluster.up("bench-doctor", nodes=0, kwok_nodes=NODES)
    try:
        client = kube.Client.connect(
            "bench", kubeconfig=str(cluster.kubeconfig), connections=THREADS
        )
        _furnish(client, cluster.api)
        sizes = [len(json.dumps(pod)) for pod in client.list(kube.POD, "db", page=100)]
        print(
            f"{NODES} nodes, {len(sizes)} pods of {sum(sizes) / len(sizes) / 1000:.1f} kB, {PENDING} pending, "
            f"{NODES} disks, in the API server"
        )
        # In a data centre these have machines of their own; here they would share the processors with what is measured.
        control.stop(cluster.memory, "kwok", "kube-scheduler", "kube-controller-manager")
        there = ("-n", "db", "--kubeconfig", str(cluster.kubeconfig))
        _said(
            "kubectl get pods -o json",
            [str(tools.path("kubectl")), "get", "pods", "-o", "json", *there],
        )
        _said("kubectl-tidb status (at most 1.5 s)", _tidb("status", *there))
        _said("kubectl-tidb doctor (at most 3 s, 200 MB)", _tidb("doctor", *there))
    finally:
        cluster.down()


def _furnish(client: kube.Client, api: Api) -> None:
    """The same world as in the saved snapshot. The release's StatefulSet has no pods of its own: KWOK's are not to be
    replaced by a controller.
    """
    objects = world(NODES, PODS, PENDING, node="kwok-")["objects"]
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db"}})
    client.create(crd.crd(crd.load()))
    paths = (kube.TIDB_VOLUME.path(), "/api/v1/namespaces/db/serviceaccounts/default")
    wait_until(lambda: all(api.request("GET", p)[0] == 200 for p in paths), " and ".join(paths), 30)
    labels = objects["Pod"][0]["metadata"]["labels"]
    container = {"name": "tikv", "image": "pingcap/tikv:v8.5.7"}
    client.create({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "shop-tikv", "namespace": "db", "labels": {**labels, "app.kubernetes.io/part-of": "tidb"}},
        "spec": {
            "serviceName": "shop", "replicas": 0, "selector": {"matchLabels": {"app": "none"}},
            "template": {"metadata": {"labels": {"app": "none"}}, "spec": {"containers": [container]}},
        },
    })  # fmt: skip
    for pod in objects["Pod"]:
        pod["spec"]["tolerations"] = [{"key": "helm-tidb.io/kwok", "operator": "Exists"}]
        # As much text as the chart's own pods have.
        pod["spec"]["containers"][0]["env"] = [
            {"name": f"SETTING_{number}", "value": "x" * 60} for number in range(20)
        ]

    def create(obj: dict[str, Any]) -> None:
        made = client.create(obj)
        if obj["kind"] == "TidbVolume":
            status = {"status": obj["status"]}
            client.merge_patch(kube.TIDB_VOLUME, kube.name(made), status, subresource="status")

    with ThreadPoolExecutor(THREADS) as pool:
        for kind in ("StorageClass", "TidbVolume", "PersistentVolumeClaim", "Pod"):
            for obj in objects[kind]:
                obj["metadata"].pop("uid")
            list(pool.map(create, objects[kind]))
    wait_until(
        lambda: len(client.list(kube.POD, "db", fields="status.phase=Running")) >= PODS - PENDING,
        "KWOK runs the pods",
        240,
        pause=5.0,  # each look costs as much as what is measured
    )


def _tidb(*words: str) -> list[str]:
    return [sys.executable, "-c", _COMMAND, *words]


def _said(name: str, command: Sequence[str]) -> None:
    """Run it some times: seconds as a person waits; the least CPU seconds, which other work on the machine disturbs
    less; and the peak of memory, for the commands that tell it.
    """
    took, spent, peaks = [], [], [0]
    for _ in range(TIMES):
        began = time.monotonic()
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stderr is not None
            said = child.stderr.read()
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        took.append(time.monotonic() - began)
        spent.append(used.ru_utime + used.ru_stime)
        peaks += [int(peak) for peak in re.findall(r"^VmHWM:\s+(\d+) kB$", said, re.MULTILINE)]
        if child.returncode not in (0, 3, 4):
            raise RuntimeError(f"{name}: exit code {child.returncode}: {said}")
    memory = f", {max(peaks) / 1024:.0f} MB" if max(peaks) else ""
    print(f"{name}: {spread(took)}, CPU {min(spent):.2f} s{memory}", flush=True)


def _measure(nodes: int, pods: int, pending: int) -> tuple[float, ...]:
    """In a process of its own, so that the memory is the diagnosis' alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.json"
        path.write_text(json.dumps(world(nodes, pods, pending)))
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE, str(path)],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
    return tuple(float(word) for word in done.stdout.split())


def world(nodes: int, pods: int, pending: int, node: str = "n") -> dict[str, Any]:
    """A snapshot's document: full nodes, one store a third node with its disk, and pods that find no place."""
    labels = {
        "app.kubernetes.io/name": "tidb",
        "app.kubernetes.io/instance": "shop",
        "app.kubernetes.io/component": "tikv",
    }
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}]}}  # fmt: skip
    objects: dict[str, list[dict[str, Any]]] = {kind: [] for kind in (
        "Node", "Pod", "TidbVolume", "PersistentVolume", "PersistentVolumeClaim", "StorageClass")}  # fmt: skip
    for number in range(nodes):
        objects["Node"].append({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": f"{node}{number}", "uid": f"n{number}", "labels": {
                "kubernetes.io/hostname": f"{node}{number}", "zone": f"z{number % 3}", "pool": f"p{number % 7}"}},
            "spec": {},
            "status": {"allocatable": {"cpu": "32", "memory": "128Gi", "pods": "110"},
                       "conditions": [{"type": "Ready", "status": "True"}]},
        })  # fmt: skip
        objects["TidbVolume"].append({
            "apiVersion": "helm-tidb.io/v1", "kind": "TidbVolume",
            "metadata": {"name": f"tv-{number:016x}", "uid": f"t{number}"},
            "spec": {"identity": f"serial-{number}", "generation": 1},
            "status": {"phase": "Bound", "node": f"{node}{number}", "path": "/mnt/disks/d0", "capacityBytes": 2**40,
                       "claim": {"namespace": "db", "name": f"c{number}", "uid": "x"}},
        })  # fmt: skip
    for number in range(pods):
        waits = number < pending
        name = f"shop-tikv-{number}"
        volumes = (
            [{"name": "d", "persistentVolumeClaim": {"claimName": f"wait-{number}"}}]
            if waits
            else []
        )
        if waits:
            objects["PersistentVolumeClaim"].append({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": f"wait-{number}", "namespace": "db", "uid": f"c{number}", "labels": labels},
                "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "tidb-local",
                         "resources": {"requests": {"storage": "900Gi"}}},
                "status": {"phase": "Pending"},
            })  # fmt: skip
        objects["Pod"].append({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "db", "uid": name, "labels": labels},
            "spec": {
                "nodeName": "" if waits else f"{node}{number % nodes}", "affinity": apart, "volumes": volumes,
                "containers": [{"name": "tikv", "image": "pingcap/tikv:v8.5.7",
                                "resources": {"requests": {"cpu": "8", "memory": f"{20 + number % 5}Gi"}}}],
            },
            "status": {"phase": "Pending" if waits else "Running",
                       "conditions": [{"type": "Ready", "status": "False" if waits else "True"}]},
        })  # fmt: skip
    objects["StorageClass"].append({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "tidb-local", "uid": "s"},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
    })  # fmt: skip
    return {"format": 1, "taken": "2026-11-20T12:00:00+00:00", "namespace": "db", "release": "shop", "gaps": [],
            "pd": {}, "pdSaid": "", "logs": {}, "objects": objects}  # fmt: skip
