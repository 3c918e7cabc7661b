"""The next step about PD's members: half-joined, removed and not back, or silent. The order and the reasons
are plan.py's.
"""

from __future__ import annotations

from collections.abc import Sequence

from hooks.engine import Plan, Subject
from hooks.failover import advice
from hooks.failover.actions import Step, remove_member
from hooks.failover.evidence import Lost, NotLost, kubernetes_loss, silent_member
from hooks.failover.gates import closed_for_member, members_keep_majority
from hooks.failover.model import Component, PdView, Policy, Slot, Snapshot, member_owner
from hooks.failover.places import (
    abandon,
    await_disk,
    await_pod,
    begun,
    both,
    network_step,
    note_owner,
    on_network,
    vacate,
    wait,
)
from hooks.pd import Member


def members_step(world: Snapshot, view: PdView, policy: Policy) -> Plan[Step]:
    """A half-joined member blocks every join, so it goes first; then a removed one's place; then one that is
    silent.
    """
    half_joined = [member for member in view.members if not member.name]
    silent = [member for member in view.members if member.name and member.id not in view.healthy]
    missing = missing_members(world, view)
    places = both(*(member_place(slot, world, view, policy) for slot in missing))
    if len(half_joined) + len(silent) > 1:
        return several_members([*half_joined, *silent], world, view, policy)
    if half_joined:
        return half_joined_member(half_joined[0], world, view, policy)
    if not silent or begun(missing, world, view):
        return places
    return both(places, silent_member_step(silent[0], world, view, policy))


def missing_members(world: Snapshot, view: PdView) -> list[Slot]:
    """Ordinals that PD does not list: removed and not yet back, or never joined."""
    names = {member.name for member in view.members}
    return [s for s in world.slots if s.component is Component.PD and s.name not in names]


def several_members(
    members: Sequence[Member], world: Snapshot, view: PdView, policy: Policy
) -> Plan[Step]:
    """More than one is away: a restart or election settles itself, two readings that agree are for a person."""
    if all(silent_member(one, world, view, policy, alone=False) is None for one in members):
        return Plan(refusals=(advice.members_lost(members, view, world),))
    return wait(
        "members-away",
        Subject("PD", world.release),
        f"{len(members)} of {len(view.members)} members do not answer",
        "all but one are healthy again",
    )


def half_joined_member(member: Member, world: Snapshot, view: PdView, policy: Policy) -> Plan[Step]:
    """A member that was added and never came up, for longer than a join takes: removed by its id, since it has
    no name.
    """
    subject = Subject("Member", str(member.id))
    word = silent_member(member, world, view, policy)
    if word is not None:
        return wait(word.code, subject, f"it has no name yet: {word.words}", word.ends)
    if (refusal := members_keep_majority(member, world, view)) is not None:
        return Plan(refusals=(refusal,))
    why = "it was added and never came up, and blocks every other join"
    return Plan(actions=(remove_member(member, view.leader.id, why),))


def silent_member_step(member: Member, world: Snapshot, view: PdView, policy: Policy) -> Plan[Step]:
    """Confirm, ask the gates, note, remove."""
    subject = Subject("Member", member.name)
    slot = next((s for s in world.slots if s.name == member.name), None)
    if slot is None:
        return Plan(refusals=(advice.foreign_member(member, world),))
    if on_network(slot):
        return network_step(slot, subject, world, policy)
    owner = member_owner(member.id)
    loss = kubernetes_loss(slot, world, policy, owner)
    if isinstance(loss, NotLost):
        return wait(loss.code, subject, f"it does not answer, but {loss.words}", loss.ends)
    word = silent_member(member, world, view, policy)
    if word is not None:
        return wait(word.code, subject, f"{loss.words}, but {word.words}", word.ends)
    closed = closed_for_member(member, slot, world, view, policy)
    if closed.waits or closed.refusals:
        return closed
    why = f"{loss.words}, and PD has no answer from it in two readings; {len(view.healthy)} other members are healthy"
    noted = note_owner(slot, owner, why, world, view)
    return noted or Plan(actions=(remove_member(member, view.leader.id, why),))


def member_place(slot: Slot, world: Snapshot, view: PdView, policy: Policy) -> Plan[Step]:
    """PD does not list this ordinal: empty its place, or wait for its pod to join."""
    subject = Subject("Pod", slot.name, world.namespace)
    claim = slot.claim
    if claim is None or claim.volume is None:
        return await_disk(slot, "PD lists it as a healthy member", world, policy, subject)
    entry = world.entry(claim.volume)
    if (entry is not None and entry.final) or claim.deleting:
        owner = (
            f"{entry.owner} is {entry.state.value}" if entry else f"PD does not list {slot.name}"
        )
        return vacate(slot, claim, claim.volume, owner, world, policy)
    loss = kubernetes_loss(slot, world, policy)
    if isinstance(loss, Lost) and entry is None:
        if on_network(slot):
            return network_step(slot, subject, world, policy)
        # PD's members hold one and the same content: a disk whose name a healthy group does not list has
        # nothing of its own.
        if len(view.healthy) == len(view.members):
            why = f"{loss.words}, and PD, with all its members healthy, does not list {slot.name}"
            return abandon(slot, claim, claim.volume, loss, why, world, policy)
    elif slot.pod is not None and world.now - slot.pod.created > policy.pd_after:
        return Plan(refusals=(advice.unlisted_member(slot, world),))
    return await_pod(slot, "PD lists it as a healthy member", subject)
