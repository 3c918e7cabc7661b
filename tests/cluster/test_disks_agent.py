"""The disk agent on the real thing: what it publishes, what it does on request, and what its rights do not let it do.

Covered: disks of four nodes in ConfigMaps; inserted, pulled, failed, unmounted disks; folders, wiping and its refusals
with the container's real capabilities; the policy that ties a token to its node. The volume controller is not here:
its requests are written by the test. Left to tests/unit/disks: every problem's words, crashes at every step.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml

from ci.cluster import Cluster, faults
from schema import names
from tests.chart.helm import template
from tests.cluster.agents import (
    VALUES,
    Agents,
    claim_of,
    config_map,
    events_of,
    local_volume,
    said_to,
    user_pod,
)
from tests.cluster.conftest import KUBE, WaitFor
from tests.cluster.kube import Kubectl

SCHEMAS = Path(__file__).resolve().parents[2] / "schema"


@pytest.fixture(scope="module")
def agents(session_cluster: Cluster) -> Iterator[Agents]:
    """The chart's disk part as it is rendered, in a namespace of its own, and a new disk in every slot."""
    cluster = session_cluster
    faults.renew_disks(cluster)
    kube = Kubectl(cluster, f"disk-agent-{int(time.time())}")
    kube.run("create", "namespace", kube.namespace)
    objects = [
        o
        for o in template(release="d", namespace=kube.namespace, values=VALUES).objects
        if o["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "disk-agent"
    ]
    assert {"DaemonSet", "StorageClass", "ValidatingAdmissionPolicy"} <= {
        o["kind"] for o in objects
    }
    kube.apply(*objects)
    kube.run("rollout", "status", "daemonset/d-disk-agent", "--timeout=60s", timeout=70)
    yield Agents(cluster, kube)
    faults.mend(cluster)
    kube.run("delete", "namespace", kube.namespace, "--wait=false")
    for o in objects:
        if "namespace" not in o["metadata"]:
            kube.run(
                "delete", o["kind"], o["metadata"]["name"], "--ignore-not-found", "--wait=false"
            )


@pytest.fixture(autouse=True)
def evidence(agents: Agents, request: pytest.FixtureRequest) -> None:
    request.node.stash[KUBE] = agents.kube


@pytest.fixture(autouse=True)
def steady(agents: Agents, wait_for: WaitFor) -> None:
    for name in agents.cluster.nodes:
        for slot in ("d0", "d1"):
            wait_for(
                lambda name=name, slot=slot: agents.usable(name, slot),
                30,
                f"{slot} of {name} usable",
                lambda name=name: agents.inventory(name),
                pause=0.3,
            )


def test_the_disks_of_four_nodes_are_published_and_then_nothing_more_is_said(
    agents: Agents, wait_for: WaitFor
) -> None:
    validator = jsonschema.Draft7Validator(
        yaml.safe_load((SCHEMAS / "inventory.schema.yaml").read_text())
    )
    for name in agents.cluster.nodes:
        inventory = agents.inventory(name)
        validator.validate(inventory)
        assert inventory["node"] == name
        assert inventory["nodeIP"] == agents.cluster.node(name)[0].address
        assert "complaints" not in inventory
        identities = {disk["path"]: disk["identity"] for disk in inventory["disks"]}
        assert identities == {
            f"/mnt/disks/{slot}": f"serial-testdisk_{agents.serial(name, slot).lower()}"
            for slot in ("d0", "d1")
        }
        for disk in inventory["disks"]:
            assert disk["fsType"] == "xfs"
            assert disk["fsUUID"] == _uuid_of(agents, name, disk["path"])
            assert 200 << 20 < disk["capacityBytes"] <= disk["sizeBytes"]
    looked = {name: agents.last_look(name) for name in agents.cluster.nodes}
    before = _versions(agents)
    for name, last in looked.items():
        # A look each 2 s: one that ended 4 s later was begun since.
        wait_for(
            lambda name=name, last=last: agents.last_look(name) >= last + 4,
            30,
            f"another look at the disks of {name}",
            pause=0.5,
        )
    assert _versions(agents) == before


def test_a_disk_pulled_and_another_put_in_its_slot(agents: Agents, wait_for: WaitFor) -> None:
    old = agents.disk("n2")["identity"]
    faults.pull_disk(agents.cluster, "n2", "d0")
    wait_for(lambda: agents.codes("n2") == ["not-mounted"], 10, "the empty slot is told")
    assert agents.disk("n2")["identity"] == ""
    assert "a plain folder: no disk is mounted on it" in agents.disk("n2")["problems"][0]["message"]
    faults.insert_disk(agents.cluster, "n2", "d0", blank=True)
    began = time.monotonic()
    wait_for(lambda: agents.usable("n2"), 10, "the new disk is offered")
    print(f"inserted -> steady in the inventory: {time.monotonic() - began:.1f} s")
    assert agents.disk("n2")["identity"] not in ("", old)
    assert agents.usable("n2", "d1")


def test_a_disk_that_fails_and_comes_back(agents: Agents, wait_for: WaitFor) -> None:
    identity = agents.disk("n3")["identity"]
    faults.fail_disk(agents.cluster, "n3", "d0")
    wait_for(lambda: agents.codes("n3") == ["io-error"], 10, "the failure is told")
    failed = agents.disk("n3")
    assert failed["identity"] == identity
    assert failed["problems"][0]["message"] == "/mnt/disks/d0 could not be read: Input/output error"
    faults.pull_disk(agents.cluster, "n3", "d0")
    faults.insert_disk(agents.cluster, "n3", "d0")
    wait_for(lambda: agents.usable("n3"), 15, "the mended disk is offered")
    assert agents.disk("n3")["identity"] == identity


def test_two_folders_of_one_disk_and_a_read_only_one(agents: Agents, wait_for: WaitFor) -> None:
    agents.cluster.enter("n4", "mkdir", "-p", "/mnt/disks/d0/part", "/mnt/disks/bound")
    agents.cluster.enter("n4", "mount", "--bind", "/mnt/disks/d0/part", "/mnt/disks/bound")
    agents.cluster.enter("n4", "mount", "-o", "remount,ro", "/mnt/disks/d1")
    wait_for(lambda: agents.codes("n4", "bound") == ["bind-mount"], 10, "the bind mount is told")
    wait_for(lambda: agents.codes("n4") == ["dirty"], 10, "the foreign folder is told")
    wait_for(lambda: agents.codes("n4", "d1") == ["read-only"], 10, "read-only is told")
    assert agents.disk("n4")["foreign"] == {"count": 1, "names": ["part"]}
    assert agents.disk("n4", "bound")["identity"] == ""
    message = agents.disk("n4", "bound")["problems"][0]["message"]
    assert message.startswith("/mnt/disks/bound is the folder /part of loop")
    agents.cluster.enter("n4", "umount", "/mnt/disks/bound")
    agents.cluster.enter("n4", "rmdir", "/mnt/disks/bound", "/mnt/disks/d0/part")
    agents.cluster.enter("n4", "mount", "-o", "remount,rw", "/mnt/disks/d1")


def test_an_unmounted_disks_pod_does_not_start_and_writes_nowhere_else(
    agents: Agents, wait_for: WaitFor
) -> None:
    kube = agents.kube
    folder = agents.request("n1", make=True)
    wait_for(lambda: agents.disk("n1").get("empty") == [folder], 10, "the folder is there")
    volume = local_volume(agents, "n1", folder)
    kube.apply(
        volume, claim_of(folder), user_pod("first", "n1", "echo mine > /data/file; sleep 1000")
    )
    wait_for(lambda: kube.running("app=first"), 30, "the pod runs on the disk")
    uid = kube.get("pv", folder)["metadata"]["uid"]
    agents.request("n1", pvUID=uid)
    wait_for(lambda: agents.disk("n1")["marker"]["pvUID"] == uid, 10, "the volume is noted")
    assert agents.cluster.enter("n1", "cat", f"/mnt/disks/d0/{folder}/file") == "mine\n"
    kube.run("delete", "pod", "first", "--grace-period=1")
    agents.cluster.enter("n1", "umount", "/mnt/disks/d0")
    wait_for(lambda: agents.codes("n1") == ["not-mounted"], 10, "the unmounted disk is told")
    kube.apply(user_pod("second", "n1", "exec 9>>/data/open; echo lost > /data/file; sleep 1000"))
    wait_for(
        lambda: f'path "/mnt/disks/d0/{folder}" does not exist' in events_of(kube, "second"),
        30,
        "the kubelet says that the folder is not there",
        lambda: events_of(kube, "second"),
    )
    assert kube.running("app=second") == []
    assert agents.cluster.enter("n1", "ls", "-A", "/mnt/disks/d0") == ""
    device = "/dev/nvme1n1"
    agents.cluster.enter("n1", "mount", "-t", "xfs", device, "/mnt/disks/d0")
    wait_for(
        lambda: kube.running("app=second"), 150, "the pod starts on the mounted disk", pause=0.5
    )
    assert agents.cluster.enter("n1", "cat", f"/mnt/disks/d0/{folder}/file") == "lost\n"
    _wipe_refused_while_open(agents, wait_for, folder, uid)
    kube.run("delete", "pod", "second", "--grace-period=1")
    _wiped(agents, wait_for, folder, uid)
    kube.run("delete", "pvc", "data", "--wait=false")
    kube.run("delete", "pv", folder, "--wait=false")


def _wipe_refused_while_open(agents: Agents, wait_for: WaitFor, folder: str, uid: str) -> None:
    """The pod holds a file open: as another user, in another container, in other namespaces."""
    agents.request("n1", pvUID=uid, wipe="keep")
    wait_for(lambda: agents.disk("n1").get("wipe"), 15, "the wipe is answered")
    wipe = agents.disk("n1")["wipe"]
    assert (wipe["state"], wipe["reason"]) == ("Refused", "in-use"), wipe
    assert f"open in {folder} is open in some process" in wipe["message"]
    assert agents.cluster.enter("n1", "cat", f"/mnt/disks/d0/{folder}/file") == "lost\n"
    agents.request("n1", pvUID=uid)


def _wiped(agents: Agents, wait_for: WaitFor, folder: str, uid: str) -> None:
    """First with a foreign file on the disk, then without; the data goes, and the next generation is another folder."""
    agents.cluster.enter("n1", "touch", "/mnt/disks/d0/backup.tar")
    wait_for(lambda: "dirty" in agents.codes("n1"), 10, "the foreign file is told")
    agents.request("n1", pvUID=uid, wipe="keep")
    wait_for(
        lambda: agents.disk("n1").get("wipe", {}).get("reason") == "dirty",
        15,
        "refused for the foreign file",
    )
    assert agents.cluster.enter("n1", "cat", f"/mnt/disks/d0/{folder}/file") == "lost\n"
    agents.cluster.enter("n1", "rm", "/mnt/disks/d0/backup.tar")
    wait_for(
        lambda: agents.disk("n1").get("wipe", {}).get("state") == "Done",
        45,
        "the disk is cleared",
        lambda: agents.disk("n1"),
    )
    assert agents.cluster.enter("n1", "ls", "-A", "/mnt/disks/d0").split() == [
        ".helm-tidb.json",
        ".helm-tidb.spare",
    ]
    later = agents.request("n1", generation=2, make=True)
    wait_for(lambda: agents.disk("n1").get("empty") == [later], 10, "the next generation's folder")
    assert (agents.disk("n1")["marker"]["pvUID"], agents.disk("n1")["wipe"]["state"]) == (
        "",
        "Done",
    )


def test_an_agents_token_writes_its_own_nodes_inventory_and_nothing_else(agents: Agents) -> None:
    kube = agents.kube
    token = kube.run(
        "create",
        "token",
        "d-disk-agent",
        "--bound-object-kind=Pod",
        f"--bound-object-name={agents.pod('n1')}",
    ).strip()
    loose = kube.run("create", "token", "d-disk-agent").strip()
    assert said_to(agents, token, config_map("tidb-disks-n1")) == ""
    for other in (
        "tidb-disks-n2",
        "tidb-disks-n11",
        "tidb-disk-requests-n1",
        "d-disk-agent",
        "anything",
    ):
        said = said_to(agents, token, config_map(other))
        assert (
            f"ConfigMap {other} refused: the disk agent of node n1 writes tidb-disks-n1 only"
            in said
        ), said
    said = said_to(agents, loose, config_map("tidb-disks-n1"))
    assert "ConfigMap tidb-disks-n1 refused: the disk agent has a token that names no node" in said
    for forbidden in (
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}},
        local_volume(agents, "n1", "pv-of-a-thief"),
    ):
        assert "is forbidden" in said_to(agents, token, forbidden)
    outside = config_map("tidb-disks-n1")
    outside["metadata"]["namespace"] = "default"
    assert "is forbidden" in said_to(agents, token, outside)


def test_the_agents_container_can_open_no_disk(agents: Agents) -> None:
    pod = agents.pod("n1")
    script = "import os\ntry:\n os.open('/host/dev/nvme1n1', os.O_RDONLY)\nexcept OSError as e:\n print(e.strerror)"
    assert agents.kube.exec(pod, "python3", "-c", script).strip() == "Operation not permitted"
    write = script.replace("/host/dev/nvme1n1', os.O_RDONLY", "/x', os.O_CREAT")
    assert agents.kube.exec(pod, "python3", "-c", write).strip() == "Read-only file system"
    by_hand = (
        "python3",
        "-m",
        "hooks",
        "disks",
        "--dry-run",
        "--host-dev=/host/dev",
        "--host-udev=/host/udev",
    )
    assert agents.kube.exec(pod, *by_hand).startswith("disks: 2 of 2 could be offered as volumes")
    status = agents.kube.exec(pod, "python3", "-c", "print(open('/proc/1/status').read())")
    capabilities = int(status.split("CapEff:")[1].split()[0], 16)
    assert {number for number in range(64) if capabilities >> number & 1} == {
        1,  # DAC_OVERRIDE
        3,  # FOWNER
        28,  # LEASE
    }


FULL = """
import os, sys
from pathlib import Path
from hooks.disks import filesystem, folders, wipe
from tests.unit.disks.worlds import IDENTITY, folder, marked, opened, request

root, image = Path(sys.argv[1]), Path(sys.argv[2])
with opened(root) as disk:
    uuid = filesystem.uuid(disk)
    folders.make(disk, request(make=True, pv=""), IDENTITY)
    folders.record(disk, request())
with (root / folder() / "data").open("wb") as file:
    file.write(b"x" * (40 << 20))
    os.fsync(file.fileno())
number = 0
for size in (1 << 20, 4096):
    try:
        while True:
            with (root / folder() / f"{number}.sst").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
            number += 1
    except OSError as error:
        print(error.strerror)
before = image.stat().st_blocks
with opened(root) as disk:
    progress = wipe.Progress()
    wipe.clear(disk, request(wipe=True), proceed=lambda: True, progress=progress, trim=True)
print(uuid, marked(root).wipe.done, sorted(set(os.listdir(root)) - {"lost+found", ".helm-tidb.spare"}))
print(progress.note.split()[0])
print(before)
"""


@pytest.mark.parametrize("fs", ["xfs", "ext4"])
def test_a_disk_that_is_full_is_wiped_and_trimmed(fs: str, tmp_path: Path) -> None:
    """On a real file system: the marker needs room on a disk that has none, and trimming gives blocks back.

    What was given back is counted once the disk is unmounted: only that waits for XFS's discards.
    """
    image, point = tmp_path / "disk.img", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(320 << 20)
    point.mkdir()
    subprocess.run([f"mkfs.{fs}", "-q", image], check=True)
    uuid = subprocess.run(
        ["blkid", "-o", "value", "-s", "UUID", image], check=True, capture_output=True, text=True
    ).stdout.strip()
    script = 'mount -o loop "$2" "$1" && "$3" -c "$4" "$1" "$2"; done=$?; umount "$1"; exit $done'
    words: list[str | Path] = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        point,
        image,
        sys.executable,
        FULL,
    ]
    done = subprocess.run(words, cwd=SCHEMAS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *told, before = done.stdout.splitlines()
    assert told == [
        "No space left on device",
        "No space left on device",
        f"{uuid} True ['.helm-tidb.json']",
        "trimmed",
    ]
    assert int(before) - image.stat().st_blocks > 30 << 11


def _versions(agents: Agents) -> dict[str, str]:
    maps = agents.kube.all("configmaps", "-l", f"{names.EXCHANGE_LABEL}={names.INVENTORY}")
    return {m["metadata"]["name"]: m["metadata"]["resourceVersion"] for m in maps}


def _uuid_of(agents: Agents, name: str, path: str) -> str:
    source = agents.cluster.enter(name, "findmnt", "-n", "-o", "SOURCE", path).strip()
    return agents.cluster.enter(name, "blkid", "-o", "value", "-s", "UUID", source).strip()
