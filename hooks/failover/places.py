"""A place and who fills it: noting its owner, emptying it, moving it, waiting for the next one. The same for
PD and TiKV.

Pure, as plan.py, which decides *when*; here stands *how*, one step at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from hooks.engine import Plan, Subject, Wait
from hooks.failover import advice
from hooks.failover.actions import Step, delete_claim, delete_pod, mark
from hooks.failover.evidence import Lost, NotLost, kubernetes_loss, out_of_reach, pod_node
from hooks.failover.gates import reasons, room_for
from hooks.failover.model import Claim, EntryState, PdView, Pod, Policy, Slot, Snapshot, Volume


def begun(places: Sequence[Slot], world: Snapshot, view: PdView) -> list[Slot]:
    """Those of the vacant places that a replacement has emptied, told from those that were never filled (a
    scale-out).
    """
    noted = {entry.claim for entry in world.entries}
    left = {store.address for store in view.stores if store.retired}
    return [slot for slot in places if slot.claim_name in noted or slot.address in left]


def note_owner(
    slot: Slot, owner: str, why: str, world: Snapshot, view: PdView
) -> Plan[Step] | None:
    """The note that comes before the deed; None when it is there, or when this is not its volume."""
    claim = slot.claim
    if (
        claim is None
        or claim.volume is None
        or world.homes.get(owner, claim.volume.name) != claim.volume.name
    ):
        return None
    entry = world.entry(claim.volume)
    if entry is None:
        state = EntryState.RETIRING
        noted = mark(slot, claim, claim.volume, owner, view, state, why, world.namespace)
        return Plan(actions=(noted,))
    if entry.owner != owner:
        return Plan(refusals=(advice.two_owners(slot, owner, entry.owner, world),))
    return None


def vacate(
    slot: Slot, claim: Claim, volume: Volume, why: str, world: Snapshot, policy: Policy
) -> Plan[Step]:
    """Empty a place whose owner is final in PD: the claim goes, then the pod that holds it."""
    if not claim.deleting:
        return Plan(actions=(delete_claim(slot, claim, volume, why, world.namespace),))
    pod = slot.pod
    if pod is None or not pod.node:
        subject = Subject("PersistentVolumeClaim", claim.name, world.namespace)
        return wait("claim-deleting", subject, "it is being deleted", "Kubernetes has deleted it")
    loss = kubernetes_loss(slot, world, policy)
    return stop(slot, pod, isinstance(loss, Lost) and loss.node_lost, why, world)


def stop(slot: Slot, pod: Pod, force: bool, why: str, world: Snapshot) -> Plan[Step]:
    """Delete a scheduled pod; without force, the kubelet has to confirm that it stopped."""
    if pod.deleting and not force:
        subject = Subject("Pod", pod.name, world.namespace)
        return wait("pod-stopping", subject, f"it is stopping on Node {pod.node}", "it is gone")
    return Plan(actions=(delete_pod(slot, pod, force, why, world.namespace),))


def abandon(
    slot: Slot, claim: Claim, volume: Volume, loss: Lost, why: str, world: Snapshot, policy: Policy
) -> Plan[Step]:
    """Empty a place whose disk never had an owner in PD, or none that PD remembers.

    On a lost node the pod goes first: should the node come back before the claim is deleted, the pod starts
    there again and nothing has happened. On a living node it would start there again at once, so there the
    claim goes first. No note is made: the disk is cleared after `disks.wipe.after`.
    """
    pod = slot.pod
    if loss.node_lost and not claim.deleting and pod is not None and pod.node:
        return Plan(actions=(delete_pod(slot, pod, True, why, world.namespace),))
    return vacate(slot, claim, volume, why, world, policy)


def on_network(slot: Slot) -> bool:
    """Whether its data lies on a volume that is tied to no node."""
    volume = slot.claim.volume if slot.claim else None
    return volume is not None and not volume.local


def network_step(slot: Slot, subject: Subject, world: Snapshot, policy: Policy) -> Plan[Step]:
    """A volume that can move is never replaced: its pod moves with it, once the old node is fenced."""
    claim, pod = slot.claim, slot.pod
    loss = kubernetes_loss(slot, world, policy)
    if isinstance(loss, NotLost):
        return wait(loss.code, subject, f"it does not answer, but {loss.words}", loss.ends)
    if pod is None or not pod.node:
        return await_pod(slot, "it runs elsewhere with its volume", subject)
    if not loss.fenced and claim is not None and claim.volume is not None:
        return Plan(refusals=(advice.not_fenced(slot, claim.volume, pod.node, subject),))
    return Plan(
        actions=(
            delete_pod(slot, pod, True, f"{loss.words}: its volume can move", world.namespace),
        )
    )


def await_disk(
    slot: Slot, until: str, world: Snapshot, policy: Policy, subject: Subject
) -> Plan[Step]:
    """A place without a volume: wait until its new pod has one; where no disk is free, say why, node by node.

    A volume is found while a pod is scheduled, never after. A pod that has a node and a claim without a volume was
    scheduled by the claim before this one, in the moment that it went: it waits for ever, and has never run.
    """
    pod, claim = slot.pod, slot.claim
    if pod is None or not pod.node:
        closed = room_for(slot, world, subject)
        return reasons(closed) if closed is not None else await_pod(slot, until, subject)
    if claim is None:
        return await_pod(slot, until, subject)
    why = f"it was scheduled to Node {pod.node} without a volume, and will get none there"
    return stop(slot, pod, out_of_reach(pod_node(slot, world), slot, world, policy), why, world)


def await_pod(slot: Slot, until: str, subject: Subject) -> Plan[Step]:
    """Nothing to do but wait for the new pod."""
    pod = slot.pod
    where = f"runs on Node {pod.node}" if pod is not None and pod.node else "is not scheduled yet"
    return wait("pod-coming-up", subject, f"the new pod {where}", until)


def wait(code: str, subject: Subject, why: str, until: str) -> Plan[Step]:
    return Plan(waits=(Wait(code=code, subject=subject, why=why, until=until),))


def both(*plans: Plan[Step]) -> Plan[Step]:
    return Plan(
        actions=tuple(a for p in plans for a in p.actions),
        waits=tuple(w for p in plans for w in p.waits),
        refusals=tuple(r for p in plans for r in p.refusals),
    )
