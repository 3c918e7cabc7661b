"""What to do on this node's disks: from the inventory's entries and the controller's requests. Pure.

The invariant: *nothing is deleted but the folder of a generation whose wipe stands in the requests now, on the steady
disk with that identity, whose own marker names that volume, generation and PV* (foreign files only when a person said
so). An action here is a proposal: `wipe.py` and `folders.py` check it again on the opened disk just before.

Deliberately not done: no file system is ever made, no folder is made where one was (`make: false`), and a disk with a
problem is not written to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hooks.disks.inventory import Entry, WipeAnswer
from hooks.disks.marker import NAME, Marker
from hooks.disks.requests import Request, WipeRequest

# Problems that do not stand in the way of clearing a disk: they are about offering it, or the request answers them.
_CLEARABLE = frozenset({"changed", "dirty", "many-disks", "shared-disk", "too-small"})
# The same when a person said "everything" of a disk that never carried a PV of this cluster: another cluster's disk.
_CLEARABLE_BY_WORD = _CLEARABLE | {"marker"}


@dataclass(frozen=True)
class MakeFolder:
    """Start a generation: marker first, then its empty folder."""

    entry: Entry
    request: Request


@dataclass(frozen=True)
class RecordVolume:
    """Write the UID of the generation's PV into the marker."""

    entry: Entry
    request: Request


@dataclass(frozen=True)
class Clear:
    """Begin or resume the wipe of a generation."""

    entry: Entry
    request: Request

    @property
    def wipe(self) -> WipeRequest:
        return wipe_of(self.request)


Action = MakeFolder | RecordVolume | Clear


@dataclass(frozen=True)
class Plan:
    actions: tuple[Action, ...]
    answers: Mapping[str, WipeAnswer]
    """Path → what the inventory says of that disk's wipe, as far as the marker and the request alone tell."""


def plan(entries: Iterable[Entry], requests: Mapping[str, Request]) -> Plan:
    """Actions sorted by path; at most one a disk, so that each is planned from what the last one left."""
    actions: list[Action] = []
    answers: dict[str, WipeAnswer] = {}
    for entry in sorted(entries, key=lambda entry: entry.path):
        if not entry.path:
            continue
        recorded = _recorded(entry)
        if recorded:
            answers[entry.path] = recorded
        request = requests.get(entry.identity)
        if request is None:
            continue
        if _to_record(entry, request):
            actions.append(RecordVolume(entry, request))
        elif request.wipe:
            if wiped(entry, request):
                continue
            refusal = why_not(entry, request)
            if refusal:
                answers[entry.path] = refusal
            else:
                actions.append(Clear(entry, request))
        elif _to_make(entry, request):
            actions.append(MakeFolder(entry, request))
    return Plan(tuple(actions), answers)


def wiped(entry: Entry, request: Request) -> bool:
    """The marker says that this very wipe is done."""
    record = entry.marker.wipe if entry.marker else None
    wipe = request.wipe
    if not record or not wipe or not entry.marker:
        return False
    return (
        record.done
        and (record.generation, record.pv_uid) == (wipe.generation, wipe.pv_uid)
        and (entry.marker.identity, entry.marker.volume) == (request.identity, request.volume)
    )


def why_not(entry: Entry, request: Request) -> WipeAnswer | None:
    """Why this disk must not be cleared on this request; None when it may."""
    wipe = wipe_of(request)

    def refuse(reason: str, message: str) -> WipeAnswer:
        return WipeAnswer(
            wipe.generation, wipe.pv_uid, "Refused", reason, f"{entry.path} is not wiped: {message}"
        )

    if entry.identity != request.identity:
        return refuse(
            "identity", f"the disk there is {entry.identity or 'unknown'}, not {request.identity}"
        )
    if not entry.steady:
        return refuse("not-steady", "it has not been seen unchanged for long enough yet")
    by_word = wipe.foreign and not wipe.pv_uid
    allowed = _CLEARABLE_BY_WORD if by_word else _CLEARABLE
    forbidding = [p for p in entry.problems if p.code not in allowed]
    if forbidding:
        return refuse("not-steady", "; ".join(problem.message for problem in forbidding))
    marker = entry.marker
    if marker is None:
        holds = [*entry.foreign, *entry.folders]
        if holds and not wipe.foreign:
            return refuse(
                "generation",
                f"it has no marker that says whose {', '.join(holds[:5])} are; `kubectl annotate tidbvolume "
                f"{request.volume} helm-tidb.io/wipe=everything` clears them all the same",
            )
        return None
    theirs, ours = (marker.volume, marker.generation), (request.volume, request.generation)
    if theirs != ours and not (by_word and not is_later(marker, request)):
        return refuse(
            "generation",
            f"its marker is of {marker.volume}, generation {marker.generation}; {request.volume}, generation "
            f"{request.generation} was meant; if nobody needs what is on it, remove {entry.path}/{NAME} on the node",
        )
    if marker.pv_uid != wipe.pv_uid and not by_word:
        return refuse(
            "pv-uid",
            f"its marker names the PV with UID {marker.pv_uid or 'none'}; {wipe.pv_uid or 'none'} was meant",
        )
    foreign = [p.message for p in entry.problems if p.code == "dirty"]
    if foreign and not wipe.foreign:
        return refuse("dirty", "; ".join(foreign))
    return None


def wipe_of(request: Request) -> WipeRequest:
    """ValueError when none is asked for: a caller's defect, on which nothing may be deleted."""
    if request.wipe is None:
        raise ValueError(f"no wipe is asked for on {request.identity}")
    return request.wipe


def is_later(marker: Marker, request: Request) -> bool:
    """The disk has gone on to a later generation of this volume than the request knows: no word of a person counts
    then, for it may have been said of what lay there before."""
    return marker.volume == request.volume and marker.generation > request.generation


def _recorded(entry: Entry) -> WipeAnswer | None:
    record = entry.marker.wipe if entry.marker else None
    if record is None:
        return None
    return WipeAnswer(
        record.generation,
        record.pv_uid,
        "Done" if record.done else "Running",
        removed_bytes=record.removed_bytes,
        total_bytes=record.total_bytes,
    )


def _to_make(entry: Entry, request: Request) -> bool:
    if not request.make or not entry.steady or entry.codes - {"shared-disk"}:
        return False
    marker = entry.marker
    made = marker is not None and (marker.volume, marker.folder) == (
        request.volume,
        request.folder,
    )
    return not made or request.folder not in entry.folders


def _to_record(entry: Entry, request: Request) -> bool:
    marker = entry.marker
    return (
        bool(request.pv_uid)
        and marker is not None
        and not marker.pv_uid
        and (marker.volume, marker.generation) == (request.volume, request.generation)
        and not entry.codes & {"io-error", "probe-failed", "read-only", "marker", "bind-mount"}
    )
