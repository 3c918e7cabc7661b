"""What a database process said before it ended, explained.

The last line that tells an error counts; the table below knows the ones that people search the web for. A line that
it doesn't know is shown as it is: a guess would be worse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hooks.doctor import database, lost
from hooks.doctor.finding import Weight
from hooks.doctor.scheduler.volumes import claim_names
from hooks.doctor.snapshot import Snapshot
from hooks.kube.kinds import View
from hooks.pd import StoreState

_ERROR = re.compile(r"(?i)\[(fatal|panic|error)\]|\b(fatal|panic|error|refuses|failed)\b")
_SHOWN = 3


@dataclass(frozen=True)
class LastWords:
    code: str
    weight: Weight
    why: str
    remedy: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Known:
    """`{component}` and `{claim}` in the remedy, `{said}` in the explanation, are filled in."""

    code: str
    pattern: re.Pattern[str]
    weight: Weight
    why: str
    remedy: str


def last_words(lines: Sequence[str], ended: str, snapshot: Snapshot, pod: View) -> LastWords:
    """`ended` is the container's termination message, which a process that writes none leaves empty."""
    said = [*lines, *(line for line in ended.splitlines() if line.strip())]
    for line in reversed(said):
        duplicated = _DUPLICATED.search(line)
        if duplicated:
            return _duplicated(duplicated["old"], line, snapshot, pod)
        for known in _KNOWN:
            match = known.pattern.search(line)
            if match:
                fields = {"component": _component(pod), "claim": next(iter(claim_names(pod)), "")}
                return LastWords(
                    known.code,
                    known.weight,
                    known.why.format(said=match[0][:200]),
                    known.remedy.format(**fields),
                    (line[:300],),
                )
    errors = [line for line in said if _ERROR.search(line)] or said
    shown = tuple(line[:300] for line in errors[-_SHOWN:])
    why = shown[-1] if shown else "it left no line in its log"
    remedy = "kubectl logs --previous shows all it said; doctor does not know this error"
    return LastWords("crash-loop", Weight.PROBLEM, why, remedy, shown)


def _duplicated(old: str | None, line: str, snapshot: Snapshot, pod: View) -> LastWords:
    """The new store waits for the old one of its address: which one, in which state, and whose step is due."""
    known = database.by_id(snapshot, int(old)) if old else None
    name = f"store {old}" if old else "another store"
    how = f", and PD calls that store {known.state_name}" if known is not None else ""
    why = (
        f"PD refuses the new store: {name} is still registered at this address{how}; the disk is new "
        "or was cleared, and the old store has not been retired yet"
    )
    due = "; ".join(lost.plan_of(snapshot, pod))
    if not due and known is not None and known.state is StoreState.OFFLINE:
        due = f"PD is moving {known.region_count} regions off store {old}"
    due = due or "retiring it is failover's next step: kubectl tidb plan failover"
    remedy = f"it registers by itself once the old store is Tombstone or destroyed: {due}"
    return LastWords("duplicated-store-address", Weight.WAITING, why, remedy, (line[:300],))


def _component(pod: View) -> str:
    labels = pod["metadata"].get("labels") or {}
    return str(labels.get("app.kubernetes.io/component", "the component"))


_DUPLICATED = re.compile(
    r"(?i)duplicated? store address(?:.*?already registered by id:(?P<old>\d+))?"
)

# Texts as TiKV, PD and TiDB 8.5 write them. The first that matches the latest line wins.
_KNOWN = (
    _Known(
        "store-tombstone",
        re.compile(r"(?i)store is tombstone|StoreTombstone"),
        Weight.PROBLEM,
        "its disk holds a store that PD has retired for good (Tombstone); such an id never comes back",
        "delete the claim {claim} and the pod: it starts anew on another disk, and this one is cleared",
    ),
    _Known(
        "member-listed",
        re.compile(r"(?i)missing data or join a duplicated pd|has already been bootstrapped"),
        Weight.WAITING,
        "PD still lists a member of this name, and this disk does not hold its data",
        "failover removes the old member, then it joins: kubectl tidb plan failover",
    ),
    _Known(
        "other-cluster",
        re.compile(r"(?i)cluster ?ID? (mismatch|not match|is not match)"),
        Weight.PROBLEM,
        "its disk belongs to another cluster than the PD it reached",
        "find out whose disk it is (kubectl tidb disks), and whose PD answers at this release's address",
    ),
    _Known(
        "disk-full",
        re.compile(r"(?i)no space left on device|disk full"),
        Weight.PROBLEM,
        "its disk is full",
        "add stores and let PD move regions away; `reserve-space` keeps room for TiKV to start again",
    ),
    _Known(
        "disk-errors",
        re.compile(r"(?i)read-only file system|input/output error"),
        Weight.PROBLEM,
        "its disk gives errors or is read-only",
        "look at the node's kernel log (dmesg); a failed disk is failover's: kubectl tidb plan failover",
    ),
    _Known(
        "bad-config",
        re.compile(
            r"(?i)(invalid (auto generated )?configuration|unknown (field|configuration)|toml|"
            r"config(uration)? (file )?(is )?(invalid|error)).*"
        ),
        Weight.PROBLEM,
        "it does not accept its configuration: {said}",
        "correct {component}.config in the chart's values",
    ),
    _Known(
        "no-pd",
        re.compile(
            r"(?i)(failed to (connect|get)|cannot|can't|couldn't).{0,60}\bpd\b|no PD leader|"
            r"PD.{0,20}not available"
        ),
        Weight.WAITING,
        "it does not reach PD",
        "it goes on by itself when PD has a leader: look at PD's pods first (kubectl tidb status)",
    ),
)
