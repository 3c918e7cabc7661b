"""What breaks on real machines, done to a running cluster: power, network, disks, the API.

Each function does one thing that can happen to a machine and returns when it has happened; how Kubernetes reacts is
for the caller to watch.
"""

from __future__ import annotations

import shutil
from typing import Literal

from ci.cluster import cgroups, control, disks, network, node
from ci.cluster.cluster import Cluster
from ci.cluster.errors import ClusterError
from ci.cluster.layout import NodeLayout
from ci.cluster.state import Disk, FileSystem
from ci.progress import step

Component = Literal["kube-apiserver", "etcd"]


def kill_node(cluster: Cluster, name: str) -> None:
    """Power loss: kubelet, containerd, shims and containers are gone at once; nothing is shut down cleanly.

    The machine's page cache survives (the host lives on), so this loses a node, not writes that were never synced.
    """
    place, memory = cluster.node(name)
    if memory.init is None:
        raise ClusterError(f"node {name} is off already; `start-node {name}` switches it on")
    node.power_off(place, memory)
    cluster.memory.save()


def start_node(cluster: Cluster, name: str) -> None:
    """Power on: the same node with the disks that sit in its slots; returns when it is Ready."""
    cluster.boot_node(name)


def forget_node(cluster: Cluster, name: str) -> None:
    """A new machine under the old name: new machine id, empty disks, no images, no pods; returns when it is Ready.

    The Node object is left alone: whoever replaces a machine decides on that.
    """
    place, memory = cluster.node(name)
    node.power_off(place, memory)
    for disk in memory.disks:
        disks.detach(disk)
    for folder in ("images", "kubelet", "log", "mnt", "containerd"):
        shutil.rmtree(place.folder / folder, ignore_errors=True)
        (place.folder / folder).mkdir()
    slots = [(disk.slot, disk.fs) for disk in memory.disks]
    memory.disks = [
        disks.make(place, memory, slot, cluster.memory.disk_size, fs) for slot, fs in slots
    ]
    memory.machine_id = ""
    node.renew_machine_id(place, memory)
    cluster.memory.save()
    cluster.boot_node(name, reload_images=True)


def cut_node(cluster: Cluster, name: str) -> None:
    """Pull the network cable: the node's processes live on and keep writing to their disks."""
    network.set_cable(_on(cluster, name), up=False)


def heal_node(cluster: Cluster, name: str) -> None:
    """Plug the network cable in again."""
    network.set_cable(_on(cluster, name), up=True)


def freeze_node(cluster: Cluster, name: str) -> None:
    """Stop every process of the node where it is, as a machine in deep trouble or a paused VM."""
    cgroups.freeze(_on(cluster, name).netns, frozen=True)


def thaw_node(cluster: Cluster, name: str) -> None:
    """Let a frozen node go on, unaware that time has passed."""
    cgroups.freeze(_on(cluster, name).netns, frozen=False)


def pull_disk(cluster: Cluster, name: str, slot: str) -> None:
    """Pull a disk out of its slot: users get EIO, the device and its mount vanish. The disk keeps its content."""
    place, disk = _disk(cluster, name, slot)
    if not disk.inserted:
        raise ClusterError(
            f"slot {slot} of {name} is empty already; `insert-disk {name} {slot}` fills it"
        )
    disk.inserted = False
    cluster.memory.save()
    if cluster.memory.node(name).init:
        words = (slot, disks.device(disk), disks.by_id(disk))
        cluster.enter(name, place.folder / "pull-disk", *words)
    disks.detach(disk)
    cluster.memory.save()


def insert_disk(
    cluster: Cluster,
    name: str,
    slot: str,
    *,
    blank: bool = False,
    fs: FileSystem | None = None,
) -> None:
    """Put a disk into a slot: the one that was pulled, or with `blank` a new one, with another serial and empty.

    `fs` is a new disk's file system (default: xfs); `none` leaves it raw and unmounted. A slot that the
    node never had is new.
    """
    place, memory = cluster.node(name)
    old = next((disk for disk in memory.disks if disk.slot == slot), None)
    if old is not None and old.inserted:
        raise ClusterError(
            f"slot {slot} of {name} holds disk {old.serial}; `pull-disk {name} {slot}` first"
        )
    if old is not None and not blank:
        if fs is not None and fs != old.fs:
            raise ClusterError(
                f"the disk of slot {slot} has {old.fs}; --fs {fs} needs --blank, which takes a new disk"
            )
        old.inserted = True
        disk = old
    else:
        _check_slot(slot)
        disk = disks.make(place, memory, slot, cluster.memory.disk_size, fs or "xfs")
        memory.disks = sorted(
            [*(item for item in memory.disks if item is not old), disk],
            key=lambda item: int(item.slot[1:]),
        )
    cluster.memory.save()
    if memory.init:
        minor = disks.attach(disk)
        words = (slot, disks.device(disk), str(minor), disk.fs, disks.by_id(disk))
        cluster.enter(name, place.folder / "insert-disk", *words)
    cluster.memory.save()


def renew_disks(cluster: Cluster) -> None:
    """Put a new, empty disk into every slot of every node: nothing of an earlier test is found on them."""
    for name in cluster.nodes:
        for disk in list(cluster.memory.node(name).disks):
            pull_disk(cluster, name, disk.slot)
            insert_disk(cluster, name, disk.slot, blank=True)


def remove_slot(cluster: Cluster, name: str, slot: str) -> None:
    """Take the slot itself away, with the disk in it and its folder below /mnt/disks."""
    _, disk = _disk(cluster, name, slot)
    if disk.inserted:
        pull_disk(cluster, name, slot)
    cluster.memory.node(name).disks.remove(disk)
    cluster.memory.save()
    cluster.enter(name, "rmdir", f"/mnt/disks/{slot}")


def fail_disk(cluster: Cluster, name: str, slot: str) -> None:
    """Every read and write of the disk's file system fails with EIO from now on; the mount stays, as with a dying disk.

    Healed by pulling it and inserting a disk.
    """
    _, disk = _disk(cluster, name, slot)
    if not disk.inserted or disk.fs == "none":
        raise ClusterError(
            f"slot {slot} of {name} has no mounted disk to fail (inserted: {disk.inserted}, {disk.fs})"
        )
    cluster.enter(name, "xfs_io", "-F", "-x", "-c", "shutdown", f"/mnt/disks/{slot}")


def stop_api(cluster: Cluster, component: Component = "kube-apiserver") -> None:
    """The API server (or etcd behind it) goes away; the nodes and their pods run on."""
    if component not in cluster.memory.processes:
        raise ClusterError(f"{component} is stopped already; `start-api` brings it back")
    control.stop(cluster.memory, component)


def start_api(cluster: Cluster) -> None:
    """Whatever `stop_api` stopped comes back; returns when the API server says that it is ready."""
    for component in ("etcd", "kube-apiserver"):
        if component not in cluster.memory.processes:
            control.start(cluster.memory, component)
    with step("API server ready"):
        control.wait_for_api(cluster.memory, cluster.api)


def mend(cluster: Cluster) -> None:
    """Undo every fault that lasts: API, frozen and cut nodes, nodes that are off, empty slots. For a test's end.

    A disk that `fail_disk` broke is pulled and inserted again, which heals it.
    """
    start_api(cluster)
    for name in cluster.nodes:
        place, memory = cluster.node(name)
        if memory.init is None:
            start_node(cluster, name)
        cgroups.freeze(place.netns, frozen=False)
        network.set_cable(place, up=True)
        for disk in list(memory.disks):
            if disk.inserted and disk.fs != "none" and _failed(cluster, name, disk.slot):
                pull_disk(cluster, name, disk.slot)
            if not disk.inserted:
                insert_disk(cluster, name, disk.slot)
    cluster.wait_ready()


def _failed(cluster: Cluster, name: str, slot: str) -> bool:
    try:
        cluster.enter(name, "ls", f"/mnt/disks/{slot}")
    except ClusterError:
        return True
    return False


def _on(cluster: Cluster, name: str) -> NodeLayout:
    place, memory = cluster.node(name)
    if memory.init is None:
        raise ClusterError(f"node {name} is off; `start-node {name}` first")
    return place


def _disk(cluster: Cluster, name: str, slot: str) -> tuple[NodeLayout, Disk]:
    place, memory = cluster.node(name)
    for disk in memory.disks:
        if disk.slot == slot:
            return place, disk
    slots = ", ".join(disk.slot for disk in memory.disks) or "none"
    raise ClusterError(f"node {name} has no disk slot {slot!r}; it has {slots}")


def _check_slot(slot: str) -> None:
    if not (slot[:1] == "d" and slot[1:].isdecimal() and int(slot[1:]) < 100):
        raise ClusterError(f"disk slot {slot!r}: slots are d0, d1, … d99")
