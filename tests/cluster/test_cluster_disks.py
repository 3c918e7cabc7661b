"""The test cluster's disks: pulled, inserted, new, raw and failing, as the nodes see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ci.cluster import Cluster, ClusterError, faults


def test_a_pulled_disk_is_gone_and_comes_back_with_its_content(cluster: Cluster) -> None:
    cluster.enter("n1", "sh", "-c", "echo kept > /mnt/disks/d1/file; sync")
    faults.pull_disk(cluster, "n1", "d1")
    assert cluster.enter("n1", "ls", "/mnt/disks/d1") == "", "the bare folder on the root disk"
    assert "nvme2n1" not in cluster.enter("n1", "ls", "/dev")
    with pytest.raises(ClusterError, match="slot d1 of n1 is empty already"):
        faults.pull_disk(cluster, "n1", "d1")
    faults.insert_disk(cluster, "n1", "d1")
    assert cluster.enter("n1", "cat", "/mnt/disks/d1/file") == "kept\n"


def test_a_pulled_disk_comes_back_while_somebody_still_holds_it(cluster: Cluster) -> None:
    """As a pod does, whose mount the kubelet keeps: the holder has errors, the disk itself is whole again."""
    _, memory = cluster.node("n1")
    cluster.enter("n1", "sh", "-c", "echo kept > /mnt/disks/d1/file; sync")
    assert memory.init is not None
    with Path(f"/proc/{memory.init.pid}/root/mnt/disks/d1/file").open("rb", buffering=0) as held:
        faults.pull_disk(cluster, "n1", "d1")
        faults.insert_disk(cluster, "n1", "d1")
        assert cluster.enter("n1", "cat", "/mnt/disks/d1/file") == "kept\n"
        with pytest.raises(OSError, match="Input/output error"):
            held.read()


@pytest.mark.parametrize("fs", ["xfs", "ext4"])
def test_a_new_disk_has_another_serial_and_is_empty(cluster: Cluster, fs: Any) -> None:
    _, memory = cluster.node("n1")
    old = next(disk.serial for disk in memory.disks if disk.slot == "d1")
    faults.pull_disk(cluster, "n1", "d1")
    faults.insert_disk(cluster, "n1", "d1", blank=True, fs=fs)
    new = next(disk.serial for disk in memory.disks if disk.slot == "d1")
    assert new != old
    assert new in cluster.enter("n1", "ls", "/dev/disk/by-id")
    assert f" {fs} " in cluster.enter("n1", "grep", "/mnt/disks/d1 ", "/proc/self/mountinfo")


def test_a_raw_disk_is_there_but_not_mounted(cluster: Cluster) -> None:
    faults.insert_disk(cluster, "n1", "d2", blank=True, fs="none")
    assert "nvme3n1" in cluster.enter("n1", "ls", "/dev")
    assert "/mnt/disks/d2" not in cluster.enter("n1", "cat", "/proc/self/mountinfo")
    # Other tests count on two slots a node.
    faults.remove_slot(cluster, "n1", "d2")
    assert cluster.enter("n1", "ls", "/mnt/disks").split() == ["d0", "d1"]


def test_a_failed_disk_gives_io_errors_until_it_is_replaced(cluster: Cluster) -> None:
    faults.fail_disk(cluster, "n2", "d1")
    for command in (("ls", "/mnt/disks/d1"), ("touch", "/mnt/disks/d1/new")):
        with pytest.raises(ClusterError, match="Input/output error"):
            cluster.enter("n2", *command)
    faults.pull_disk(cluster, "n2", "d1")
    faults.insert_disk(cluster, "n2", "d1")
    cluster.enter("n2", "touch", "/mnt/disks/d1/new")
