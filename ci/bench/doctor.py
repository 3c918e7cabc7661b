"""The doctor at size: 1,000 nodes and 3,000 pods of which 60 are pending; and how fast the commands answer.

Wanted: a diagnosis within 3 s and 200 MB, `--help` within 0.2 s. Times are of CPU, which other work on the machine
disturbs least. Compared within the run: a tenth of everything, and Python's own start.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ci.demo.tools import ROOT

NODES, PODS, PENDING = 1000, 3000, 60
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
    bare = _quickest([sys.executable, "-c", "pass"])
    for words in (["--help"], ["status", "--help"]):
        code = f"import sys; sys.argv[1:] = {words}; from hooks.doctor.command import main; main()"
        spent = _quickest([sys.executable, "-c", code])
        print(
            f"kubectl-tidb {' '.join(words)}: {spent * 1000:.0f} ms, Python alone {bare * 1000:.0f} ms"
        )


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


def _quickest(command: list[str], times: int = 5) -> float:
    """The least CPU seconds of several runs."""
    spent = []
    for _ in range(times):
        before = _children()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        spent.append(_children() - before)
    return min(spent)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def world(nodes: int, pods: int, pending: int) -> dict[str, Any]:
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
            "metadata": {"name": f"n{number}", "uid": f"n{number}", "labels": {
                "kubernetes.io/hostname": f"n{number}", "zone": f"z{number % 3}", "pool": f"p{number % 7}"}},
            "spec": {},
            "status": {"allocatable": {"cpu": "32", "memory": "128Gi", "pods": "110"},
                       "conditions": [{"type": "Ready", "status": "True"}]},
        })  # fmt: skip
        objects["TidbVolume"].append({
            "apiVersion": "helm-tidb.io/v1", "kind": "TidbVolume",
            "metadata": {"name": f"tv-{number:016x}", "uid": f"t{number}"}, "spec": {},
            "status": {"phase": "Bound", "node": f"n{number}", "path": "/mnt/disks/d0", "capacityBytes": 2**40,
                       "claim": {"namespace": "db", "name": f"c{number}"}},
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
                "spec": {"storageClassName": "tidb-local", "resources": {"requests": {"storage": "900Gi"}}},
                "status": {"phase": "Pending"},
            })  # fmt: skip
        objects["Pod"].append({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "db", "uid": name, "labels": labels},
            "spec": {
                "nodeName": "" if waits else f"n{number % nodes}", "affinity": apart, "volumes": volumes,
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
