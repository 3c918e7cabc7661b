"""What `helm template` costs with defaults and with everything on, beside Helm's own start; and `helm install`.

Goals (issue 5): defaults rendered in at most 0.6 s; SQL answers at most 120 s after `helm install` began, on a cluster
of four nodes with the stand-ins. CPU seconds stand beside wall time, so that neighbours count little.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from ci import tools
from ci.bench import spread
from ci.cluster import Cluster
from ci.cluster.api import wait_until
from ci.suites import ROOT
from tests.cluster.kube import Kubectl
from tests.cluster.release import NAME, Release, local_volumes, sql_answers

RUNS = 9


def main() -> None:
    tools.build("helm4", "helm3")
    chart = ROOT / "chart"
    everything = ROOT / "tests" / "chart" / "values" / "all-on.yaml"
    template = ("template", "shop", chart, "--namespace", "db", "--kube-version", "1.36.0")
    for helm in ("helm4", "helm3"):
        path = tools.path(helm)
        start, _ = _measure([path, "version"])
        for name, more in (("defaults", ()), ("everything on", ("-f", everything))):
            command = [path, *template, *more]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            cpu, wall = _measure(command)
            ratio = statistics.median(cpu) / statistics.median(start)
            print(f"{helm} template, {name}, {len(text.splitlines())} lines (goal 0.6 s):")
            print(f"  CPU {spread(cpu)}, {ratio:.1f} x `helm version`; wall {spread(wall)}")
    schema = chart / "values.schema.json"
    sections = len(json.loads(schema.read_text())["properties"])
    print(f"values.schema.json: {schema.stat().st_size / 1000:.0f} kB, {sections} sections")
    _install()


def _install() -> None:
    """A database of three PD members, three stores and one TiDB: from the command to the first answer."""
    cluster = Cluster.up("bench", nodes=4, disks_a_node=2, images=("hooks", "standin"))
    try:
        kube = Kubectl(cluster, "chart-bench")
        kube.run("create", "namespace", kube.namespace)
        with local_volumes(cluster, kube.namespace), tempfile.TemporaryDirectory() as folder:
            release, began = Release(kube, Path(folder)), time.perf_counter()
            release.install({})
            installed = time.perf_counter() - began
            host, port = release.any_node_address(), release.node_port(f"{NAME}-tidb", "sql")
            wait_until(lambda: sql_answers(host, port), "an answer to SQL", 600, pause=0.1)
            answers = time.perf_counter() - began
            print(
                f"helm install: back after {installed:.1f} s, SQL answers after {answers:.1f} s (goal 120 s)"
            )
    finally:
        cluster.down()


def _measure(command: list[str | Path]) -> tuple[list[float], list[float]]:
    """CPU and wall seconds of RUNS runs, after one that warms the page cache."""
    subprocess.run(command, check=True, capture_output=True)
    cpu, wall = [], []
    for _ in range(RUNS):
        before, began = _children(), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        cpu.append(_children() - before)
        wall.append(time.perf_counter() - began)
    return cpu, wall


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
