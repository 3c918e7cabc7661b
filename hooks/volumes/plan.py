"""What to do about one volume, from what is seen of it.

Invariants
1. One identity has at most one PV that Kubernetes may bind. A PV is created only when none of an earlier generation is
   left, on the one node that reports the disk, for a folder that exists.
2. A PV that is bound, or reserved for a claim, is never deleted; one that ever was bound is deleted only on the way
   to a wipe that was permitted, or when a person deletes the TidbVolume of a disk that is gone.
3. Nothing asks for a wipe but `spec.wipe`, and only wiping.py proposes it (its docstring has the conditions).
4. What is not known changes nothing: a node without a good inventory neither offers nor withdraws.

One step a plan, or else the status when it differs: the next step is decided after looking again, so each may be
cut off anywhere. Every write carries the UID and resourceVersion it was decided on.

Deliberately not done: a folder of a generation that had a PV is never made anew (a database would start empty); a PV
is never changed (path, node and class are its identity for Kubernetes: it is withdrawn and a new generation made);
nothing follows from the age of an inventory.
"""

from __future__ import annotations

from hooks.engine import Plan, Refusal, Subject, Wait
from hooks.volumes import leftovers, problems, status, steps, wiping
from hooks.volumes.actions import CreatePv, CreateVolume, VolumeAction, WriteStatus
from hooks.volumes.finding import Finding, subject
from hooks.volumes.model import Disk, Policy, Problem, Pv, View, Volume
from hooks.volumes.place import Place, locate
from schema import names


def plan(view: View, policy: Policy) -> Plan[VolumeAction]:
    """Pure. At most one action; waits and refusals say what the status says."""
    if foreign := policy.foreign(view.managers):
        # Two that both manage the cluster's disks: this one does nothing at all, to no disk.
        return Plan(refusals=(_foreign_manager(view, foreign[0], policy),))
    volume = view.volume
    if volume is None:
        return _new(view)
    place = locate(view, volume)
    finding = _decide(view, volume, place, policy)
    refusals = finding.refusals + leftovers.collisions(view, volume)
    step = finding.step
    if step is None and not finding.silent:
        step = _show(view, volume, place, finding)
    return Plan((step,) if step is not None else (), finding.waits, refusals)


def _show(view: View, volume: Volume, place: Place, finding: Finding) -> WriteStatus | None:
    """The status, when it differs from the one that is stored."""
    patch = status.patch(view, volume, place.disk, finding)
    if not patch:
        return None
    return WriteStatus(
        code="write-status",
        subject=subject(volume.name),
        does=f"show it as {finding.phase}",
        why=finding.message or "that is what is seen",
        volume=volume.name,
        volume_uid=volume.uid,
        volume_version=volume.version,
        patch=patch,
        phase=finding.phase,
        lazy=finding.phase == "Pending" and volume.phase == "",
    )


def _new(view: View) -> Plan[VolumeAction]:
    """A TidbVolume for a disk that is mounted below the root and steady, or for a PV whose TidbVolume was removed."""
    seen = [d for d in view.disks if d.path and d.identity and d.steady and d.node in view.nodes]
    identity = min(
        [d.identity for d in seen] + [p.identity for p in view.pvs if p.identity], default=""
    )
    if not identity:
        return Plan(waits=_unsteady(view))
    # After a TidbVolume was lost, disks and PVs remember how far the generations had come.
    generations = [1] + [p.generation for p in view.pvs]
    for disk in seen:
        if disk.identity == identity and disk.marker and disk.marker.volume == view.name:
            generations.append(disk.marker.generation)
        generations += [g for f in disk.folders if (g := _generation(view.name, f))]
    nodes = ", ".join(sorted({f"{d.node}:{d.path}" for d in seen if d.identity == identity}))
    return Plan(
        (
            CreateVolume(
                code="create-volume",
                subject=subject(view.name),
                does=f"list disk {identity} as a TidbVolume",
                why=f"it is at {nodes}" if nodes else "a PV of it exists",
                volume=view.name,
                identity=identity,
                generation=max(generations),
            ),
        )
    )


def _unsteady(view: View) -> tuple[Wait, ...]:
    """Disks that may become volumes in a moment."""
    soon = sorted(
        f"{d.node}:{d.path}"
        for d in view.disks
        if d.path and d.identity and not d.steady and d.node in view.nodes
    )
    why = f"{', '.join(soon)} is not steady yet"
    wait = Wait(
        code="not-steady",
        subject=subject(view.name),
        why=why,
        until="it was seen unchanged for a while",
    )
    return (wait,) if soon else ()


def _generation(volume: str, folder: str) -> int:
    """3 of `tv-…-g3`; 0 for a folder of another volume."""
    prefix, _, number = folder.rpartition("-g")
    return int(number) if prefix == volume and number.isdigit() else 0


def _decide(view: View, volume: Volume, place: Place, policy: Policy) -> Finding:
    """Which of the few situations this is; each is a function below or in wiping.py."""
    pv = next((p for p in view.pvs if p.generation == volume.generation), None)
    older = [p for p in view.pvs if p.generation < volume.generation]
    newer = [p for p in view.pvs if p.generation > volume.generation]
    if newer:
        return leftovers.newer(volume, newer[0])
    if older:
        return leftovers.older(volume, older[0])
    if volume.deleting:
        return leftovers.deleting(volume, pv, place)
    if volume.grant is not None:
        return wiping.under_way(volume, volume.grant, pv, place.kind, place.disk, place.why)
    if pv is None:
        return _without_pv(view, volume, place, policy)
    if pv.bound:
        return _bound(view, volume, pv, place)
    if pv.released:
        return wiping.released(view, volume, pv, place.kind, place.disk, place.why, policy)
    return _available(view, volume, pv, place, policy)


# --- with a PV ---
def _bound(view: View, volume: Volume, pv: Pv, place: Place) -> Finding:
    """In use: nothing is done to it, whatever is wrong; what makes the data unreachable is Failed or Lost."""
    reasons: list[Problem] = []
    phase = "Bound"
    if place.kind == "lost":
        phase, reasons = "Lost", [Problem("node-gone", place.why)]
    elif place.kind == "missing":
        phase, reasons = "Failed", [Problem("disk-missing", place.why)]
    elif place.kind == "twice":
        reasons = [Problem("duplicate-identity", place.why)]
    elif place.disk is not None:
        disk = place.disk
        reasons = list(disk.problems)
        wrong = [Problem(p.code, p.message) for p in problems.fatal(disk)] + _moved(view, pv, disk)
        if wrong:
            phase = "Failed"
        reasons = sorted({*reasons, *wrong}, key=lambda p: (p.code, p.message))
    if pv.deleting:
        reasons.append(
            Problem(
                "pv-deleting",
                f"PV {pv.name} was deleted by hand; it stays until its claim is gone and it is wiped",
            )
        )
    if volume.word:
        return Finding(
            phase,
            tuple(reasons),
            step=steps.refuse_word(volume, f"it is bound to {pv.claim and pv.claim.name}"),
        )
    return Finding(phase, tuple(reasons))


def _moved(view: View, pv: Pv, disk: Disk) -> list[Problem]:
    """What makes the PV's path lead nowhere: only a steady look counts."""
    if not disk.steady:
        return []
    found = []
    node = view.nodes[disk.node]
    wanted = f"{disk.path}/{pv.name}"
    if pv.hostname != node.hostname:
        found.append(
            Problem(
                "moved",
                f"the disk is in node {disk.node} (hostname {node.hostname or 'none'}) now, "
                f"PV {pv.name} is tied to hostname {pv.hostname}: bring it back, or give the claim up",
            )
        )
    elif pv.path != wanted:
        found.append(
            Problem(
                "moved",
                f"the disk is mounted at {disk.path or 'no path'} now, PV {pv.name} has {pv.path}: mount it there",
            )
        )
    elif pv.name not in disk.folders:
        found.append(Problem("folder-missing", f"{wanted} is not on the disk any more"))
    return found


def _available(view: View, volume: Volume, pv: Pv, place: Place, policy: Policy) -> Finding:
    """Offered, never bound in this generation, unless a person cut the claimRef."""
    if volume.used:
        why = f"the claimRef of PV {pv.name} was removed by hand: whoever binds it gets the data that is there"
        return Finding("Available", (Problem("claim-ref-removed", why),))
    if volume.recorded_pv != pv.uid:
        # Recorded before anything else: only so can a PV that vanishes be told from one that never was.
        return Finding("Available", ())
    if pv.deleting:
        return steps.let_go(volume, pv, "pv-deleting", "it was never used and is being deleted")
    if volume.word:
        return Finding(
            "Available", step=steps.refuse_word(volume, "it is free: there is nothing to clear")
        )
    phase, reasons = _not_to_offer(view, pv, place, policy)
    if not reasons:
        return Finding("Available")
    does, why = "withdraw it, which nobody has used", problems.sentence(reasons)
    step = steps.delete_pv(volume, pv, "withdraw-pv", does, why)
    return Finding(phase, reasons, step=step)


def _not_to_offer(
    view: View, pv: Pv, place: Place, policy: Policy
) -> tuple[str, tuple[Problem, ...]]:
    """The phase and reasons for which an unused PV must not stay on offer; no reasons when it may, or can't be
    judged.
    """
    if place.kind == "lost":
        return "Lost", (Problem("node-gone", place.why),)
    if place.kind == "missing":
        return "Failed", (Problem("disk-missing", place.why),)
    if place.kind == "twice":
        return "Refused", (Problem("duplicate-identity", place.why),)
    disk = place.disk
    if disk is None or not disk.steady:
        return "Available", ()
    wrong = problems.forbids_offer(disk, sharing=bool(policy.shared_class)) + tuple(
        _moved(view, pv, disk)
    )
    wanted = storage_class(disk, policy)
    if not wrong and pv.storage_class != wanted:
        wrong = (
            Problem(
                "storage-class", f"PV {pv.name} has class {pv.storage_class}, values say {wanted}"
            ),
        )
    return "Refused", wrong


# --- without a PV ---
def _without_pv(view: View, volume: Volume, place: Place, policy: Policy) -> Finding:
    """Not offered: because the disk can't be, or because something has to happen first."""
    if volume.recorded_pv:
        if volume.used:
            return wiping.orphan(
                volume, place.disk, volume.recorded_pv, "its PV was removed by force"
            )
        return Finding(
            "Pending",
            step=steps.next_generation(
                volume, volume.generation + 1, "its PV is gone and was never used"
            ),
        )
    if place.kind == "lost":
        return Finding("Lost", (Problem("node-gone", place.why),))
    if place.kind == "missing":
        return Finding("Failed", (Problem("disk-missing", place.why),))
    if place.kind == "twice":
        reason = Problem("duplicate-identity", place.why)
        remedy = "give one of the disks another identity (a cloned disk: new file-system UUID), or take one out"
        return Finding("Refused", (reason,), refusals=(steps.refusal(volume, reason, remedy),))
    disk = place.disk
    if disk is None:
        return Finding(volume.phase or "Pending", silent=True)
    marker = disk.marker
    folder = names.folder_name(volume.name, volume.generation)
    if marker is not None and marker.volume == volume.name and disk.steady:
        if marker.generation > volume.generation:
            why = f"the disk's marker is of generation {marker.generation} already"
            return Finding("Pending", step=steps.next_generation(volume, marker.generation, why))
        if marker.generation == volume.generation and marker.pv_uid:
            if folder in disk.folders and folder not in disk.empty:
                return wiping.orphan(
                    volume, disk, marker.pv_uid, "it holds the data of a PV that is gone"
                )
            why = f"PV {marker.pv_uid} of this generation is gone and left nothing behind"
            return Finding(
                "Pending", step=steps.next_generation(volume, volume.generation + 1, why)
            )
        report = disk.wipe
        if report and report.state == "Done" and report.generation == volume.generation:
            # The TidbVolume was lost between the wipe and the next generation: its success counts for no later word.
            why = f"generation {volume.generation} was cleared already"
            return Finding(
                "Pending", step=steps.next_generation(volume, volume.generation + 1, why)
            )
    return _to_offer(view, volume, disk, folder, policy)


def _to_offer(view: View, volume: Volume, disk: Disk, folder: str, policy: Policy) -> Finding:
    wrong = problems.forbids_offer(disk, sharing=bool(policy.shared_class))
    if wrong and disk.steady:
        if volume.word:
            return wiping.by_word(volume, disk, wrong)
        return Finding(
            "Refused",
            wrong,
            refusals=tuple(steps.refusal(volume, p, _remedy(volume, p)) for p in wrong),
        )
    if volume.word:
        return Finding("Pending", step=steps.refuse_word(volume, "there is nothing to clear"))
    if not disk.steady:
        return steps.pending(
            volume,
            "not-steady",
            f"{disk.node}:{disk.path} is not steady yet",
            "it was seen unchanged for a while",
        )
    node = view.nodes[disk.node]
    if not node.hostname:
        reason = Problem(
            "no-hostname",
            f"Node {node.name} has no label kubernetes.io/hostname, which a local PV needs",
        )
        remedy = f"kubectl label node {node.name} kubernetes.io/hostname={node.name}"
        return Finding("Refused", (reason,), refusals=(steps.refusal(volume, reason, remedy),))
    if folder not in disk.folders:
        return steps.pending(
            volume,
            "folder",
            f"{disk.path}/{folder} is not there yet",
            f"the agent on {disk.node} has made it",
        )
    step = CreatePv(
        code="create-pv",
        subject=Subject("PersistentVolume", folder),
        does=f"offer {disk.path} on {disk.node} ({status.size(disk.capacity_bytes)})",
        why="the disk is free, steady and without problems",
        volume=volume.name,
        volume_uid=volume.uid,
        identity=volume.identity,
        generation=volume.generation,
        hostname=node.hostname,
        path=f"{disk.path}/{folder}",
        fs_type=disk.fs_type,
        capacity_bytes=disk.capacity_bytes,
        storage_class=storage_class(disk, policy),
    )
    return Finding("Pending", step=step)


def storage_class(disk: Disk, policy: Policy) -> str:
    shares = any(p.code == problems.SHARING for p in disk.problems)
    return policy.shared_class if shares and policy.shared_class else policy.storage_class


def _remedy(volume: Volume, problem: Problem) -> str:
    if problem.code == "dirty":
        return (
            "move the files away; or, to delete them and everything else on this disk: "
            f"kubectl annotate tv {volume.name} {names.WIPE_ANNOTATION}=everything"
        )
    return "mend what the message says; the agent looks again by itself"


def _foreign_manager(view: View, manager: str, policy: Policy) -> Refusal:
    return Refusal(
        code="other-manager",
        subject=subject(view.name),
        why=f"{manager} manages this cluster's disks, not {policy.manager}",
        remedy=(
            "set disks.enabled=false in this release, and use the other's StorageClass; "
            f"if that release is gone for good: disks.takeOver={manager}"
        ),
    )
