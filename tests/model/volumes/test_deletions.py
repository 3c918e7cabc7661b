"""People who delete objects by hand, clusters built anew over old disks, and two that manage the same disks."""

from __future__ import annotations

from hooks.engine import Exit
from hooks.volumes.model import Policy
from schema import names
from tests.model.volumes.agents import FakeDisk
from tests.model.volumes.lives import G1, G2, HOUR, VOLUME, A, kept, one_disk, released
from tests.model.volumes.stage import Stage


def test_data_of_a_pv_removed_by_force_is_cleared_only_by_word() -> None:
    stage = released()
    stage.memory.objects.pop(("persistentvolumes", "", G1))
    stage.pass_time(1000 * HOUR)
    assert stage.settle() is Exit.REFUSED
    assert (kept(stage), stage.codes(A)) == (True, ["orphan"])
    stage.annotate(VOLUME, "now")
    stage.settle()
    assert (kept(stage), stage.phase(A)) == (False, "Available")


def test_a_cluster_built_anew_finds_the_old_data_and_keeps_it() -> None:
    stage = one_disk()
    stage.bind(G1)
    stage.settle()
    new = Stage(agents=stage.agents)
    new.register("n1")
    new.publish("n1")
    assert new.settle() is Exit.REFUSED
    new.pass_time(1000 * HOUR)
    new.settle()
    assert kept(new)
    assert (new.phase(A), new.codes(A)) == ("Refused", ["orphan"])
    assert new.memory.all("persistentvolumes") == []


def test_a_cluster_built_anew_offers_what_was_never_used() -> None:
    stage = one_disk()
    new = Stage(agents=stage.agents)
    new.register("n1")
    new.publish("n1")
    assert new.settle() is Exit.DONE
    assert [pv["metadata"]["name"] for pv in new.memory.all("persistentvolumes")] == [G2]


def test_an_old_wipes_success_counts_for_nothing_in_a_cluster_built_anew() -> None:
    """The disk was cleared by a word, without a PV; its cluster was lost before the next generation began."""
    stage = Stage()
    disk = FakeDisk(A, foreign={"photos"})
    stage.add_node("n1", disk)
    stage.settle()
    stage.annotate(VOLUME, "everything")
    while disk.foreign:
        stage.run(rounds=1)
        stage.agents_work()
    assert disk.wipe == {"generation": 1, "pvUID": "", "state": "Done"}
    disk.foreign.add("taxes")
    new = Stage(agents=stage.agents)
    new.register("n1")
    new.publish("n1")
    assert new.settle() is Exit.REFUSED
    assert (new.codes(A), new.volume(VOLUME)["spec"]["generation"]) == (["dirty"], 2)
    new.annotate(VOLUME, "everything")
    assert new.settle() is Exit.DONE
    assert (disk.foreign, new.phase(A)) == (set(), "Available")


def test_a_disk_of_another_cluster_is_cleared_by_everything_only() -> None:
    """Its marker is of another volume: no PV of this cluster was ever there, so no PV's UID is in the request."""
    stage = Stage()
    other = names.volume_name("wwn-before-it-moved")
    folder = names.folder_name(other, 4)
    disk = FakeDisk(A, problems=[{"code": "marker", "message": "the marker is of another volume"}])
    disk.marker = {
        "volume": other,
        "identity": "wwn-before-it-moved",
        "generation": 4,
        "folder": folder,
        "pvUID": "uid-there",
    }
    disk.folders[folder] = {"somebody's data"}
    stage.add_node("n1", disk)
    assert stage.settle() is Exit.REFUSED
    stage.annotate(VOLUME, "now")
    assert stage.settle() is Exit.REFUSED
    assert disk.folders == {folder: {"somebody's data"}}
    stage.annotate(VOLUME, "everything")
    stage.settle()
    assert (disk.folders.get(folder), disk.cleared[0][:2]) == (None, (1, ""))
    disk.problems.clear()  # the marker is of this volume now
    assert stage.settle() is Exit.DONE
    assert stage.phase(A) == "Available"


def test_deleting_the_tidbvolume_of_a_bound_pv_waits_for_the_claim() -> None:
    stage = one_disk()
    stage.bind(G1)
    stage.memory.remove("tidbvolumes", VOLUME)
    stage.settle()
    assert (stage.phase(A), stage.codes(A)) == ("Bound", ["deleting"])
    assert "deletionTimestamp" not in stage.pv(G1)["metadata"]


def test_deleting_the_tidbvolume_of_a_disk_that_is_gone_lets_both_go() -> None:
    stage = released()
    stage.agents["n1"].disks.clear()
    stage.settle()
    assert stage.phase(A) == "Failed"
    stage.memory.remove("tidbvolumes", VOLUME)
    stage.settle()
    assert stage.memory.all("tidbvolumes") == []
    assert stage.memory.all("persistentvolumes") == []


def test_deleting_the_tidbvolume_never_clears_its_disk() -> None:
    stage = released()
    stage.memory.remove("tidbvolumes", VOLUME)
    assert stage.settle() is Exit.REFUSED
    assert (kept(stage), stage.codes(A)) == (True, ["deleting"])


def test_the_volumes_of_another_manager_are_left_alone() -> None:
    stage = one_disk()
    stage.bind(G1)
    stage.settle()
    stage.policy = Policy(manager="other.release")
    before = stage.memory.version
    assert stage.run() is Exit.REFUSED
    assert stage.memory.version == before
    stage.add_node("n2", FakeDisk("wwn-b2"))
    before = stage.memory.version
    assert stage.run() is Exit.REFUSED
    assert stage.memory.version == before, "nor is a disk that nobody has a volume of yet"
    stage.policy = Policy(manager="other.release", takes_over="infra.tidb")
    assert stage.settle() is Exit.DONE
    assert stage.phase("wwn-b2") == "Available"
