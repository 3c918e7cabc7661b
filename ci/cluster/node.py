"""One node: its files, its boot, its death.

Everything that the node reads at boot lies in its folder, so that a boot needs no state but that folder: a killed
node starts again as a machine does.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import uuid
from pathlib import Path

from ci import tools
from ci.cluster import cgroups, disks, network, processes
from ci.cluster.api import wait_until
from ci.cluster.errors import ClusterError
from ci.cluster.layout import NodeLayout
from ci.cluster.pki import Authority
from ci.cluster.run import run
from ci.cluster.state import Node

HERE = Path(__file__).resolve().parent
PAUSE = "helm-tidb/pause:dev"
# What a node offers to pods. Every node sees the whole machine; the rest is reserved away.
ALLOCATABLE_MIB = 5632
BOOT_SECONDS = 30.0
DEATH_SECONDS = 20.0


def write_files(node: NodeLayout, memory: Node, authority: Authority) -> None:
    """All that the node's boot reads: programs' configuration, certificates, scripts."""
    folder = node.folder
    for name in ("kubelet", "log", "mnt", "containerd", "pki"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    renew_machine_id(node, memory)
    for script in ("insert-disk", "pull-disk"):
        shutil.copy(HERE / f"{script}.sh", folder / script)
    client = authority.issue(f"{node.name}-client", f"system:node:{node.name}", "system:nodes")
    authority.kubeconfig(folder / "kubelet.kubeconfig", client)
    proxy = authority.issue(f"{node.name}-proxy", "system:kube-proxy")
    authority.kubeconfig(folder / "kube-proxy.kubeconfig", proxy)
    sans = (f"DNS:{node.name}", f"IP:{node.address}")
    serving = authority.issue(
        f"{node.name}-serving", f"system:node:{node.name}", "system:nodes", sans
    )
    (folder / "containerd.toml").write_text(_containerd(node))
    (folder / "cni.conflist").write_text(json.dumps(_cni(node), indent=1))
    # The kubelet and kube-proxy read JSON as the YAML that it is.
    kubelet = _kubelet(node, str(serving.crt), str(serving.key), str(authority.ca.crt))
    (folder / "kubelet.yaml").write_text(json.dumps(kubelet, indent=1))
    (folder / "kube-proxy.yaml").write_text(json.dumps(_kube_proxy(node), indent=1))
    (folder / "resolv.conf").write_text(f"nameserver {node.cluster.address}\n")


def renew_machine_id(node: NodeLayout, memory: Node) -> None:
    """The machine's identity, as /etc/machine-id shows it; kept for the machine's life."""
    memory.machine_id = uuid.uuid4().hex
    (node.folder / "machine-id").write_text(memory.machine_id + "\n")


def boot(node: NodeLayout, memory: Node, others: list[NodeLayout]) -> None:
    """Switch the node on; returns when its first process runs. Readiness is for the caller to wait for."""
    if memory.init and processes.alive(memory.init):
        raise ClusterError(f"node {node.name} is running already; `kill-node {node.name}` first")
    power_off(node, memory)
    (node.folder / "disks.tab").write_text(disks.table(memory.disks))
    network.add_cable(node, others)
    groups = cgroups.make(node.netns)
    launcher = processes.spawn(
        f"{node.name} launcher",
        [
            *("bash", "-c", 'for group in $0; do echo $$ > "$group/cgroup.procs"; done; exec "$@"'),
            " ".join(str(group) for group in groups),
            *(
                "nsenter",
                f"--net=/run/netns/{node.netns}",
                "unshare",
                "-m",
                "-u",
                "-i",
                "-p",
                "-C",
                "--fork",
            ),
            *("--kill-child", "--propagation", "slave", "bash", HERE / "node-init.sh"),
        ],
        node.folder / "init.log",
        environment={
            "TC_NAME": node.name,
            "TC_DIR": str(node.folder),
            "TC_ADDRESS": node.address,
            # Empty on cgroup v2: one hierarchy, mounted where v1 has its folders.
            "TC_CGROUPS": ""
            if cgroups.unified()
            else " ".join(path.name for path in cgroups.hierarchies()),
            "TC_CONTAINERD": str(tools.path("containerd")),
            "TC_KUBELET": str(tools.path("kubelet")),
            "TC_KUBE_PROXY": str(tools.path("kube-proxy")),
            "PATH": f"{tools.path('containerd').parent}:{tools.path('runc').parent}:{os.environ['PATH']}",
        },
    )
    wait_until(
        lambda: bool(processes.children(launcher.pid)) or not processes.alive(launcher),
        f"first process of {node.name}",
        BOOT_SECONDS,
        pause=0.01,
    )
    cgroups.settle(node.netns)
    pids = processes.children(launcher.pid)
    started = processes.start_time(pids[0]) if pids else None
    if started is None:
        raise ClusterError(f"{node.name} did not boot: {processes.tail(node.folder / 'init.log')}")
    memory.init = processes.Process(f"{node.name} init", pids[0], started)


def power_off(node: NodeLayout, memory: Node) -> None:
    """Power loss: every process of the node is gone at once, nothing is shut down. Its disks keep what they have.

    Also clears what a dead machine does not leave behind (control groups, its end of the cable), and works on a node
    that is off already.
    """
    if memory.init:
        processes.end([memory.init], first=signal.SIGKILL)
        memory.init = None
    wait_until(
        lambda: not [pid for pid in cgroups.processes(node.netns) if processes.start_time(pid)],
        f"end of every process of {node.name}",
        DEATH_SECONDS,
        pause=0.01,
        seen=lambda: f"pids {cgroups.processes(node.netns)}",
    )
    cgroups.remove(node.netns)
    network.remove_node(node)


def enter(memory: Node, name: str, *command: str | Path, timeout: float = 60.0) -> str:
    """Run a command inside the node, as a shell on that machine would; returns its output."""
    if memory.init is None or not processes.alive(memory.init):
        raise ClusterError(f"node {name} is off; `start-node {name}` first")
    return run("nsenter", "-t", str(memory.init.pid), "-a", *command, timeout=timeout)


def load_image(memory: Node, name: str, archive: Path) -> None:
    """Import an image archive into the node's containerd."""
    if memory.init is None:
        raise ClusterError(f"node {name} is off; `start-node {name}` first")
    wait_until(
        lambda: (
            subprocess.run(
                _ctr(memory.init.pid, "version") if memory.init else ["false"],
                capture_output=True,
                check=False,
            ).returncode
            == 0
        ),
        f"containerd of {name}",
        BOOT_SECONDS,
    )
    run(
        *_ctr(
            memory.init.pid, "-n", "k8s.io", "images", "import", "--no-unpack=false", str(archive)
        ),
        timeout=300,
    )


def _ctr(pid: int, *words: str) -> list[str]:
    socket = "/run/containerd/containerd.sock"
    return [
        "nsenter",
        "-t",
        str(pid),
        "-m",
        "-n",
        "-p",
        str(tools.path("ctr")),
        "-a",
        socket,
        *words,
    ]


def _containerd(node: NodeLayout) -> str:
    return f"""version = 3
root = "{node.folder}/containerd"
state = "/run/containerd"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
  # The test machine may not grant CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{tools.path("cni")}"]
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "{tools.path("runc")}"
"""


def _cni(node: NodeLayout) -> dict[str, object]:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        # On /run, so that a crash leaks no addresses.
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": node.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": "/run/cni",
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "backend": "nftables"}
    return {"cniVersion": "1.0.0", "name": "tc", "plugins": [bridge, portmap]}


def _kubelet(node: NodeLayout, crt: str, key: str, ca: str) -> dict[str, object]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "tlsCertFile": crt,
        "tlsPrivateKeyFile": key,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": ca},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "failSwapOn": False,
        "clusterDNS": [node.cluster.address],
        "clusterDomain": "cluster.local",
        "resolvConf": str(node.folder / "resolv.conf"),
        "enforceNodeAllocatable": [],
        "systemReserved": {"memory": f"{max(0, total - ALLOCATABLE_MIB)}Mi"},
        "evictionHard": {
            "memory.available": "1Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        # Failures must show within a test's patience: defaults are 10 s and 40 s.
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 4,
        "syncFrequency": "10s",
        "serializeImagePulls": False,
    }


def _kube_proxy(node: NodeLayout) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(node.folder / "kube-proxy.kubeconfig")},
        "hostnameOverride": node.name,
        # Each network namespace has its own nftables, so the nodes' rules do not meet.
        "mode": "nftables",
        "clusterCIDR": node.cluster.pods,
        # These sysctls are read-only in a network namespace.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
