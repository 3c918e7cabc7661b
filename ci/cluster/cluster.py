"""Bring a cluster up, take it down, find it again.

`up` either ends with a working cluster or leaves nothing; `down` removes everything that carries the cluster's name or
slot, whatever state it is in, and may be run twice.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from ci import image, tools
from ci.cluster import (
    argocd,
    cgroups,
    checks,
    control,
    disks,
    kwok,
    limits,
    network,
    node,
    processes,
    state,
)
from ci.cluster.api import Api, http_ok, wait_until
from ci.cluster.errors import ClusterError
from ci.cluster.layout import Layout, NodeLayout
from ci.cluster.pki import Authority
from ci.cluster.run import run
from ci.cluster.state import FileSystem, Node, State
from ci.progress import say, step

TOOLS = (
    *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "coredns"),
    *(
        "kubelet",
        "kube-proxy",
        "containerd",
        "containerd-shim-runc-v2",
        "ctr",
        "runc",
        "cni",
        "kwok",
    ),
)
READY_SECONDS = 90.0
DEFAULT_NAME = "default"
T = TypeVar("T")


class Cluster:
    """A running test cluster. Get one by `Cluster.up` or `Cluster.find`; the faults are in ci/cluster/faults.py."""

    def __init__(self, memory: State) -> None:
        self.memory = memory
        self.layout: Layout = memory.layout
        self.kubeconfig: Path = self.layout.kubeconfig

    @property
    def name(self) -> str:
        return self.memory.name

    @property
    def nodes(self) -> list[str]:
        """The names of the real nodes, in order; KWOK's are not among them."""
        return sorted(self.memory.nodes, key=lambda name: self.memory.nodes[name].number)

    @property
    def api(self) -> Api:
        return Api(self.kubeconfig)

    def node(self, name: str) -> tuple[NodeLayout, Node]:
        memory = self.memory.node(name)
        return self.layout.node(memory.number), memory

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60.0) -> str:
        """Run the pinned kubectl against this cluster as its administrator; returns its output."""
        kubectl = (tools.path("kubectl"), "--kubeconfig", self.kubeconfig)
        return run(*kubectl, *arguments, stdin=stdin, timeout=timeout)

    def enter(self, name: str, *command: str | Path) -> str:
        """Run a command inside a node, as a shell on that machine would; returns its output."""
        return node.enter(self.memory.node(name), name, *command)

    @classmethod
    def up(
        cls,
        name: str = DEFAULT_NAME,
        *,
        nodes: int = 4,
        disks_a_node: int = 2,
        disk_size: int = 2**30,
        disk_fs: FileSystem = "xfs",
        kwok_nodes: int = 0,
        images: Iterable[str] = (),
        with_argocd: bool = False,
    ) -> Cluster:
        """Start a cluster and wait until every node is Ready and DNS answers.

        `disk_size` in bytes; `images` are names that ci.image builds. Raises ClusterError; then nothing is left behind.
        """
        Layout(name, slot=0)  # refuses a bad name before anything is built
        _check_numbers(nodes, disks_a_node, disk_size, disk_fs, kwok_nodes)
        checks.check(nodes, disks_a_node)
        with step("tools"):
            tools.build(*TOOLS)
        wanted = ["pause", *images] if nodes else []
        archives = {}
        for item in wanted:
            with step(f"image {item}"):
                archives[item] = image.build(item).archive
        memory = _claim(name)
        try:
            cluster = cls(memory)
            cluster._start(nodes, disks_a_node, disk_size, disk_fs, archives)
            if kwok_nodes:
                with step(f"{kwok_nodes} KWOK nodes"):
                    kwok.start(memory, cluster.api, kwok_nodes)
            if with_argocd:
                argocd.start(cluster)
            memory.phase, memory.maker = "up", None
            memory.save()
        except BaseException:
            # Also on Ctrl-C and SIGTERM (see __main__): half a cluster is worth nothing.
            keep = _keep_logs(memory.layout)
            _remove(memory)
            say(f"cluster {name}: removed again; its logs are in {keep}")
            raise
        return cluster

    @classmethod
    def find(cls, name: str = DEFAULT_NAME) -> Cluster:
        """The running cluster of that name; raises ClusterError when there is none, or only half of one."""
        memory = state.load(name)
        if memory is None:
            others = ", ".join(state.names()) or "none"
            raise ClusterError(
                f"no cluster {name!r} on this machine (there are: {others}); start it with `up`"
            )
        if memory.phase != "up":
            raise ClusterError(
                f"cluster {name!r} is {memory.phase}; wait, or remove it with `down`"
            )
        return cls(memory)

    def down(self) -> None:
        down(self.name)

    def _start(
        self, nodes: int, disks_a_node: int, size: int, fs: FileSystem, archives: dict[str, Path]
    ) -> None:
        memory, layout = self.memory, self.layout
        memory.disk_size = size
        authority = Authority(layout)
        with step("network and certificates"):
            network.make_rack(layout)
            control.prepare(memory, authority)
        with step("etcd and API server"):
            control.start(memory, "etcd")
            control.start(memory, "kube-apiserver")
            for number in range(1, nodes + 1):
                place = layout.node(number)
                memory.nodes[place.name] = Node(number)
                made = memory.nodes[place.name]
                made.disks = [
                    disks.make(place, made, f"d{slot}", size, fs) for slot in range(disks_a_node)
                ]
                node.write_files(place, made, authority)
            memory.save()
            control.wait_for_api(memory, self.api)
        control.allow_dns(self.api)
        for name in ("kube-controller-manager", "kube-scheduler", "coredns"):
            control.start(memory, name)
        self._boot(self.nodes)
        for item, archive in archives.items():
            self.load_archive(item, archive)
        self.wait_ready()
        self._wait_for_dns()

    def _boot(self, names: Iterable[str]) -> None:
        everybody = [self.layout.node(item.number) for item in self.memory.nodes.values()]
        for name in names:
            place, memory = self.node(name)
            node.boot(place, memory, everybody)
            self.memory.save()
        network.route_to_nodes(self.layout, everybody)

    def boot_node(self, name: str, *, reload_images: bool = False) -> None:
        """Switch one node on and wait until it is Ready by a word newer than this boot."""
        began = datetime.now(UTC)
        self._boot([name])
        if reload_images:
            for item in self.memory.images:
                node.load_image(self.memory.node(name), name, image.build(item).archive)
        with step(f"{name} Ready"):
            self.wait_ready([name], since=began)

    def load_image(self, name: str) -> str:
        """Build an image by its name in ci.image and import it into every node; returns its reference."""
        with step(f"image {name}"):
            built = image.build(name)
        self.load_archive(name, built.archive)
        return built.ref

    def load_archive(self, name: str, archive: Path) -> None:
        """Import an image archive (docker or OCI) into every node that is on, all at once."""
        on = [item for item in self.nodes if self.memory.nodes[item].init]
        done: list[str] = []

        def load(item: str) -> None:
            node.load_image(self.memory.nodes[item], item, archive)
            done.append(item)
            running.at(f"{len(done)} of {len(on)}")

        with step(f"image {name} on {len(on)} nodes") as running:
            _parallel(load, on)
        if name not in self.memory.images:
            self.memory.images.append(name)
            self.memory.save()

    def wait_ready(self, names: list[str] | None = None, since: datetime | None = None) -> None:
        """Wait until these nodes (default: all) are Ready; with `since`, by a Lease renewed after that time."""
        wanted = self.nodes if names is None else names
        api = self.api
        with step(f"nodes {' '.join(wanted)} Ready") as running:

            def missing() -> list[str]:
                left = [name for name in wanted if not _ready(api, name, since)]
                running.at(f"{len(wanted) - len(left)} of {len(wanted)}")
                return left

            wait_until(
                lambda: not missing(),
                f"nodes {' '.join(wanted)} Ready",
                READY_SECONDS,
                seen=lambda: "; ".join(
                    f"{name} not Ready, {self._last_words(name)}" for name in missing()
                ),
            )

    def _last_words(self, name: str) -> str:
        place, memory = self.node(name)
        if memory.init is None or not processes.alive(memory.init):
            return f"its first process is dead: {processes.tail(place.folder / 'init.log')}"
        return f"kubelet: {processes.tail(place.folder / 'log' / 'kubelet.log', 1)}"

    def _wait_for_dns(self) -> None:
        """Wait until CoreDNS has read the API: it answers on its ready port then."""
        url = f"http://{self.layout.address}:8181/ready"
        wait_until(lambda: http_ok(url), f"DNS ready ({url})", READY_SECONDS)


def down(name: str) -> bool:
    """Remove the cluster of that name and all that it left; False when there was none."""
    memory = state.load(name)
    if memory is None:
        return False
    maker = memory.maker
    if maker and maker.pid != os.getpid() and processes.alive(maker):
        raise ClusterError(
            f"cluster {name!r} is being started by process {maker.pid}; stop that one first (Ctrl-C cleans up)"
        )
    _remove(memory)
    return True


def _claim(name: str) -> State:
    """Take a slot under that name; clears what a crashed `up` left of it."""
    own = processes.start_time(os.getpid())
    with state.locked():
        old = state.load(name)
    if old is not None:
        if old.phase == "up":
            dead = [item for item, process in old.processes.items() if not processes.alive(process)]
            how = f"half dead ({', '.join(dead)} not running)" if dead else "up already"
            raise ClusterError(
                f"cluster {name!r} is {how}; `python -m ci.cluster down --name {name}` removes it, another --name "
                "starts one beside it"
            )
        say(f"cluster {name}: clearing what an earlier `up` left")
        down(name)
    with state.locked():
        limits.raise_inotify()
        memory = State(name, state.free_slot())
        memory.maker = processes.Process("up", os.getpid(), own or 0)
        memory.save()
    return memory


def _remove(memory: State) -> None:
    """Take everything down. Each part may be gone already; the folder goes last, so that a crash here is resumed."""
    memory.phase = "stopping"
    memory.save()
    layout = memory.layout
    processes.end(
        [
            process
            for name, process in memory.processes.items()
            if name == "kwok" or name.startswith("argocd")
        ]
    )
    _parallel(lambda item: node.power_off(layout.node(item.number), item), memory.nodes.values())
    for hierarchy in cgroups.hierarchies():
        for left in hierarchy.glob(f"tc{layout.slot}-n*"):
            cgroups.remove(left.name)
    clients = [process for name, process in memory.processes.items() if name != "etcd"]
    processes.end(clients)
    processes.end(memory.processes.values())
    network.remove_rack(layout)
    disks.detach_all(layout.folder)
    shutil.rmtree(layout.folder, onerror=_force)
    with state.locked():
        if not state.names():
            limits.restore_inotify()
            if not any(layout.folder.parent.iterdir()):
                layout.folder.parent.rmdir()


def _force(function: Callable[..., object], path: str, _: object) -> None:
    """Folders without permissions (Argo CD's checkouts are so) are opened, then removed."""
    os.chmod(Path(path).parent, 0o700)
    os.chmod(path, 0o700)
    function(path)


def _keep_logs(layout: Layout) -> Path:
    keep = Path(tempfile.mkdtemp(prefix=f"helm-tidb-{layout.name}-"))
    for log in layout.folder.rglob("*.log"):
        target = keep / log.relative_to(layout.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(log, target)
    return keep


def _parallel(work: Callable[[T], None], items: Iterable[T]) -> None:
    chosen = list(items)
    if chosen:
        with ThreadPoolExecutor(len(chosen)) as pool:
            list(pool.map(work, chosen))


def _ready(api: Api, name: str, since: datetime | None) -> bool:
    if not api.node_ready(name):
        return False
    if since is None:
        return True
    status, lease = api.request(
        "GET", f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}"
    )
    if status != 200:
        return False
    renewed = datetime.fromisoformat(lease["spec"]["renewTime"])
    return renewed > since


def _check_numbers(
    nodes: int, disks_a_node: int, size: int, fs: FileSystem, kwok_nodes: int
) -> None:
    if not 0 <= nodes <= 30:
        raise ClusterError(f"--nodes {nodes}: from 0 (control plane only) to 30")
    if not 0 <= disks_a_node <= 24:
        raise ClusterError(f"--disks {disks_a_node}: from 0 to 24 a node")
    if fs not in ("xfs", "ext4", "none"):
        raise ClusterError(f"--disk-fs {fs}: choose xfs, ext4 or none")
    if disks_a_node and fs == "xfs" and size < disks.MIN_XFS:
        raise ClusterError(
            f"--disk-size {size} bytes: xfs wants at least 300Mi; say more, or --disk-fs ext4"
        )
    if not 0 <= kwok_nodes <= 5000:
        raise ClusterError(f"--kwok {kwok_nodes}: from 0 to 5000")
