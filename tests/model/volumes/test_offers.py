"""Disks that are offered, used, moved, doubled and lost, move by move, on an API server in memory: lines of "what went
wrong elsewhere" (reference/disks.md) and promises of schema/tidbvolume.schema.yaml.

Left to others: wiping (test_wipes.py), deletions by hand (test_deletions.py), every crash point (tests/faults),
generated worlds (test_worlds.py), real disks and pods (tests/cluster).
"""

from __future__ import annotations

import pytest

from hooks.engine import Exit
from hooks.volumes.model import Policy
from schema import names
from tests.model.volumes.agents import FakeDisk
from tests.model.volumes.lives import G1, G2, VOLUME, A, kept, one_disk, released
from tests.model.volumes.stage import Stage


# --- offered ---
def test_a_disk_becomes_one_pv_in_its_own_folder() -> None:
    stage = one_disk()
    pv = stage.pv(G1)
    assert pv["spec"]["local"]["path"] == f"/mnt/disks/d0/{G1}"
    assert pv["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert pv["metadata"]["finalizers"] == ["helm-tidb.io/volume"]
    assert pv["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"] == "helm-tidb.io/disks"
    assert stage.volume(VOLUME)["status"]["pv"]["uid"] == pv["metadata"]["uid"]


def test_the_hostname_label_may_differ_from_the_nodes_name() -> None:
    stage = Stage()
    stage.add_node("n1", FakeDisk(A), hostname="rack-7")
    stage.settle()
    term = stage.pv(G1)["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]
    assert term["matchExpressions"][0]["values"] == ["rack-7"]
    assert stage.phase(A) == "Available"
    assert not stage.pv(G1)["metadata"].get("deletionTimestamp")


def test_a_node_without_hostname_label_is_refused_with_the_command() -> None:
    stage = Stage()
    stage.add_node("n1", FakeDisk(A), hostname="")
    assert stage.settle() is Exit.REFUSED
    assert stage.codes(A) == ["no-hostname"]
    assert not stage.memory.all("persistentvolumes")


def test_at_rest_a_rerun_writes_nothing() -> None:
    stage = released()
    before = dict(stage.memory.writes)
    stage.run()
    stage.run()
    assert dict(stage.memory.writes) == before


def test_a_disk_that_is_not_steady_waits() -> None:
    stage = Stage()
    agent = stage.add_node("n1", FakeDisk(A))
    agent.steady = False
    stage.publish("n1")
    stage.settle()
    assert not stage.memory.all("persistentvolumes")
    agent.steady = True
    stage.settle()
    assert stage.phase(A) == "Available"


def test_a_dirty_disk_is_refused_with_the_names_and_cleared_only_by_everything() -> None:
    stage = Stage()
    disk = FakeDisk(A, foreign={"photos", "taxes"})
    stage.add_node("n1", disk)
    assert stage.settle() is Exit.REFUSED
    assert (stage.phase(A), stage.codes(A)) == ("Refused", ["dirty"])
    assert "photos" in stage.volume(VOLUME)["status"]["message"]
    stage.annotate(VOLUME, "now")
    stage.settle()
    assert disk.foreign == {"photos", "taxes"}
    assert names.WIPE_ANNOTATION not in stage.volume(VOLUME)["metadata"]["annotations"]
    stage.annotate(VOLUME, "everything")
    assert stage.settle() is Exit.DONE
    assert (disk.foreign, stage.phase(A)) == (set(), "Available")
    assert stage.volume(VOLUME)["spec"]["generation"] == 2


@pytest.mark.parametrize(
    "code", ["bind-mount", "read-only", "io-error", "too-small", "swap", "held"]
)
def test_a_disk_with_a_problem_is_refused_and_offered_when_it_is_mended(code: str) -> None:
    stage = Stage()
    disk = FakeDisk(A, problems=[{"code": code, "message": f"it is {code}"}])
    stage.add_node("n1", disk)
    assert stage.settle() is Exit.REFUSED
    assert stage.volume(VOLUME)["status"]["message"] == f"it is {code}"
    disk.problems.clear()
    assert stage.settle() is Exit.DONE
    assert stage.phase(A) == "Available"


def test_shared_disks_are_refused_or_offered_under_a_class_of_their_own() -> None:
    shared = [{"code": "shared-disk", "message": "shares sda with /mnt/disks/d1"}]
    stage = Stage()
    stage.add_node("n1", FakeDisk(A, problems=shared))
    assert stage.settle() is Exit.REFUSED
    stage.policy = Policy(manager="infra.tidb", shared_class="tidb-local-shared")
    assert stage.settle() is Exit.DONE
    assert stage.pv(G1)["spec"]["storageClassName"] == "tidb-local-shared"


def test_a_pv_of_another_disk_under_the_same_name_is_an_error_and_stays() -> None:
    """Made by hand, or by another tool; without our label no watch shows it."""
    stage = Stage()
    stage.add_node("n1", FakeDisk(A))
    theirs = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": G1}}
    stage.memory.put({**theirs, "spec": {}, "status": {"phase": "Available"}})
    for _ in range(3):
        code = stage.run()
        stage.agents_work()
    assert code is Exit.ERROR
    assert (
        f"create PV {G1}: a PV of that name exists and is not of disk {A} (annotation "
        "helm-tidb.io/identity is None); delete it if nobody needs it"
    ) in stage.said[-1]
    assert stage.pv(G1)["spec"] == {}
    stage.memory.remove("persistentvolumes", G1)
    assert stage.settle() is Exit.DONE
    assert stage.phase(A) == "Available"


# --- in use ---
def test_use_is_shown_with_component_and_ordinal() -> None:
    stage = one_disk()
    stage.bind(G1)
    stage.settle()
    claim = stage.volume(VOLUME)["status"]["claim"]
    assert (claim["component"], claim["ordinal"], stage.phase(A)) == ("tikv", 1, "Bound")


@pytest.mark.parametrize(
    ("what", "phase", "code"),
    [
        ("pull", "Failed", "disk-missing"),
        ("node", "Lost", "node-gone"),
        ("error", "Failed", "io-error"),
    ],
)
def test_a_bound_pv_is_never_deleted(what: str, phase: str, code: str) -> None:
    stage = one_disk()
    stage.bind(G1)
    stage.settle()
    if what == "pull":
        stage.agents["n1"].disks.clear()
    elif what == "node":
        stage.delete_node("n1")
    else:
        stage.disk_of(G1).problems.append({"code": "io-error", "message": "EIO"})
    stage.settle()
    assert (stage.phase(A), stage.codes(A)) == (phase, [code])
    assert "deletionTimestamp" not in stage.pv(G1)["metadata"]


def test_a_bound_disk_that_moved_is_failed_until_it_is_back() -> None:
    stage = one_disk()
    stage.bind(G1)
    stage.settle()
    disks = stage.agents["n1"].disks
    disks["/mnt/disks/other"] = disks.pop("/mnt/disks/d0")
    stage.settle()
    assert (stage.phase(A), stage.codes(A)) == ("Failed", ["moved"])
    disks["/mnt/disks/d0"] = disks.pop("/mnt/disks/other")
    stage.settle()
    assert (stage.phase(A), stage.codes(A)) == ("Bound", [])


def test_a_folder_that_held_data_is_never_made_anew() -> None:
    """The disk was formatted by hand under a bound volume: a database would start empty."""
    stage = one_disk()
    stage.bind(G1)
    stage.settle()
    disk = stage.disk_of(G1)
    disk.folders.clear()
    disk.marker = None
    stage.settle()
    assert (stage.phase(A), stage.codes(A), disk.folders) == ("Failed", ["folder-missing"], {})


# --- moved, doubled, lost ---
def test_an_unused_disk_is_followed_to_another_path_and_node() -> None:
    stage = one_disk()
    disk = stage.agents["n1"].disks.pop("/mnt/disks/d0")
    stage.add_node("n2", disk)
    stage.settle()
    pvs = [pv["metadata"]["name"] for pv in stage.memory.all("persistentvolumes")]
    assert pvs == [G2]
    assert stage.volume(VOLUME)["status"]["node"] == "n2"
    assert disk.cleared == []


def test_two_nodes_with_one_identity_are_both_refused() -> None:
    stage = one_disk()
    stage.add_node("n2", FakeDisk(A))
    assert stage.settle() is Exit.REFUSED
    assert stage.codes(A) == ["duplicate-identity"]
    message = stage.volume(VOLUME)["status"]["message"]
    assert "n1:/mnt/disks/d0" in message
    assert "n2:/mnt/disks/d0" in message
    assert stage.memory.all("persistentvolumes") == []


def test_a_doubled_identity_leaves_a_bound_volume_alone() -> None:
    stage = one_disk()
    stage.bind(G1)
    stage.add_node("n2", FakeDisk(A))
    stage.settle()
    assert (stage.phase(A), stage.codes(A)) == ("Bound", ["duplicate-identity"])


def test_the_leftover_inventory_of_a_deleted_node_doubles_nothing() -> None:
    stage = one_disk()
    stage.delete_node("n1")
    stage.add_node("n2", stage.agents["n1"].disks["/mnt/disks/d0"])
    stage.settle()
    assert stage.phase(A) == "Available"
    assert stage.volume(VOLUME)["status"]["node"] == "n2"


def rename(stage: Stage, old: str, new: str, hostname: str) -> None:
    """A Node's name cannot change: the old one is deleted, the agent comes back under the new one with its disks."""
    agent = stage.agents.pop(old)
    stage.delete_node(old)
    stage.add_node(new, *agent.disks.values(), hostname=hostname)


def test_a_renamed_node_that_keeps_its_hostname_label_keeps_its_volumes() -> None:
    stage = one_disk()
    stage.bind(G1)
    stage.settle()
    uid = stage.pv(G1)["metadata"]["uid"]
    rename(stage, "n1", "rack-7-n1", hostname="n1")
    stage.settle()
    assert (stage.phase(A), stage.codes(A)) == ("Bound", [])
    assert stage.volume(VOLUME)["status"]["node"] == "rack-7-n1"
    assert stage.pv(G1)["metadata"]["uid"] == uid
    assert "deletionTimestamp" not in stage.pv(G1)["metadata"]


def test_a_renamed_node_with_another_hostname_label_says_what_to_do_and_loses_nothing() -> None:
    stage = one_disk()
    stage.bind(G1)
    stage.settle()
    rename(stage, "n1", "n9", hostname="n9")
    stage.settle()
    assert (stage.phase(A), stage.codes(A)) == ("Failed", ["moved"])
    assert "is in node n9 (hostname n9) now" in stage.volume(VOLUME)["status"]["message"]
    assert "tied to hostname n1: bring it back" in stage.volume(VOLUME)["status"]["message"]
    assert "deletionTimestamp" not in stage.pv(G1)["metadata"]
    assert kept(stage)
    rename(stage, "n9", "n1", hostname="n1")
    stage.settle()
    assert (stage.phase(A), stage.codes(A)) == ("Bound", [])


def test_a_renamed_nodes_free_disk_is_offered_there() -> None:
    stage = one_disk()
    rename(stage, "n1", "n9", hostname="n9")
    assert stage.settle() is Exit.DONE
    (pv,) = stage.memory.all("persistentvolumes")
    term = pv["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]
    assert (pv["metadata"]["name"], term["matchExpressions"][0]["values"]) == (G2, ["n9"])


def test_a_node_created_anew_under_the_same_name_with_another_disk_on_the_path() -> None:
    stage = one_disk()
    stage.bind(G1)
    stage.settle()
    stage.delete_node("n1")
    stage.agents["n1"].disks = {"/mnt/disks/d0": FakeDisk("wwn-b2")}
    stage.register("n1")
    stage.publish("n1")
    stage.settle()
    assert (stage.phase(A), stage.codes(A)) == ("Failed", ["disk-missing"])
    assert stage.phase("wwn-b2") == "Available"
    assert stage.pv(G1)["status"]["phase"] == "Bound"


def test_a_node_created_anew_with_its_own_disk_goes_on() -> None:
    stage = one_disk()
    stage.bind(G1)
    stage.settle()
    old = stage.volume(VOLUME)["status"]["nodeUID"]
    stage.delete_node("n1")
    stage.settle()
    assert stage.phase(A) == "Lost"
    stage.register("n1")
    stage.settle()
    assert stage.phase(A) == "Bound"
    assert stage.volume(VOLUME)["status"]["nodeUID"] != old


def test_an_unused_pv_goes_with_its_node_and_returns_as_a_new_generation() -> None:
    stage = one_disk()
    stage.delete_node("n1")
    stage.settle()
    assert (stage.phase(A), stage.memory.all("persistentvolumes")) == ("Lost", [])
    stage.register("n1")
    stage.settle()
    assert [pv["metadata"]["name"] for pv in stage.memory.all("persistentvolumes")] == [G2]
    assert list(stage.disks()[0].folders) == [G2]


def test_a_node_without_valid_inventory_changes_nothing_and_blocks_nobody() -> None:
    stage = one_disk()
    stage.add_node("n2", FakeDisk("wwn-b2"))
    stage.settle()
    for text in ("{", "[]", '{"version": 2}', stage.agents["n1"].text().replace('"n1"', '"n2"')):
        stage.publish("n1", text)
        stage.agents["n2"].disks[f"/mnt/disks/{len(text)}"] = FakeDisk(f"wwn-c{len(text)}")
        stage.publish("n2")
        stage.run()
        stage.run()
        assert stage.phase(A) == "Available"
        assert "deletionTimestamp" not in stage.pv(G1)["metadata"]
    assert stage.phase("wwn-b2") == "Available"


def test_a_missing_inventory_is_no_missing_disk() -> None:
    stage = one_disk()
    stage.memory.remove("configmaps", names.INVENTORY_PREFIX + "n1", "infra")
    stage.run()
    assert stage.phase(A) == "Available"
    assert "deletionTimestamp" not in stage.pv(G1)["metadata"]
