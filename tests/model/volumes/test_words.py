"""A person's word, the annotation helm-tidb.io/wipe: it counts once, and only for what was shown when it was said."""

from __future__ import annotations

import pytest

from hooks.engine import Exit
from schema import names
from tests.model.volumes.agents import FakeDisk
from tests.model.volumes.lives import G1, G2, VOLUME, A, kept, one_disk, released
from tests.model.volumes.stage import Stage


def test_wipe_now_clears_at_once_and_counts_once() -> None:
    stage = released()
    stage.annotate(VOLUME, "now")
    stage.settle()
    assert not kept(stage)
    claim = stage.bind(G2)
    stage.settle()
    stage.release(claim)
    stage.settle()
    assert stage.phase(A) == "Released"
    assert stage.disk_of(G2).folders[G2]


def test_a_word_said_before_the_volume_is_shown_as_released_does_not_count() -> None:
    stage = one_disk()
    claim = stage.bind(G1)
    stage.settle()
    stage.annotate(VOLUME, "now")
    stage.release(claim)
    stage.settle()
    assert (kept(stage), stage.phase(A)) == (True, "Released")
    assert names.WIPE_ANNOTATION not in stage.volume(VOLUME)["metadata"]["annotations"]


def test_a_word_from_before_the_release_does_not_count_for_a_deleted_volume_either() -> None:
    """Annotated while bound, deleted by hand, then released, all before the controller looked: the old word is
    taken off, and said again it counts."""
    stage = one_disk()
    claim = stage.bind(G1)
    stage.settle()
    stage.annotate(VOLUME, "now")
    stage.memory.remove("tidbvolumes", VOLUME)
    stage.release(claim)
    assert stage.settle() is Exit.REFUSED
    assert (kept(stage), stage.phase(A), stage.codes(A)) == (True, "Released", ["deleting"])
    assert names.WIPE_ANNOTATION not in stage.volume(VOLUME)["metadata"]["annotations"]
    stage.annotate(VOLUME, "now")
    stage.settle()
    assert not kept(stage)


def test_a_word_from_before_the_pv_was_removed_by_force_does_not_count() -> None:
    stage = one_disk()
    stage.bind(G1)
    stage.settle()
    stage.annotate(VOLUME, "now")
    stage.memory.objects.pop(("persistentvolumes", "", G1))
    stage.permitted.clear()
    assert stage.settle() is Exit.REFUSED
    assert (kept(stage), stage.codes(A)) == (True, ["orphan"])
    assert any("it was not shown as Refused yet" in said for said in stage.said)


def test_a_word_from_before_a_disk_was_refused_does_not_count() -> None:
    """Said of a disk that the table showed as Pending: nobody had read what is on it."""
    stage = Stage()
    disk = FakeDisk(A, foreign={"photos"})
    agent = stage.add_node("n1", disk)
    agent.steady = False
    stage.publish("n1")
    stage.settle()
    agent.steady = True
    stage.publish("n1")
    stage.run(rounds=1)  # its TidbVolume is there, its status is not
    stage.annotate(VOLUME, "everything")
    assert stage.settle() is Exit.REFUSED
    assert (disk.foreign, stage.codes(A)) == ({"photos"}, ["dirty"])


def test_a_word_about_a_disk_that_cannot_be_written_waits_for_it() -> None:
    stage = released()
    disk = stage.disk_of(G1)
    disk.problems.append({"code": "io-error", "message": "EIO"})
    stage.publish("n1")
    stage.annotate(VOLUME, "now")
    assert stage.settle() is Exit.WAITING
    assert (kept(stage), stage.codes(A)) == (True, ["io-error", "wipe-waits"])
    disk.problems.clear()
    stage.settle()
    assert (kept(stage), stage.phase(A)) == (False, "Available")


@pytest.mark.parametrize("word", ["now", "everything", "yes"])
def test_the_word_on_a_volume_in_use_is_taken_off_and_never_counts(word: str) -> None:
    stage = one_disk()
    claim = stage.bind(G1)
    stage.annotate(VOLUME, word)
    stage.settle()
    assert names.WIPE_ANNOTATION not in stage.volume(VOLUME)["metadata"].get("annotations", {})
    stage.release(claim)
    stage.settle()
    assert kept(stage)


def test_a_wipe_that_meets_foreign_files_is_refused_until_a_person_says_everything() -> None:
    stage = released()
    disk = stage.disk_of(G1)
    disk.foreign.add("photos")
    stage.finish(G1, "Tombstone")
    assert stage.settle() is Exit.REFUSED
    assert (kept(stage), stage.codes(A)) == (True, ["wipe-dirty"])
    stage.annotate(VOLUME, "everything")
    stage.settle()
    assert (kept(stage), disk.foreign, stage.phase(A)) == (False, set(), "Available")
