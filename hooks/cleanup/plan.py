"""What nothing needs any more, and may go.

The invariant
    Nothing goes that anybody could still need: no claim while PD knows a store or member of its ordinal that
    is not final; no Tombstone while a disk that could speak for it is not cleared; no note of the journal
    while its volume exists. The actions are independent: any subset, in any order, cut off anywhere, keeps this.

What goes, and when
    claim       of an ordinal beyond the replicas, `claims.after` after it was first seen unused; PD calls all
                stores of that address Tombstone (or has none), or lists no member of that name; no pod uses it
    tombstones  all at once, as PD only knows it: when no claim or released volume could hold the disk of any of
                them. A record that is gone lets an old id register again, with its stale disk
    scheduler   evict-leader of a retired store; or of any, when a job noted it as its own and that job is gone
    TidbVolume  whose Node has been deleted for longer than `volumes.after`, by this job's own note of when it first
                saw it so; its controller still waits while a claim is bound
    note        in the journal, when no PersistentVolume of that UID exists and a day has passed (maxPerDay counts
                them)
    pod         of a Job, finished for longer than `pods.after`

Deliberately not done: an evict-leader that nobody noted is a person's and stays; nothing in PD is retired or
removed here.
"""

from __future__ import annotations

from hooks.cleanup.actions import Cleaning, cleaning
from hooks.cleanup.model import Claim, Policy, Snapshot
from hooks.engine import Plan, Subject, Wait
from hooks.failover.evidence import clock, ids
from hooks.failover.gates import DAY
from hooks.failover.model import Component, EntryState
from hooks.failover.plan import orphaned_schedulers
from hooks.pd import StoreState

FINAL_FOR_CLAIM = StoreState.TOMBSTONE


def plan(world: Snapshot, policy: Policy) -> Plan[Cleaning]:
    """Same world, same plan."""
    actions: list[Cleaning] = []
    waits: list[Wait] = []
    for claim in world.claims:
        action, wait = claim_step(claim, world, policy)
        actions += [action] if action else []
        waits += [wait] if wait else []
    actions += [*schedulers(world), *volumes(world, policy), *notes(world), *pods(world, policy)]
    holders = tombstone_holders(world)
    if world.pd_known and world.tombstones and not holders:
        why = "no claim and no released volume could hold the disk of any of them"
        subject = Subject("PD", world.release)
        does = f"forget Tombstones {ids(world.tombstones)}"
        actions.append(cleaning("remove-tombstones", subject, does, why))
    elif world.tombstones and holders:
        waits.append(
            Wait(
                code="tombstones-kept",
                subject=Subject("PD", world.release),
                why=f"Tombstones {ids(world.tombstones)} guard against disks that are not cleared: "
                f"{', '.join(holders)}",
                until="these volumes are cleared or gone",
            )
        )
    return Plan(tuple(actions), tuple(waits))


def claim_step(
    claim: Claim, world: Snapshot, policy: Policy
) -> tuple[Cleaning | None, Wait | None]:
    """Note when it was first seen unused, take that back when it is used again, and delete it in the end."""
    subject = Subject("PersistentVolumeClaim", claim.name, world.namespace, claim.uid)
    unused = claim.ordinal >= world.replicas[claim.component] and not claim.used_by
    if not unused:
        if claim.unused_since is None:
            return None, None
        why = (claim.used_by and f"pod {claim.used_by} uses it") or "its ordinal is back"
        return cleaning("note-used", subject, "take back the note that it is unused", why), None
    if claim.deleting:
        return None, None
    beyond = f"ordinal {claim.ordinal} is beyond {world.replicas[claim.component]} replicas and no pod uses it"
    if claim.unused_since is None:
        return cleaning("note-unused", subject, "note when it was first seen unused", beyond), None
    if (owner := still_owned(claim, world)) is not None:
        until = "PD calls it Tombstone, or lists it no longer: retire it, then scale in"
        return None, Wait(
            code="claim-owned", subject=subject, why=f"{beyond}, but {owner}", until=until
        )
    due = claim.unused_since + policy.claims_after
    if world.now < due:
        why = f"{beyond} since {clock(claim.unused_since)}"
        return None, Wait(code="claim-kept", subject=subject, why=why, until=f"it is {clock(due)}")
    why = f"{beyond} since {clock(claim.unused_since)}, and nobody in PD lives there"
    return cleaning(
        "delete-claim", subject, f"delete the claim on volume {claim.volume}", why
    ), None


def still_owned(claim: Claim, world: Snapshot) -> str | None:
    """Who in PD could still need this claim's data; silence counts as yes."""
    if not world.pd_known:
        return "PD does not say who lived there"
    if claim.component is Component.PD:
        return f"PD lists member {claim.pod}" if claim.pod in world.members else None
    living = [
        store
        for store in world.stores
        if store.address == claim.address and store.state is not FINAL_FOR_CLAIM
    ]
    return f"PD calls store {living[0].id} {living[0].state_name}" if living else None


def tombstone_holders(world: Snapshot) -> list[str]:
    """Volumes that could hold a Tombstone's stale disk, by name: its claim while no live store took it over,
    or what its claim left behind. Volumes of Nodes that were deleted for long do not count.
    """
    addresses = {store.address for store in world.stores if store.state is StoreState.TOMBSTONE}
    taken_over = {store.address for store in world.stores if store.state is StoreState.UP}
    claims = [
        claim.volume or claim.name
        for claim in world.claims
        if claim.address in addresses and claim.address not in taken_over
    ]
    names = {claim_name for address in addresses if (claim_name := world.claim_of.get(address))}
    left = [v.name for v in world.released if v.claim in names and not v.gone_for_good]
    return sorted({*claims, *left})


def schedulers(world: Snapshot) -> list[Cleaning]:
    """evict-leader schedulers of stores that are retired, and those a job noted as its own and did not live to
    delete.
    """
    found = []
    for store_id in orphaned_schedulers(world.stores, world.evicting):
        why = "the store is retired, and leaders are still kept away from it"
        found.append((store_id, why))
    for store_id, holder in sorted(world.evicted_by.items()):
        if (
            store_id in world.evicting
            and holder != world.lease_holder
            and store_id not in dict(found)
        ):
            found.append((store_id, f"{holder} added it and is gone"))
    return [
        cleaning(
            "stop-evicting",
            Subject("Store", str(store_id)),
            "delete its evict-leader scheduler",
            why,
        )
        for store_id, why in found
    ]


def volumes(world: Snapshot, policy: Policy) -> list[Cleaning]:
    """TidbVolumes of Nodes that were deleted for long: first a note of when that was seen, then the end."""
    steps = []
    for volume in world.lost:
        subject = Subject("TidbVolume", volume.name, "", volume.uid)
        if not volume.lost:
            if volume.lost_since is not None:
                why = f"its phase is {volume.phase}"
                steps.append(
                    cleaning("note-found", subject, "take back the note that its Node is gone", why)
                )
        elif volume.lost_since is None:
            why = f"Node {volume.node} no longer exists"
            steps.append(
                cleaning("note-lost", subject, "note when its Node was first seen gone", why)
            )
        elif world.now >= volume.lost_since + policy.volumes_after:
            why = f"Node {volume.node} has been gone since {clock(volume.lost_since)}"
            steps.append(cleaning("delete-volume", subject, "delete the record of its disk", why))
    return steps


def notes(world: Snapshot) -> list[Cleaning]:
    """Notes of the journal whose volume is no more. A note that is not final stays: it says that something is
    unfinished.
    """
    return [
        cleaning(
            "forget-note",
            Subject("PersistentVolume", entry.volume, "", entry.volume_uid),
            "remove its note from the journal",
            f"{entry.owner} is {entry.state.value}, and the volume no longer exists",
        )
        for entry in world.entries
        if entry.state is not EntryState.RETIRING
        and entry.volume_uid not in world.volume_uids
        and world.now - entry.at >= DAY
    ]


def pods(world: Snapshot, policy: Policy) -> list[Cleaning]:
    return [
        cleaning(
            "delete-pod",
            Subject("Pod", pod.name, world.namespace, pod.uid),
            "delete the finished pod of a Job",
            f"it {pod.phase.lower()} at {clock(pod.finished)}",
        )
        for pod in world.finished
        if world.now - pod.finished >= policy.pods_after
    ]
