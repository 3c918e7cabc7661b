"""The steps and refusals that several decisions take, made from what was seen."""

from __future__ import annotations

from hooks.engine import Refusal, Subject, Wait
from hooks.volumes.actions import DeletePv, FreePv, FreeVolume, NextGeneration, RefuseWord
from hooks.volumes.finding import Finding, subject
from hooks.volumes.model import Problem, Pv, Volume
from schema import names


def refusal(volume: Volume, reason: Problem, remedy: str) -> Refusal:
    return Refusal(
        code=reason.code, subject=subject(volume.name), why=reason.message, remedy=remedy
    )


def next_generation(volume: Volume, generation: int, why: str) -> NextGeneration:
    return NextGeneration(
        code="next-generation",
        subject=subject(volume.name),
        does=f"begin generation {generation}",
        why=why,
        volume=volume.name,
        volume_uid=volume.uid,
        volume_version=volume.version,
        generation=generation,
    )


def refuse_word(volume: Volume, why: str) -> RefuseWord:
    return RefuseWord(
        code="refuse-wipe",
        subject=subject(volume.name),
        does=f"take off the annotation {names.WIPE_ANNOTATION}={volume.word} and clear nothing",
        why=why,
        volume=volume.name,
        volume_uid=volume.uid,
        volume_version=volume.version,
    )


def delete_pv(volume: Volume, pv: Pv, code: str, does: str, why: str) -> DeletePv:
    """`pv` is not bound; apply.py looks again, at that too."""
    return DeletePv(
        code=code,
        subject=Subject("PersistentVolume", pv.name, uid=pv.uid),
        does=does,
        why=why,
        volume=volume.name,
        pv=pv.name,
        pv_uid=pv.uid,
        pv_version=pv.version,
        expects="released" if pv.released else "unbound",
        claim=pv.claim,
    )


def free_pv(volume: Volume, pv: Pv, why: str) -> FreePv:
    return FreePv(
        code="free-pv",
        subject=Subject("PersistentVolume", pv.name, uid=pv.uid),
        does="let it go",
        why=why,
        volume=volume.name,
        pv=pv.name,
        pv_uid=pv.uid,
        pv_version=pv.version,
    )


def let_go(volume: Volume, pv: Pv, code: str, why: str) -> Finding:
    """Our finalizer off a PV that is being deleted, once: what else holds it is Kubernetes' to take off."""
    if pv.finalizer:
        return Finding(volume.phase, step=free_pv(volume, pv, why))
    return pending(volume, code, f"PV {pv.name} is being deleted", "Kubernetes has removed it")


def free_volume(volume: Volume) -> FreeVolume:
    return FreeVolume(
        code="free-volume",
        subject=subject(volume.name),
        does="let it go",
        why="it was deleted by a person and has no PV",
        volume=volume.name,
        volume_uid=volume.uid,
        volume_version=volume.version,
    )


def pending(volume: Volume, code: str, why: str, until: str) -> Finding:
    wait = Wait(code=code, subject=subject(volume.name), why=why, until=until)
    return Finding("Pending", (Problem(code, why),), waits=(wait,))
