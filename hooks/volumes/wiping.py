"""Permission to clear a disk, and what becomes of it. Everything that can end in data being deleted is decided here.

Invariant: permission is given only for the present generation, only when nobody can bind or use its PV any more,
and for one of four causes; it is given once, and `agent answers Done for (generation, PV UID)` is the only thing
that ends it well.

Evidence, read live again by apply.py just before the write:
- the PV is Released and the claim it names does not exist (by UID), or the PV does not exist at all and a person
  said the word (an orphan: data of a PV that is gone, perhaps of another cluster; time alone never clears that);
- finished: a database job wrote Tombstone, Destroyed or Removed for just this PV UID, in the claim's own namespace;
- retention: Released for `disks.wipe.after`, by the earlier of two clocks that are less than 5 minutes apart; never
  while a database job says Retiring;
- now, everything: the annotation. It is taken off with the same write.

Then the PV is deleted, which its finalizer turns into "can't be bound any more"; requests.py asks the agent only
when it sees that.

Deliberately not done: no wipe follows from a deleted PV, a deleted TidbVolume, a lost Node or a missing disk.
"""

from __future__ import annotations

from datetime import timedelta

from hooks.engine import Refusal, Wait
from hooks.volumes import problems, steps
from hooks.volumes.actions import GiveWipe, NextGeneration, RevokeWipe
from hooks.volumes.finding import Finding, subject
from hooks.volumes.model import (
    CLOCKS_APART,
    NEVER,
    ClaimRef,
    Disk,
    Finished,
    Grant,
    Policy,
    Problem,
    Pv,
    View,
    Volume,
    WipeReport,
)
from schema import names

WORDS = ("now", "everything")


def released(
    view: View, volume: Volume, pv: Pv, place: str, disk: Disk | None, away: str, policy: Policy
) -> Finding:
    """The PV's claim is gone. May the disk be cleared, and if not, what ends the wait?"""
    reasons: tuple[Problem, ...] = ()
    if pv.deleting:
        reasons = (
            Problem("pv-deleting", f"PV {pv.name} was deleted by hand; that alone clears nothing"),
        )
    if view.claim is not None:
        why = f"claim {view.claim.namespace}/{view.claim.name} of PV {pv.name} still exists"
        return _waits(volume, "claim", why, "it is gone", reasons)
    if volume.released_at is None:
        # First the moment is recorded: every waiting time counts from there, and no word from before it.
        return by_word(volume, disk, (), pv) if volume.word else Finding("Released", reasons)
    if disk is None or place != "here":
        phase = {"lost": "Lost", "missing": "Failed"}.get(place, "Released")
        why = away or "its disk is reported by no node"
        told = (*reasons, Problem("disk-away", why))
        return _waits(volume, "disk-away", why, "one node reports the disk", told, phase)
    if volume.word:
        return by_word(volume, disk, (), pv)
    finished = view.finished
    if finished is not None and pv.claim is not None and finished.namespace != pv.claim.namespace:
        finished = None
    if finished is not None and finished.final:
        return _give(
            volume, pv, "finished", "keep", f"{finished.owner} is {finished.state}", finished
        )
    if finished is not None:
        why = f"{finished.owner} that lived on it is being retired"
        return _waits(
            volume, "retiring", why, "PD calls it Tombstone, destroyed or removed", reasons
        )
    return _retention(view, volume, pv, policy, reasons)


def _retention(
    view: View, volume: Volume, pv: Pv, policy: Policy, reasons: tuple[Problem, ...]
) -> Finding:
    now_ = f"kubectl annotate tv {volume.name} {names.WIPE_ANNOTATION}=now"
    if policy.wipe_after == NEVER:
        return _waits(
            volume,
            "retention",
            "released; disks.wipe.after is never",
            f"a person says {now_}",
            reasons,
        )
    if volume.released_at is None:
        return Finding("Released", reasons)
    waited = view.now.earlier - volume.released_at
    if waited < policy.wipe_after:
        # To the minute, upwards: a status that counted seconds would be written for ever.
        ends = (volume.released_at + policy.wipe_after).strftime("%Y-%m-%d %H:%M UTC")
        return _waits(
            volume, "retention", "released", f"it is {ends}; at once with {now_}", reasons
        )
    if view.now.apart > CLOCKS_APART:
        why = f"this machine's clock and the API server's are {_minutes(view.now.apart)} apart"
        return _waits(volume, "clocks", why, f"they agree; at once with {now_}", reasons)
    return _give(
        volume, pv, "retention", "keep", f"released for {_minutes(waited)} (disks.wipe.after)"
    )


def by_word(
    volume: Volume, disk: Disk | None, wrong: tuple[Problem, ...], pv: Pv | None = None
) -> Finding:
    """A person annotated the volume. `wrong`: what keeps a disk without PV from being offered."""
    phase = "Released" if pv is not None else "Refused"
    empty = _empty_word(volume, disk, phase)
    if empty or disk is None:
        return Finding(phase, step=steps.refuse_word(volume, empty))
    if pv is None and volume.word == "now":
        why = f"{problems.sentence(wrong)}; =everything would delete all that is there"
        return Finding(phase, wrong, step=steps.refuse_word(volume, why))
    if not problems.clearable(disk) or not disk.steady:
        # The word stays: it is about this generation, which cannot end before it is cleared.
        why = problems.sentence(disk.problems) or f"{disk.node}:{disk.path} is not steady yet"
        until = f"that is over; then it is cleared ({names.WIPE_ANNOTATION}={volume.word})"
        return _waits(volume, "wipe-waits", why, until, disk.problems, phase)
    foreign = "remove" if volume.word == "everything" else "keep"
    if pv is not None:
        why = f"annotated {names.WIPE_ANNOTATION}={volume.word}"
        return _give(volume, pv, volume.word, foreign, why)
    uid = _marked_pv(volume, disk)
    return Finding(phase, wrong, step=_grant(volume, uid, volume.word, foreign, "", None))


def _empty_word(volume: Volume, disk: Disk | None, phase: str) -> str:
    """Why the annotation counts for nothing; "" when it counts.

    It must have been said of what was shown: a word on a volume that was in use when a person read the table, or that
    looked like another case, is taken off, however it got there.
    """
    if volume.word not in WORDS:
        return f"{volume.word!r} is neither {' nor '.join(WORDS)}"
    shown = volume.released_at is not None if phase == "Released" else volume.phase == phase
    if not shown:
        return f"it was not shown as {phase} yet"
    if disk is None:
        return "its disk is reported by no node, or by more than one"
    return ""


def orphan(volume: Volume, disk: Disk | None, pv_uid: str, why: str) -> Finding:
    """Data of a PV that does not exist: only a person may say that nobody needs it."""
    reason = Problem("orphan", f"{why} (PV UID {pv_uid}): nothing is offered or cleared by itself")
    remedy = (
        f"copy what you need, then kubectl annotate tv {volume.name} {names.WIPE_ANNOTATION}=now"
    )
    refusal = Refusal(
        code="orphan", subject=subject(volume.name), why=reason.message, remedy=remedy
    )
    if not volume.word:
        return Finding("Refused", (reason,), refusals=(refusal,))
    if empty := _empty_word(volume, disk, "Refused"):
        return Finding("Refused", (reason,), step=steps.refuse_word(volume, empty))
    foreign = "remove" if volume.word == "everything" else "keep"
    return Finding(
        "Refused", (reason,), step=_grant(volume, pv_uid, volume.word, foreign, "", None)
    )


def under_way(
    volume: Volume, grant: Grant, pv: Pv | None, place: str, disk: Disk | None, away: str
) -> Finding:
    """Permission stands in spec.wipe: fence the PV, then follow the agent's answers."""
    if pv is not None and pv.uid != grant.pv_uid:
        return _revoke(
            volume, f"PV {pv.name} is another one ({pv.uid}) than was permitted ({grant.pv_uid})"
        )
    if pv is not None and pv.bound:
        return _revoke(volume, f"PV {pv.name} is bound or reserved again")
    if pv is not None and not pv.deleting:
        does = "delete it, so that nothing can bind it while its disk is cleared"
        why = f"permitted: {grant.cause}{' (' + grant.owner + ')' if grant.owner else ''}"
        step = steps.delete_pv(volume, pv, "fence-pv", does, why)
        return Finding("Wiping", step=step, wipe={"state": "Requested"})
    report = disk.wipe if disk is not None else None
    if report is not None and (report.generation, report.pv_uid) != (
        grant.generation,
        grant.pv_uid,
    ):
        report = None
    if disk is None or place != "here":
        phase = {"lost": "Lost", "missing": "Failed"}.get(place, "Wiping")
        why = away or "its disk is reported by no node"
        return _waits(
            volume,
            "disk-away",
            why,
            "one node reports the disk",
            (Problem("disk-away", why),),
            phase,
        )
    if report is None:
        until = f"the agent on {disk.node} has begun"
        return _waits(
            volume, "wipe", "permitted and asked for", until, (), "Wiping", {"state": "Requested"}
        )
    wipe: dict[str, object] = {"state": report.state}
    if report.total_bytes:
        wipe |= {"removedBytes": report.removed_bytes, "totalBytes": report.total_bytes}
    if report.message:
        wipe["message"] = report.message
    if report.state == "Done":
        return _done(volume, grant, wipe)
    if report.state == "Refused":
        return _refused(volume, grant, pv, report, wipe)
    reasons = (Problem("wipe-failed", report.message),) if report.state == "Failed" else ()
    until = f"the agent on {disk.node} has finished"
    return _waits(volume, "wipe", "being cleared", until, reasons, "Wiping", wipe)


def _done(volume: Volume, grant: Grant, wipe: dict[str, object]) -> Finding:
    last = volume.status.get("lastWipe")
    recorded = isinstance(last, dict) and last.get("generation") == grant.generation
    if not recorded:
        # Recorded first: with the next generation the permission, and so the cause, is gone.
        entry: dict[str, object] = {
            "generation": grant.generation,
            "pvUID": grant.pv_uid,
            "cause": grant.cause,
        }
        return Finding("Wiping", wipe=wipe, last_wipe=entry)
    step = NextGeneration(
        code="finish-wipe",
        subject=subject(volume.name),
        does=f"begin generation {volume.generation + 1}",
        why=f"generation {grant.generation} is cleared ({grant.cause})",
        volume=volume.name,
        volume_uid=volume.uid,
        volume_version=volume.version,
        generation=volume.generation + 1,
    )
    return Finding("Wiping", step=step, wipe=wipe)


def _refused(
    volume: Volume, grant: Grant, pv: Pv | None, report: WipeReport, wipe: dict[str, object]
) -> Finding:
    reason, message = report.reason, report.message
    if volume.word == "everything" and reason == "dirty" and grant.foreign == "keep":
        step = _grant(
            volume,
            grant.pv_uid,
            "everything",
            "remove",
            "",
            None,
            pv=pv.name if pv is not None else "",
            claim=pv.claim if pv is not None else None,
        )
        return Finding("Refused", step=step, wipe=wipe)
    if volume.word:
        why = message or "the agent refused to clear it"
        return Finding("Refused", step=steps.refuse_word(volume, why), wipe=wipe)
    problem = Problem(f"wipe-{reason or 'refused'}", message or "the agent refused to clear it")
    remedy = "mend what the message says; the agent tries again by itself"
    if reason == "dirty":
        remedy = (
            "move the files away; or, to delete them too: "
            f"kubectl annotate tv {volume.name} {names.WIPE_ANNOTATION}=everything"
        )
    refusal = Refusal(
        code=problem.code, subject=subject(volume.name), why=problem.message, remedy=remedy
    )
    return Finding("Refused", (problem,), refusals=(refusal,), wipe=wipe)


def _marked_pv(volume: Volume, disk: Disk) -> str:
    """The PV that the disk's marker names for this generation; the agent compares it."""
    marker = disk.marker
    if marker is None or (marker.volume, marker.generation) != (volume.name, volume.generation):
        return ""
    return marker.pv_uid


def _give(
    volume: Volume, pv: Pv, cause: str, foreign: str, owner: str, finished: Finished | None = None
) -> Finding:
    step = _grant(volume, pv.uid, cause, foreign, owner, finished, pv=pv.name, claim=pv.claim)
    return Finding("Released", step=step)


def _grant(
    volume: Volume,
    pv_uid: str,
    cause: str,
    foreign: str,
    owner: str,
    finished: Finished | None,
    *,
    pv: str = "",
    claim: ClaimRef | None = None,
) -> GiveWipe:
    what = "everything on the disk" if foreign == "remove" else f"generation {volume.generation}"
    return GiveWipe(
        code="permit-wipe",
        subject=subject(volume.name),
        does=f"permit to clear {what}",
        why=owner or f"annotated {names.WIPE_ANNOTATION}={cause}",
        volume=volume.name,
        volume_uid=volume.uid,
        volume_version=volume.version,
        grant=Grant(volume.generation, pv_uid, cause, foreign, owner),
        pv=pv,
        claim=claim,
        finished=finished,
    )


def _revoke(volume: Volume, why: str) -> Finding:
    step = RevokeWipe(
        code="revoke-wipe",
        subject=subject(volume.name),
        does="take the permission to clear it back",
        why=why,
        volume=volume.name,
        volume_uid=volume.uid,
        volume_version=volume.version,
    )
    return Finding("Released", step=step)


def _waits(
    volume: Volume,
    code: str,
    why: str,
    until: str,
    reasons: tuple[Problem, ...],
    phase: str = "Released",
    wipe: dict[str, object] | None = None,
) -> Finding:
    wait = Wait(code=code, subject=subject(volume.name), why=why, until=until)
    told = (*reasons, Problem(code, f"{why}; ends when {until}"))
    if any(p.code == code for p in reasons):
        told = reasons
    return Finding(phase, told, waits=(wait,), wipe=wipe or {})


def _minutes(span: timedelta) -> str:
    total = int(span.total_seconds() // 60)
    return f"{total // 60} h {total % 60} min"
