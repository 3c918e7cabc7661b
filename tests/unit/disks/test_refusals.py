"""Why a disk is not given a folder or not cleared: each reason's code and words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hooks.disks.inventory import Entry, Problem
from hooks.disks.marker import Marker
from hooks.disks.plan import Clear, plan, why_not
from hooks.disks.requests import Request
from tests.unit.disks.worlds import IDENTITY, PV, entry, folder, mark, request, volume

CLEAN = Entry(
    identity=IDENTITY,
    path="/mnt/disks/a",
    device="nvme0n1",
    steady=True,
    folders=(folder(),),
    occupied=(folder(),),
    marker=Marker(volume(), IDENTITY, 1, folder(), PV),
)


def problem(code: str) -> tuple[Problem, ...]:
    return (Problem(code, f"says {code}"),)


@pytest.mark.parametrize(
    ("disk", "reason", "words"),
    [
        (
            replace(CLEAN, identity="wwn-0x1"),
            "identity",
            f"the disk there is wwn-0x1, not {IDENTITY}",
        ),
        (replace(CLEAN, identity=""), "identity", f"the disk there is unknown, not {IDENTITY}"),
        (
            replace(CLEAN, steady=False),
            "not-steady",
            "it has not been seen unchanged for long enough yet",
        ),
        (replace(CLEAN, problems=problem("io-error")), "not-steady", "says io-error"),
        (replace(CLEAN, problems=problem("bind-mount")), "not-steady", "says bind-mount"),
        (
            replace(CLEAN, problems=problem("duplicate-identity")),
            "not-steady",
            "says duplicate-identity",
        ),
        (replace(CLEAN, problems=problem("marker")), "not-steady", "says marker"),
        (replace(CLEAN, problems=problem("dirty")), "dirty", "says dirty"),
        (
            replace(CLEAN, marker=None),
            "generation",
            f"it has no marker that says whose {folder()} are; `kubectl annotate tidbvolume {volume()} "
            "helm-tidb.io/wipe=everything` clears them all the same",
        ),
        (
            replace(CLEAN, marker=Marker(volume(), IDENTITY, 2, folder(2), PV)),
            "generation",
            f"its marker is of {volume()}, generation 2; {volume()}, generation 1 was meant; if nobody needs what is "
            "on it, remove /mnt/disks/a/.helm-tidb.json on the node",
        ),
        (
            replace(CLEAN, marker=Marker(volume(), IDENTITY, 1, folder(), "other")),
            "pv-uid",
            f"its marker names the PV with UID other; {PV} was meant",
        ),
        (
            replace(CLEAN, marker=Marker(volume(), IDENTITY, 1, folder(), "")),
            "pv-uid",
            f"its marker names the PV with UID none; {PV} was meant",
        ),
    ],
)
def test_a_wipe_is_refused(disk: Entry, reason: str, words: str) -> None:
    answer = why_not(disk, request(wipe=True))
    assert answer
    assert (answer.state, answer.reason) == ("Refused", reason)
    assert answer.message == f"/mnt/disks/a is not wiped: {words}"


@pytest.mark.parametrize("code", ["too-small", "shared-disk", "many-disks", "changed"])
def test_what_only_forbids_an_offer_forbids_no_wipe(code: str) -> None:
    assert why_not(replace(CLEAN, problems=problem(code)), request(wipe=True)) is None


@pytest.mark.parametrize(
    "code", ["io-error", "bind-mount", "identity", "held", "swap", "read-only"]
)
def test_no_word_of_a_person_clears_a_disk_that_is_in_doubt(code: str) -> None:
    by_word = request(wipe=True, pv="", foreign=True)
    disk = replace(CLEAN, problems=problem(code), marker=None)
    assert why_not(disk, by_word)


def test_an_empty_disk_without_a_marker_needs_no_word() -> None:
    """As after a person's mkfs: there is nothing to delete."""
    bare = replace(CLEAN, marker=None, folders=(), occupied=())
    (action,) = plan((bare,), {IDENTITY: request(wipe=True)}).actions
    assert isinstance(action, Clear)


def test_what_the_request_does_not_mention_is_left_alone() -> None:
    others = {"wwn-0x1": request(identity="wwn-0x1", wipe=True)}
    assert plan((CLEAN,), others).actions == ()
    assert plan((replace(CLEAN, path=""),), {IDENTITY: request(wipe=True)}).actions == ()


@pytest.mark.parametrize(
    ("marked", "asked", "words"),
    [
        (
            {"generation": 3},
            request(1),
            "is of generation 3, 1 is asked for: the disk was used by another",
        ),
        (
            {"generation": 1},
            request(1, make=True, pv=""),
            f"belongs to the PV with UID {PV}, which this cluster",
        ),
        ({"identity": "wwn-0x9"}, request(1), "is of the disk wwn-0x9, this disk is"),
    ],
)
def test_a_marker_that_does_not_fit_is_told(
    tmp_path: Path, marked: dict[str, object], asked: Request, words: str
) -> None:
    mark(tmp_path, **marked)  # type: ignore[arg-type]
    disk = entry(tmp_path, asked)
    assert "marker" in disk.codes
    assert any(words in problem.message for problem in disk.problems), disk.problems
    assert plan((disk,), {IDENTITY: asked}).actions == ()
