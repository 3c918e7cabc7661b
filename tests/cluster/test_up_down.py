"""A cluster comes, goes and leaves nothing: also when it is interrupted, killed, or half dead.

Each test has a cluster of its own, mostly without nodes: what is shown here is the harness, not Kubernetes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci.cluster import Cluster, ClusterError, faults, layout, network, processes, state
from ci.cluster.cluster import down
from ci.cluster.run import run
from tests.cluster.conftest import WaitFor

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def name() -> Iterator[str]:
    chosen = f"updown-{os.getpid()}"
    yield chosen
    down(chosen)


def traces(slot: int, folder: Path) -> list[str]:
    """Everything on this machine that belongs to the cluster of that slot and folder."""
    found = [f"folder {folder}"] if folder.exists() else []
    found += [f"netns {path.name}" for path in Path("/run/netns").glob(f"tc{slot}-*")]
    found += [f"link {path.name}" for path in Path("/sys/class/net").glob(f"tc{slot}h*")]
    found += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"*/tc{slot}-*")]
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    found += [f"route {line}" for line in routes.splitlines() if f"10.250.{slot}." in line]
    loops = subprocess.run(
        ["losetup", "--list", "--noheadings"], capture_output=True, text=True, check=True
    ).stdout
    found += [f"loop {line}" for line in loops.splitlines() if str(folder) in line]
    mounts = Path("/proc/self/mountinfo").read_text()
    found += [f"mount {line}" for line in mounts.splitlines() if str(folder) in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (
                (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
        except OSError:
            continue
        if f"{folder}/" in command:
            found.append(f"process {process.name} {command}")
    return found


def memory_of(name: str) -> state.State:
    memory = state.load(name)
    assert memory is not None
    return memory


def test_up_and_down_twice_leave_nothing(name: str) -> None:
    for _ in range(2):
        cluster = Cluster.up(name, nodes=2, disks_a_node=1)
        assert traces(cluster.layout.slot, cluster.layout.folder), (
            "the check sees a cluster that is up"
        )
        slot, folder = cluster.layout.slot, cluster.layout.folder
        cluster.down()
        assert traces(slot, folder) == []
    assert not down(name), "a third time there is nothing to do"


def test_two_clusters_do_not_meet(name: str) -> None:
    first, second = (
        Cluster.up(name, nodes=1, disks_a_node=1),
        Cluster.up(f"{name}-b", nodes=1, disks_a_node=1),
    )
    try:
        first.kubectl("create", "namespace", "only-here")
        assert "only-here" not in second.kubectl("get", "namespaces")
        faults.kill_node(first, "n1")
        second.wait_ready(["n1"])
        first.down()
        assert "n1" in second.kubectl("get", "nodes")
    finally:
        second.down()


def test_a_name_in_use_is_refused_and_the_cluster_left_alone(name: str) -> None:
    cluster = Cluster.up(name, nodes=0)
    with pytest.raises(
        ClusterError, match=f"cluster '{name}' is up already; .*down --name {name}` removes it"
    ):
        Cluster.up(name, nodes=0)
    assert cluster.api.ready()


def test_a_half_dead_cluster_is_named_and_can_be_removed(name: str) -> None:
    cluster = Cluster.up(name, nodes=0)
    processes.end([cluster.memory.processes["etcd"]], first=signal.SIGKILL)
    with pytest.raises(
        ClusterError, match=f"cluster '{name}' is half dead \\(etcd not running\\); .*down"
    ):
        Cluster.up(name, nodes=0)
    slot, folder = cluster.layout.slot, cluster.layout.folder
    assert down(name)
    assert traces(slot, folder) == []


def test_a_slot_whose_network_is_taken_is_passed_over() -> None:
    """A free slot whose addresses this machine routes elsewhere is not given out."""
    free = state.free_slot()
    # An address on the loopback device makes a route to it, as any other network of this machine does.
    address = f"10.250.{free}.77/32"
    run("ip", "addr", "add", address, "dev", "lo")
    try:
        assert network.conflict(layout.Layout("any", free)) is not None
        assert state.free_slot() != free
    finally:
        run("ip", "addr", "del", address, "dev", "lo")


def start_up(name: str) -> subprocess.Popen[str]:
    """`up` as a person starts it, in a process of its own."""
    # A shell has what it starts with `&` ignore SIGINT, and all that is started from there too: tests as well.
    words = ["env", "--default-signal=INT", sys.executable]
    words += ["-m", "ci.cluster", "up", "--name", name, "--nodes", "2"]
    return subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def etcd_runs(name: str) -> bool:
    memory = state.load(name)
    return memory is not None and "etcd" in memory.processes


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_cleans_up(name: str, wait_for: WaitFor, sign: signal.Signals) -> None:
    up = start_up(name)
    wait_for(lambda: etcd_runs(name), 30, "etcd of the cluster under way")
    memory = memory_of(name)
    up.send_signal(sign)
    _, said = up.communicate(timeout=60)
    assert up.returncode == 130, said
    assert f"cluster {name}: removed again" in said
    assert traces(memory.slot, memory.layout.folder) == []


def test_a_crashed_up_is_cleared_by_the_next(name: str, wait_for: WaitFor) -> None:
    up = start_up(name)
    wait_for(lambda: etcd_runs(name), 30, "etcd of the cluster under way")
    memory = memory_of(name)
    with pytest.raises(
        ClusterError, match=f"cluster '{name}' is being started by process {up.pid}"
    ):
        down(name)
    up.kill()
    up.communicate(timeout=60)
    assert traces(memory.slot, memory.layout.folder), "the crash left something to clear"
    cluster = Cluster.up(name, nodes=1, disks_a_node=1)
    assert cluster.nodes == ["n1"]
    cluster.down()
    assert traces(memory.slot, memory.layout.folder) == []


def test_a_component_that_dies_is_named_with_its_last_words(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever breaks during `up` ends in one sentence, and nothing is left."""
    from ci.cluster import control

    prepare = control.prepare

    def broken(memory: state.State, authority: object) -> None:
        prepare(memory, authority)  # type: ignore[arg-type]
        memory.commands["kube-apiserver"].append("--no-such-flag")

    monkeypatch.setattr(control, "prepare", broken)
    with pytest.raises(
        ClusterError, match=r"kube-apiserver (died|ended at once); its log .*no-such-flag"
    ):
        Cluster.up(name, nodes=0)
    assert state.load(name) is None


def test_status_prints_memory_and_cpu(name: str) -> None:
    Cluster.up(name, nodes=0)
    words = [sys.executable, "-m", "ci.cluster", "status", "--name", name, "--seconds", "0.5"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "kube-apiserver           running" in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("5 processes, ")
    assert "MiB PSS" in last
    assert "% of one core" in last


def test_kwok_nodes_stand_beside_real_ones(name: str) -> None:
    cluster = Cluster.up(name, nodes=1, disks_a_node=0, kwok_nodes=20)
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    ready = [
        item["metadata"]["name"]
        for item in nodes
        if any(c["type"] == "Ready" and c["status"] == "True" for c in item["status"]["conditions"])
    ]
    assert len(ready) == 21
    # Longer than their lease: they stay Ready because something renews it.
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        conditions = cluster.api.get("/api/v1/nodes/kwok-7")["status"]["conditions"]
        assert next(item["status"] for item in conditions if item["type"] == "Ready") == "True"
        time.sleep(1)
