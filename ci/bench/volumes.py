"""What the volume controller needs for a large cluster: a real API server and etcd on this machine, agents in one
process.

Goals (issue 6): 1,000 nodes × 24 disks from all ConfigMaps present to 24,000 TidbVolumes and PVs ≤ 120 s;
controller ≤ 250 MB; a restart at that size reads everything in ≤ 15 s and writes nothing; 500 disks on one node ≤ 3
s; a claim bound is shown in ≤ 1 s.

The rate of plain creates by as many threads, measured just before, is what the first figure is compared with: three
writes a volume (TidbVolume, PV, status) are the least there can be. NODES=100 in the environment: another size.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import yaml

from ci.bench import spread
from ci.cluster import Cluster
from hooks import kube
from schema import crd, names
from tests.model.volumes.agents import FakeAgent, FakeDisk

ROOT = Path(__file__).resolve().parents[2]
NAME = "bench-volumes"
NAMESPACE = "default"
PORT = 22180
NODES, DISKS = int(os.environ.get("NODES", "1000")), 24
PLAIN = 2000
THREADS = 8
# At rest is when so long nothing was written.
REST_SECONDS = 5.0
# How often the controller's own figures are asked for: each time costs it a thread and a page of text.
POLL_SECONDS = 0.5
PHASE = re.compile(r'^helm_tidb_volumes\{phase="Available"\} (\d+)$', re.MULTILINE)


def main(nodes: int = NODES, disks: int = DISKS) -> None:
    cluster = Cluster.up(NAME, nodes=0)
    try:
        client = kube.Client.connect(
            "bench", kubeconfig=str(cluster.kubeconfig), connections=THREADS
        )
        client.create(crd.crd(crd.load()))
        _wait(lambda: client.list(kube.TIDB_VOLUME) == [], 10, kube.KubeError)
        account = _account(cluster)
        _large(client, account, nodes, disks)
        _one_node(client, account, nodes)
    finally:
        cluster.down()


def _account(cluster: Cluster) -> Path:
    """A kubeconfig with a service account's token, as a pod has it: a certificate is verified with every request."""
    cluster.kubectl("create", "serviceaccount", NAME, "--namespace", NAMESPACE)
    who = f"--serviceaccount={NAMESPACE}:{NAME}"
    cluster.kubectl("create", "clusterrolebinding", NAME, "--clusterrole=cluster-admin", who)
    token = cluster.kubectl("create", "token", NAME, "--namespace", NAMESPACE, "--duration=2h")
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token.strip()}
    account = cluster.kubeconfig.parent / "account.kubeconfig"
    account.touch(0o600)
    account.write_text(yaml.safe_dump(config))
    return account


def _large(client: kube.Client, account: Path, nodes: int, disks: int) -> None:
    volumes = nodes * disks
    rate = _plain_rate(client)
    machines = {f"n{n:04}": disks for n in range(nodes)}
    _publish(client, machines)
    before = _writes(client)
    with _Agents(account, machines), _Controller(account) as controller:
        took = controller.until_available(volumes, 1200)
        pace = 3 * volumes / took
        print(
            f"{nodes} nodes × {disks} disks → {volumes} TidbVolumes and PVs: {took:.1f} s, {pace:.0f} writes/s; "
            f"plain creates by {THREADS} threads just before: {rate:.0f}/s, ratio {pace / rate:.2f}; "
            f"controller: peak RSS {controller.peak_mb():.0f} MB, {controller.cpu_seconds():.1f} s CPU",
            flush=True,
        )
        _correct(client, volumes)
        made = _at_rest(client) - before
        print(f"writes until at rest, the agents' too: {made:.0f}, least {3 * volumes + 4 * nodes}")
        _use_shown(client)
        before = _at_rest(client)
    with _Controller(account) as controller:
        took = controller.until_available(volumes - 20, 300)
        after = _at_rest(client)
        print(
            f"restart at {volumes} volumes: all read after {took:.1f} s, {after - before:.0f} writes; "
            f"peak RSS {controller.peak_mb():.0f} MB, {controller.cpu_seconds():.1f} s CPU",
            flush=True,
        )


def _one_node(client: kube.Client, account: Path, nodes: int) -> None:
    with _Agents(account, {"big": 500}), _Controller(account) as controller:
        had = controller.until_steady()
        began = time.monotonic()
        _publish(client, {"big": 500})
        controller.until_available(had + 500, 120, pause=POLL_SECONDS / 10)
        print(
            f"500 disks on one node (beside {nodes} nodes): {time.monotonic() - began:.1f} s",
            flush=True,
        )


def _plain_rate(client: kube.Client) -> float:
    def create(number: int) -> None:
        metadata = {"name": f"plain-{number}", "namespace": NAMESPACE}
        client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})

    began = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(create, range(PLAIN)))
    return PLAIN / (time.monotonic() - began)


def _publish(client: kube.Client, machines: dict[str, int]) -> None:
    def publish(name: str) -> None:
        labels = {"kubernetes.io/hostname": name}
        client.create(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        )
        metadata = {
            "name": names.INVENTORY_PREFIX + name,
            "namespace": NAMESPACE,
            "labels": {names.EXCHANGE_LABEL: names.INVENTORY},
        }
        data = {names.INVENTORY_KEY: agent(name, machines[name]).text()}
        client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(publish, machines))


def agent(name: str, disks: int) -> FakeAgent:
    return FakeAgent(
        name, {f"/mnt/disks/d{d:03}": FakeDisk(f"wwn-{name}-{d:03}") for d in range(disks)}
    )


def _correct(client: kube.Client, volumes: int) -> None:
    """Every volume has its one PV, by UID; said, not assumed."""
    pvs = {kube.uid(pv): kube.name(pv) for pv in client.list(kube.VOLUME)}
    seen = client.list(kube.TIDB_VOLUME)
    wrong = [
        kube.name(v) for v in seen if pvs.get(v["status"]["pv"]["uid"]) != v["status"]["pv"]["name"]
    ]
    print(
        f"checked: {len(seen)} TidbVolumes, {len(pvs)} PVs of {volumes}, {len(wrong)} do not match",
        flush=True,
    )


def _use_shown(client: kube.Client) -> None:
    """From the moment that a PV names a claim and is Bound to the TidbVolume's status, seen by polling every 10 ms."""
    took = []
    for number, pv in enumerate(client.list(kube.VOLUME)[:20]):
        claim = client.create(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": f"data-db-{number}", "namespace": NAMESPACE},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": "tidb-local",
                    "volumeName": kube.name(pv),
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }
        )
        ref = {"namespace": NAMESPACE, "name": kube.name(claim), "uid": kube.uid(claim)}
        client.merge_patch(kube.VOLUME, kube.name(pv), {"spec": {"claimRef": ref}})
        client.merge_patch(
            kube.VOLUME, kube.name(pv), {"status": {"phase": "Bound"}}, subresource="status"
        )
        began = time.monotonic()
        volume = pv["metadata"]["labels"][names.VOLUME_LABEL]
        _wait(partial(_bound, client, volume), 30)
        took.append(time.monotonic() - began)
    print(
        f"claim bound → shown as Bound: {spread(took)}, worst {max(took) * 1000:.0f} ms", flush=True
    )


def _bound(client: kube.Client, volume: str) -> bool:
    return bool(client.get(kube.TIDB_VOLUME, volume)["status"]["phase"] == "Bound")


def _at_rest(client: kube.Client, seconds: float = 120.0) -> float:
    """Wait until nothing was written for a while; the number of writes so far."""
    deadline = time.monotonic() + seconds
    seen, since = _writes(client), time.monotonic()
    while time.monotonic() - since < REST_SECONDS:
        time.sleep(0.5)
        now = _writes(client)
        if now != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() > deadline:
            raise TimeoutError(f"something was written all the time for {seconds:.0f} s")
    return seen


def _writes(client: kube.Client) -> float:
    """Writes of volumes, PVs and ConfigMaps that the API server has counted: the controller's and the agents'.

    Not counted is PUT of PVs: Kubernetes' own PV controller writes each new PV's phase so, 20 a second by default, for
    twenty minutes after 24,000 PVs were made. Ours creates, patches and deletes.
    """
    from hooks.kube.wire import Request

    text = client.raw(Request("GET", "/metrics")).body.decode()
    total = 0.0
    for line in text.splitlines():
        if not line.startswith("apiserver_request_total{"):
            continue
        written = re.search(r'resource="(tidbvolumes|persistentvolumes|configmaps)"', line)
        verb = re.search(r'verb="(POST|PATCH|PUT|DELETE|APPLY)"', line)
        if written and verb and (written[1], verb[1]) != ("persistentvolumes", "PUT"):
            total += float(line.rpartition(" ")[2])
    return total


class _Agents:
    """All nodes' agents in one process, that the controller's CPU time is its own."""

    def __init__(self, account: Path, machines: dict[str, int]) -> None:
        words = [f"{name}={disks}" for name, disks in machines.items()]
        self._command = [sys.executable, "-m", "ci.bench.volumes", str(account), *words]

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


class _Controller:
    """`python -m hooks volumes --controller` as a process of its own."""

    def __init__(self, account: Path) -> None:
        self._command = [sys.executable, "-m", "hooks", "volumes", "--controller"]
        self._command += ["--kubeconfig", str(account), "--namespace", NAMESPACE]
        self._command += ["--address", "127.0.0.1", "--port", str(PORT)]
        self._log = (account.parent / "bench-volumes.log").open("ab")

    def __enter__(self) -> _Controller:
        self._began = time.monotonic()
        self._process = subprocess.Popen(self._command, cwd=ROOT, stderr=self._log)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def available(self) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=5) as answer:
                match = PHASE.search(answer.read().decode())
        except OSError:
            return -1
        return int(match.group(1)) if match else 0

    def until_available(self, number: int, seconds: float, pause: float = POLL_SECONDS) -> float:
        _wait(lambda: self.available() >= number, seconds, pause=pause)
        return time.monotonic() - self._began

    def until_steady(self) -> int:
        before = -1
        while (now := self.available()) != before or now <= 0:
            before = now
            time.sleep(3)
        return now

    def peak_mb(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[0]) / 1000

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


def _wait(
    condition: Callable[[], bool],
    seconds: float,
    ignored: type[Exception] = OSError,
    pause: float = 0.01,
) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except ignored:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(pause)


def play_agents(kubeconfig: str, machines: dict[str, int]) -> None:
    """Obey every requests ConfigMap until the process is ended."""
    client = kube.Client.connect("bench-agents", kubeconfig=kubeconfig, connections=THREADS)
    agents = {name: agent(name, disks) for name, disks in machines.items()}
    pool = ThreadPoolExecutor(2)

    class Sink:
        def seen(self, obj: kube.Obj) -> None:
            pool.submit(self.obey, obj)

        def obey(self, obj: kube.Obj) -> None:
            name = kube.name(obj).removeprefix(names.REQUESTS_PREFIX)
            found = agents.get(name)
            if found is None:
                return
            before = found.text()
            data = obj.get("data") or {}
            found.obey(data.get(names.REQUESTS_KEY, ""), data.get(names.SCAN_KEY, ""))
            if found.text() != before:
                patch = {"data": {names.INVENTORY_KEY: found.text()}}
                client.merge_patch(kube.CONFIG_MAP, names.INVENTORY_PREFIX + name, patch, NAMESPACE)

        def gone(self, key: kube.Key, *_: str) -> None:
            pass

        def synced(self) -> None:
            pass

    labels = f"{names.EXCHANGE_LABEL}={names.REQUESTS}"
    kube.Follower(client, kube.CONFIG_MAP, Sink(), NAMESPACE, labels=labels).thread()
    threading.Event().wait()


if __name__ == "__main__":
    play_agents(sys.argv[1], {w.split("=")[0]: int(w.split("=")[1]) for w in sys.argv[2:]})
