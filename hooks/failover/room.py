"""Is there a place for the replacement? Node by node, so that the answer "no" says what to do about it."""

from __future__ import annotations

from hooks.failover.evidence import clock
from hooks.failover.model import Claim, Component, Disk, Node, Slot, Snapshot


def free_disk(slot: Slot, world: Snapshot) -> tuple[Disk | None, tuple[str, ...]]:
    """A disk that the new pod of this ordinal could bind, else None and one reason a node (`n2: …`), in order
    of names.

    It judges what the scheduler will: free volumes of the claim's class and size, on a Ready Node that takes
    pods, one pod of the component a node where anti-affinity is required. The choice stays the scheduler's.
    """
    claim = slot.claim
    reasons = []
    for name in sorted(world.nodes):
        node = world.nodes[name]
        disks = sorted(
            (disk for disk in world.disks if disk.hostname == node.hostname),
            key=lambda disk: (disk.capacity_bytes, disk.volume),
        )
        fitting = [disk for disk in disks if _fits(disk, claim)]
        why = _closed(node, slot, world) or _none_fits(disks, fitting, claim)
        if not why:
            return fitting[0], ()
        reasons.append(f"{name}: {why}")
    return None, tuple(reasons)


def _fits(disk: Disk, claim: Claim | None) -> bool:
    return claim is None or (
        disk.storage_class == claim.storage_class and disk.capacity_bytes >= claim.request_bytes
    )


def _closed(node: Node, slot: Slot, world: Snapshot) -> str:
    """Why no new pod of this ordinal may start on this node; "" when one may."""
    if not node.ready:
        return f"NotReady since {clock(node.ready_since)}"
    if node.out_of_service:
        return "out of service"
    if why := node.unschedulable.get(slot.component, ""):
        return why
    holder = world.busy.get((slot.component, node.name), "")
    if holder and holder != slot.name and not world.spread.get(slot.component, True):
        return f"carries {holder}, and {_word(slot.component)} pods keep one a node"
    return ""


def _none_fits(disks: list[Disk], fitting: list[Disk], claim: Claim | None) -> str:
    if fitting:
        return ""
    if not disks or claim is None:
        return "no free disk"
    of_class = [disk for disk in disks if disk.storage_class == claim.storage_class]
    if not of_class:
        return f"its free disks are not of class {claim.storage_class}"
    largest = max(disk.capacity_bytes for disk in of_class)
    return f"its largest free disk has {largest} bytes, the claim asks for {claim.request_bytes}"


def _word(component: Component) -> str:
    return {Component.PD: "PD", Component.TIKV: "TiKV"}[component]
