"""What the decision finds besides the ordinary: PVs of other generations, a name taken by another disk, deletions
by hand.

Invariant: what a person deletes is let go only when nobody uses it and its data is not there, or never was.
"""

from __future__ import annotations

from hooks.engine import Refusal, Wait
from hooks.volumes import steps, wiping
from hooks.volumes.finding import Finding, subject
from hooks.volumes.model import Problem, Pv, View, Volume
from hooks.volumes.place import Place
from schema import names


def older(volume: Volume, pv: Pv) -> Finding:
    """A PV of a generation that has ended: its folder was wiped, or never used."""
    if pv.bound:
        reason = Problem(
            "older-pv",
            f"PV {pv.name} of an ended generation is bound to {pv.claim and pv.claim.name}",
        )
        remedy = (
            f"find out who brought {pv.name} back (a restored backup?); "
            "nothing is offered on this disk until it is gone"
        )
        return Finding("Refused", (reason,), refusals=(steps.refusal(volume, reason, remedy),))
    if pv.deleting:
        return steps.let_go(volume, pv, "older-pv", "its generation has ended")
    why = f"the volume is at generation {volume.generation}"
    return Finding(
        volume.phase, step=steps.delete_pv(volume, pv, "delete-older-pv", "delete it", why)
    )


def newer(volume: Volume, pv: Pv) -> Finding:
    why = f"PV {pv.name} is of a later generation than {volume.generation}"
    if not volume.deleting:
        return Finding("Pending", step=steps.next_generation(volume, pv.generation, why))
    return Finding(volume.phase, silent=True)


def collisions(view: View, volume: Volume) -> tuple[Refusal, ...]:
    """Disks whose identity has the same short name (64 bits of SHA-256): they get no volume while the name is taken."""
    others = sorted({disk.identity for disk in view.disks} - {volume.identity})
    return tuple(
        Refusal(
            code="name-collision",
            subject=subject(volume.name),
            why=f"disk {other} has the same short name as {volume.identity}",
            remedy=f"if {volume.identity} is gone for good: kubectl delete tv {volume.name}",
        )
        for other in others
    )


def deleting(volume: Volume, pv: Pv | None, place: Place) -> Finding:
    """A person deleted the TidbVolume: let go of what nobody uses or what is not there, never of data that is."""
    if pv is None:
        if not volume.finalizer:
            return Finding(volume.phase, silent=True)
        return Finding(volume.phase, step=steps.free_volume(volume))
    if pv.bound:
        why = f"it was deleted, but PV {pv.name} is bound to {pv.claim and pv.claim.name}"
        return Finding(
            "Bound" if place.kind in ("here", "twice", "unknown") else volume.phase,
            (Problem("deleting", why),),
            waits=(
                Wait(
                    code="deleting",
                    subject=subject(volume.name),
                    why=why,
                    until="the claim is deleted",
                ),
            ),
        )
    if pv.deleting and (place.kind in ("lost", "missing") or not (volume.used or pv.released)):
        return steps.let_go(volume, pv, "pv-deleting", "its TidbVolume was deleted by a person")
    if (pv.released or volume.used) and place.kind not in ("lost", "missing"):
        reason = Problem(
            "deleting", f"it was deleted, but its disk is there and holds data of PV {pv.name}"
        )
        remedy = (
            f"kubectl annotate tv {volume.name} {names.WIPE_ANNOTATION}=now, or take the disk out"
        )
        if volume.grant is None and volume.word and pv.released:
            return wiping.by_word(volume, place.disk, (), pv)
        if volume.grant is not None:
            return wiping.under_way(volume, volume.grant, pv, place.kind, place.disk, place.why)
        return Finding("Released", (reason,), refusals=(steps.refusal(volume, reason, remedy),))
    why = "its TidbVolume was deleted by a person, and its disk is gone or was never used"
    return Finding(volume.phase, step=steps.delete_pv(volume, pv, "withdraw-pv", "delete it", why))
