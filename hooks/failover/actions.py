"""What the failover job may do: eight actions, each with all that its performer must find unchanged.

An action names its object by what cannot come back: a UID, a store id, a member id. The other fields are what
the plan saw; apply.py reads them again just before the write, and a difference means "look again", never "do
it anyway".
"""

from __future__ import annotations

from dataclasses import dataclass

from hooks.engine import Action, Subject
from hooks.failover.model import Claim, Entry, EntryState, PdView, Pod, Slot, Volume
from hooks.pd import Member, Store


@dataclass(frozen=True, kw_only=True)
class Mark(Action):
    """Write down, before anything is changed, whose data this volume holds.

    RETIRING when PD is still to be told; a final state when PD had let go of the owner before (by a person's hand).
    """

    claim: str
    volume: str
    volume_uid: str
    owner: str
    cluster: int
    state: EntryState


@dataclass(frozen=True, kw_only=True)
class Settle(Action):
    """Write PD's last word into the journal: from now on nobody can need the volume's data."""

    entry: Entry
    state: EntryState


@dataclass(frozen=True, kw_only=True)
class Forget(Action):
    """Take back a mark whose owner is well again before PD was told anything."""

    entry: Entry


@dataclass(frozen=True, kw_only=True)
class RetireStore(Action):
    """DELETE the store in PD; with `force` it cannot be undone. A heartbeat after `heartbeat_ns` stops it."""

    store: int
    force: bool
    leader: int
    heartbeat_ns: int


@dataclass(frozen=True, kw_only=True)
class RemoveMember(Action):
    """DELETE the member in PD by its id, so that one which joined anew under the name is never hit."""

    member: int
    name: str
    leader: int


@dataclass(frozen=True, kw_only=True)
class DeleteClaim(Action):
    """Delete the claim of a vacant place: this UID, while it is bound to this volume and PD knows nobody who
    lives there.
    """

    slot: Slot
    claim_uid: str
    volume_uid: str


@dataclass(frozen=True, kw_only=True)
class DeletePod(Action):
    """Delete the pod of a vacant place (or, with a volume that can move, of a fenced node).

    `force` skips the kubelet's word: only where its node is lost. `claim_uid`: the claim that has to be going, or
    to have no volume, as it was in `slot`; "" for none.
    """

    slot: Slot
    pod_uid: str
    claim_uid: str
    node: str
    force: bool


@dataclass(frozen=True, kw_only=True)
class StopEvicting(Action):
    """Delete the evict-leader scheduler of a store that is retired."""

    store: int


@dataclass(frozen=True, kw_only=True)
class NoteHomes(Action):
    """Write down who is well on which volume, for the day when a claim is another one than its owner's."""

    homes: tuple[tuple[str, str], ...]


Step = (
    NoteHomes
    | Mark
    | Settle
    | Forget
    | RetireStore
    | RemoveMember
    | DeleteClaim
    | DeletePod
    | StopEvicting
)


def note_homes(homes: dict[str, str], release: str, namespace: str) -> NoteHomes:
    return NoteHomes(
        code="note-homes",
        subject=Subject("ConfigMap", f"{release}-failover", namespace),
        does="note who lives on which volume",
        why=f"{len(homes)} stores and members are known by their volumes, and the last note differs",
        homes=tuple(sorted(homes.items())),
    )


def mark(slot: Slot, claim: Claim, volume: Volume, owner: str, view: PdView, state: EntryState,
         why: str, namespace: str) -> Mark:  # fmt: skip
    return Mark(
        code="mark",
        subject=Subject("PersistentVolumeClaim", claim.name, namespace, claim.uid),
        does=f"note that {owner} ({slot.name}) is leaving volume {volume.name}",
        why=why,
        claim=claim.name,
        volume=volume.name,
        volume_uid=volume.uid,
        owner=owner,
        cluster=view.cluster_id,
        state=state,
    )


def settle(entry: Entry, state: EntryState, namespace: str) -> Settle:
    return Settle(
        code="settle",
        subject=Subject("PersistentVolumeClaim", entry.claim, namespace),
        does=f"note that nobody needs volume {entry.volume} any more",
        why=f"PD says that {entry.owner} is {state.value}",
        entry=entry,
        state=state,
    )


def forget(entry: Entry, namespace: str) -> Forget:
    return Forget(
        code="forget",
        subject=Subject("PersistentVolumeClaim", entry.claim, namespace),
        does=f"take back the note about volume {entry.volume}",
        why=f"{entry.owner} is well again and PD was never told to let it go",
        entry=entry,
    )


def retire_store(store: Store, force: bool, leader: int, why: str) -> RetireStore:
    how = "as physically destroyed (this cannot be undone)" if force else "as Offline"
    return RetireStore(
        code="retire-store",
        subject=Subject("Store", str(store.id)),
        does=f"retire {store.address} in PD {how}",
        why=why,
        store=store.id,
        force=force,
        leader=leader,
        heartbeat_ns=store.last_heartbeat_ns,
    )


def remove_member(member: Member, leader: int, why: str) -> RemoveMember:
    return RemoveMember(
        code="remove-member",
        subject=Subject("Member", member.name or str(member.id)),
        does=f"remove member {member.id} from PD",
        why=why,
        member=member.id,
        name=member.name,
        leader=leader,
    )


def delete_claim(slot: Slot, claim: Claim, volume: Volume, why: str, namespace: str) -> DeleteClaim:
    return DeleteClaim(
        code="delete-claim",
        subject=Subject("PersistentVolumeClaim", claim.name, namespace, claim.uid),
        does=f"delete the claim on volume {volume.name}",
        why=why,
        slot=slot,
        claim_uid=claim.uid,
        volume_uid=volume.uid,
    )


def delete_pod(slot: Slot, pod: Pod, force: bool, why: str, namespace: str) -> DeletePod:
    claim = slot.claim
    unfit = claim is not None and (claim.deleting or claim.volume is None)
    return DeletePod(
        code="delete-pod",
        subject=Subject("Pod", pod.name, namespace, pod.uid),
        does="delete the pod by force" if force else "delete the pod",
        why=why,
        slot=slot,
        pod_uid=pod.uid,
        claim_uid=claim.uid if claim is not None and unfit else "",
        node=pod.node,
        force=force,
    )


def stop_evicting(store_id: int) -> StopEvicting:
    return StopEvicting(
        code="stop-evicting",
        subject=Subject("Store", str(store_id)),
        does="delete its evict-leader scheduler",
        why="the store is retired, and leaders are still kept away from it",
        store=store_id,
    )
