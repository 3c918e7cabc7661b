"""Every API call of the volume job, broken in every way, in a life that has every step: each chapter ends in the
same state, and with the same creations and deletions; nothing is cleared twice or without leave; and a rerun at
rest writes nothing.

Single faults at every call of every chapter; pairs of a crash after commit at every two writes of a chapter. `make
soak` takes all pairs of faults. On an API server in memory, whose answers test_memory.py compares with the real
one's.
"""

from __future__ import annotations

import copy
import itertools
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from schema import names
from tests.faults.faulty import Fault, Faulty
from tests.model.volumes.agents import FakeDisk
from tests.model.volumes.stage import Stage

SOAK = bool(os.environ.get("HELM_TIDB_SOAK"))
A, B = "wwn-a1", "wwn-b1"
PV_A, PV_B = (names.folder_name(names.volume_name(identity), 1) for identity in (A, B))


# --- the life ---
def offers(stage: Stage) -> None:
    stage.add_node("n1", FakeDisk(A), FakeDisk(B))


def binds(stage: Stage) -> None:
    stage.bind(PV_A)


def releases(stage: Stage) -> None:
    (claim,) = stage.memory.all("persistentvolumeclaims")
    stage.release(claim)


def clears(stage: Stage) -> None:
    stage.finish(PV_A, "Tombstone")


def withdraws(stage: Stage) -> None:
    del stage.agents["n1"].disks["/mnt/disks/d1"]
    stage.publish("n1")


def lets_go(stage: Stage) -> None:
    stage.memory.remove("tidbvolumes", names.volume_name(B))


def finds_again(stage: Stage) -> None:
    folder = names.folder_name(names.volume_name(B), 1)
    marker = {"volume": names.volume_name(B), "identity": B, "generation": 1, "folder": folder}
    disk = FakeDisk(B, folders={folder: set()}, marker={**marker, "pvUID": "of a PV that is gone"})
    stage.agents["n1"].disks["/mnt/disks/d2"] = disk
    stage.publish("n1")


def binds_and_releases(stage: Stage) -> None:
    stage.release(stage.bind(names.folder_name(names.volume_name(A), 2)))


def permits_by_word(stage: Stage) -> None:
    stage.annotate(names.volume_name(A), "everything")


CHAPTERS: tuple[Callable[[Stage], None], ...] = (
    offers,
    binds,
    releases,
    clears,
    withdraws,
    lets_go,
    finds_again,
    binds_and_releases,
    permits_by_word,
)


@dataclass(frozen=True)
class Result:
    """What a chapter leaves behind. `deeds`: creations and removals by kind; a status may be written once more."""

    state: dict[str, Any]
    deeds: Counter[tuple[str, str]]
    calls: tuple[str, ...]

    @property
    def writes(self) -> list[int]:
        return [n for n, call in enumerate(self.calls) if not call.startswith("GET")]


@dataclass(frozen=True)
class Chapter:
    """Where it begins, and how it ends undisturbed."""

    move: Callable[[Stage], None]
    begins: Stage
    ends: Result

    def played(self, faults: dict[int, Fault]) -> Result:
        return play(copy.deepcopy(self.begins), self.move, faults)

    def must_end_the_same(self, faults: dict[int, Fault]) -> None:
        result = self.played(faults)
        what = {n: f"{fault.value} at {self.ends.calls[n]}" for n, fault in faults.items()}
        assert result.state == self.ends.state, (self.move.__name__, what)
        assert result.deeds == self.ends.deeds, (self.move.__name__, what)


def play(stage: Stage, move: Callable[[Stage], None], faults: dict[int, Fault]) -> Result:
    faulty = Faulty(stage.memory, faults)
    stage.memory.writes.clear()
    move(stage)
    stage.wrap = lambda _: faulty
    stage.settle()
    calls = tuple(str(request) for request in faulty.calls)
    at_rest = stage.memory.version
    stage.wrap = lambda inner: inner
    stage.run()
    assert stage.memory.version == at_rest, f"{move.__name__}: a rerun at rest wrote something"
    deeds = Counter({k: n for k, n in stage.memory.writes.items() if k[0] != "update"})
    return Result(stage.end_state(), deeds, calls)


@pytest.fixture(scope="module")
def chapters() -> list[Chapter]:
    stage = Stage()
    found = []
    for move in CHAPTERS:
        begins = copy.deepcopy(stage)
        found.append(Chapter(move, begins, play(stage, move, {})))
    return found


def test_the_life_has_every_step(chapters: list[Chapter]) -> None:
    deeds: Counter[tuple[str, str]] = sum((chapter.ends.deeds for chapter in chapters), Counter())
    assert deeds["create", "persistentvolumes"] == 5
    assert deeds["delete", "persistentvolumes"] == 3
    assert deeds["gone", "persistentvolumes"] == 3
    assert deeds["gone", "tidbvolumes"] == 1
    verbs = Counter(call.split()[0] for chapter in chapters for call in chapter.ends.calls)
    assert all(verbs[verb] for verb in ("GET", "POST", "PATCH", "DELETE"))


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_a_fault_at_every_call(chapters: list[Chapter], fault: Fault) -> None:
    for chapter in chapters:
        for number in range(len(chapter.ends.calls)):
            chapter.must_end_the_same({number: fault})


def test_two_faults_at_every_two_writes(chapters: list[Chapter]) -> None:
    kinds = tuple(Fault) if SOAK else (Fault.CRASH_AFTER,)
    for chapter in chapters:
        for first, second in itertools.combinations(chapter.ends.writes, 2):
            for one, two in itertools.product(kinds, repeat=2):
                chapter.must_end_the_same({first: one, second: two})
