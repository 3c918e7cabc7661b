"""What a disk agent costs a node and the API server, on real disks (loops with ext4) and a real API server.

Goals (issue 6): 500 disks published ≤ 3 s after the start; RSS ≤ 64 MiB whatever the cluster's size (the static
provisioner's agent: 192 MB at 24,500 PVs); ≤ 50 ms CPU a scan of 24 disks; no API call when nothing changed; from a
disk's mount to its PV ≤ 5 s, of which it has to stay the same for 2 s (disks.steadyFor).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ci.bench import spread
from ci.cluster import Cluster
from ci.cluster.api import wait_until
from hooks import kube
from schema import crd, names

ROOT = Path(__file__).resolve().parents[2]
NAME = "bench-disks"
NODE = "bench"
RUNS = 3
OTHER_NODES = 1000
IMAGE_BYTES = 16 << 20
REST_SECONDS = 20.0
PORT = 22181
OFTEN = {"minSize": "1Mi", "steadyFor": "1s", "rescanEvery": "1s"}
# The chart's defaults but for the size.
CHART = {"minSize": "1Mi", "steadyFor": "2s", "rescanEvery": "30s"}
# Calls that an agent could make; the cluster's own components touch no ConfigMap at rest but the root certificates'.
CALLS = re.compile(
    r'^apiserver_request_total\{(?=[^}]*resource="configmaps")'
    r'(?=[^}]*verb="(APPLY|PATCH|POST|PUT|GET|LIST)")[^}]*\} (\S+)$',
    re.MULTILINE,
)

# Run where the disks are: what one scan costs, all its threads counted.
SCAN = """
import sys, time
from pathlib import Path
from hooks.disks.host import Host
from hooks.disks.job import Observer
from hooks.disks.judge import Policy, judge
from hooks.disks.steady import settle
folder = Path(sys.argv[1])
look = Observer(Host(dev=folder / "dev"), str(folder / "disks"))
costs = []
for _ in range(10):
    cpu, began = time.process_time(), time.monotonic()
    found, _ = settle(judge(look(), Policy(), {}), {}, Policy(), 0.0)
    costs.append((time.process_time() - cpu, time.monotonic() - began))
cpu, wall = (sorted(c)[len(c) // 2] * 1000 for c in zip(*costs))
print(f"a scan of {len(found)}: {cpu:.1f} ms CPU, {wall:.1f} ms in all (medians of {len(costs)})")
"""


def main() -> None:
    cluster = Cluster.up(NAME, nodes=0)
    try:
        client = kube.Client.connect("bench", kubeconfig=str(cluster.kubeconfig))
        for disks in (24, 500):
            _measure(cluster, client, disks)
        _inserted(cluster, client)
        _fill(cluster, client)
        _measure(cluster, client, 24, f", beside {OTHER_NODES} other nodes of 24 disks each")
    finally:
        cluster.down()


def _measure(cluster: Cluster, client: kube.Client, disks: int, beside: str = "") -> None:
    with (
        tempfile.TemporaryDirectory(prefix="helm-tidb-bench-") as folder,
        _machine(Path(folder), disks) as machine,
    ):
        firsts = []
        for run in range(RUNS):
            _forget(client)
            began = time.monotonic()
            agent = machine.start(cluster.kubeconfig)
            try:
                _wait(lambda: _published(client) == disks, f"{disks} disks published", machine.log)
                firsts.append(time.monotonic() - began)
                if run == RUNS - 1:
                    print(
                        f"{disks} disks{beside}: process start (imports too) to all published {spread(firsts)}",
                        flush=True,
                    )
                    _at_rest(cluster, client, agent, disks, machine.log)
            finally:
                agent.send_signal(signal.SIGTERM)
                agent.wait(20)


def _inserted(cluster: Cluster, client: kube.Client) -> None:
    """Real agent, real controller, and the chart's configuration: from the mount of a new disk to its PV."""
    client.create(crd.crd(crd.load()))
    labels = {"kubernetes.io/hostname": NODE}
    client.create(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}}
    )
    _forget(client)
    control = [sys.executable, "-m", "hooks", "volumes", "--controller", "--namespace=default"]
    control += [f"--kubeconfig={cluster.kubeconfig}", "--address=127.0.0.1", f"--port={PORT}"]
    with (
        tempfile.TemporaryDirectory(prefix="helm-tidb-bench-") as folder,
        _machine(Path(folder), 24, spare=RUNS, config=CHART) as machine,
        (Path(folder) / "controller.log").open("wb") as log,
    ):
        both = [machine.start(cluster.kubeconfig), subprocess.Popen(control, cwd=ROOT, stderr=log)]
        try:
            _wait(partial(_pvs, client, 24), "24 PVs", machine.log)
            took = []
            for number in range(24, 24 + RUNS):
                began = time.monotonic()
                machine.mount(number)
                _wait(partial(_pvs, client, number + 1), f"{number + 1} PVs", machine.log)
                took.append(time.monotonic() - began)
            print(f"disk mounted beside 24 others → its PV: {spread(took)}, {CHART}", flush=True)
        finally:
            for process in both:
                process.send_signal(signal.SIGTERM)
                process.wait(20)


def _forget(client: kube.Client) -> None:
    """Delete the node's inventory."""
    found = client.find(kube.CONFIG_MAP, f"{names.INVENTORY_PREFIX}{NODE}", "default")
    if found is not None:
        client.delete(kube.CONFIG_MAP, kube.name(found), "default", uid=kube.uid(found))


def _at_rest(
    cluster: Cluster,
    client: kube.Client,
    agent: subprocess.Popen[bytes],
    disks: int,
    log: Path,
) -> None:
    """With a scan a second, as none is asked for; the default is one in 30 s."""
    _wait(lambda: all(disk["steady"] for disk in _inventory(client)["disks"]), "steady disks", log)
    time.sleep(3)
    pid = _child(agent.pid)
    again = []
    for _ in range(RUNS):
        _forget(client)
        began = time.monotonic()
        _wait(lambda: _published(client) == disks, f"{disks} disks published anew", log)
        again.append(time.monotonic() - began)
    print(f"  a scan of all and its writing, asked for by deleting the inventory: {spread(again)}")
    time.sleep(3)
    calls = _calls(cluster)  # reading the counter is no call on ConfigMaps
    time.sleep(REST_SECONDS)
    print(f"  at rest for {REST_SECONDS:.0f} s with a scan a second: {_rss(pid) / 2**20:.1f} MiB RSS, "
          f"{_calls(cluster) - calls:.0f} API calls on ConfigMaps")  # fmt: skip
    inside = ["nsenter", "-t", str(pid), "-m", "sh", "-c",
              f"cd {ROOT} && exec {sys.executable} -c '{SCAN}' {log.parent}"]  # fmt: skip
    print(f"  {subprocess.run(inside, check=True, capture_output=True, text=True).stdout.strip()}")


@dataclass
class Machine:
    """A mount namespace with disks in it."""

    folder: Path
    holder: subprocess.Popen[bytes]
    loops: list[str]

    @property
    def log(self) -> Path:
        return self.folder / "agent.log"

    def start(self, kubeconfig: Path) -> subprocess.Popen[bytes]:
        """An agent."""
        here = self.folder
        agent = (
            f"cd {ROOT} && exec {sys.executable} -m hooks disks --root {here}/disks --host-dev {here}/dev "
            f"--config {here}/disks.json --node {NODE} --node-ip 10.0.0.1 --namespace default --kubeconfig"
        )
        with self.log.open("ab") as log:
            return subprocess.Popen(self._inside(f"{agent} {kubeconfig}"), stderr=log)

    def mount(self, number: int) -> None:
        point = self.folder / "disks" / f"d{number}"
        subprocess.run(self._inside(f"mount -t ext4 {self.loops[number]} {point}"), check=True)

    def _inside(self, command: str) -> list[str]:
        return ["nsenter", "-t", str(self.holder.pid), "-m", "sh", "-c", command]


@contextmanager
def _machine(
    folder: Path, disks: int, spare: int = 0, config: Mapping[str, str] = OFTEN
) -> Iterator[Machine]:
    """That many disks mounted, and some more that are not yet."""
    ids = folder / "dev/disk/by-id"
    ids.mkdir(parents=True)
    (folder / "disks").mkdir()
    loops: list[str] = []
    script = ["set -e"]
    holder: subprocess.Popen[bytes] | None = None
    try:
        for number in range(disks + spare):
            image = folder / f"{number}.img"
            with image.open("wb") as file:
                file.truncate(IMAGE_BYTES)
            subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
            loop = subprocess.run(
                ["losetup", "--find", "--show", image], check=True, capture_output=True, text=True
            ).stdout.strip()
            loops.append(loop)
            (ids / f"nvme-BENCH_{number:04}").symlink_to(f"../../{os.path.basename(loop)}")
            point = folder / "disks" / f"d{number}"
            point.mkdir()
            if number < disks:
                script.append(f"mount -t ext4 {loop} {point}")
        (folder / "disks.json").write_text(json.dumps(config))
        # One namespace for all runs: 500 mounts cost more than what is measured.
        holder = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "sh",
                "-c",
                "\n".join([*script, "echo mounted", "exec sleep infinity"]),
            ],
            stdout=subprocess.PIPE,
        )
        if holder.stdout:
            holder.stdout.readline()
        yield Machine(folder, holder, loops)
    finally:
        if holder:
            holder.kill()
            holder.wait()
        for loop in loops:
            subprocess.run(["losetup", "--detach", loop], check=False)
        with suppress(OSError):
            shutil.rmtree(folder / "disks")


def _fill(cluster: Cluster, client: kube.Client) -> None:
    """Inventories of other nodes, as large as real ones."""
    example = _inventory(client)
    example["disks"] = example["disks"][:24]
    text = json.dumps(example)
    for start in range(0, OTHER_NODES, 100):
        items = [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": f"{names.INVENTORY_PREFIX}other-{number}",
                    "namespace": "default",
                    "labels": {names.EXCHANGE_LABEL: names.INVENTORY},
                },
                "data": {names.INVENTORY_KEY: text},
            }
            for number in range(start, start + 100)
        ]
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        cluster.kubectl("create", "-f", "-", stdin=document, timeout=120)


def _inventory(client: kube.Client) -> dict[str, list[dict[str, bool]]]:
    map_ = client.find(kube.CONFIG_MAP, f"{names.INVENTORY_PREFIX}{NODE}", "default")
    found: dict[str, list[dict[str, bool]]] = {"disks": []}
    return json.loads(map_["data"][names.INVENTORY_KEY]) if map_ else found


def _published(client: kube.Client) -> int:
    return len(_inventory(client)["disks"])


def _calls(cluster: Cluster) -> float:
    text = cluster.kubectl("get", "--raw", "/metrics")
    return sum(float(match[2]) for match in CALLS.finditer(text))


def _child(pid: int) -> int:
    """nsenter and sh replace themselves by the agent, so it is the process itself."""
    assert "hooks" in Path(f"/proc/{pid}/cmdline").read_text()
    return pid


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _pvs(client: kube.Client, wanted: int) -> bool:
    return len(client.list(kube.VOLUME)) == wanted


def _wait(condition: Callable[[], bool], what: str, log: Path) -> None:
    """A minute at most; then it tells what the agent said."""
    wait_until(condition, what, 60, pause=0.05, seen=log.read_text)
