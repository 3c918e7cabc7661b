"""What is wrong with each disk, in words: from a `Snapshot` to the entries of the inventory. Pure.

Doubt counts as a problem: what could not be examined is not offered. A problem here never deletes anything; the table
of what follows from each code is the volume controller's.

Deliberately not done: no verdict from SMART or from SCSI error counters (drives count harmless events there), and no
opening of raw devices (that takes rights which an agent on every node should not have).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hooks.disks import identity
from hooks.disks.inventory import MIB, Entry, Problem, size
from hooks.disks.mountinfo import Mount
from hooks.disks.observe import Candidate, OtherDisk, Snapshot
from hooks.disks.requests import Request

# Checked against: the failure of a disk shows as one of these states, the others pass by themselves.
_FAILED_STATES = frozenset(
    {"offline", "transport-offline", "cancel", "deleted", "deleting", "dead"}
)
# TiKV is tested on these; both keep their word about fsync.
_FILE_SYSTEMS = ("ext4", "xfs")
_NAMED = 5


@dataclass(frozen=True)
class Policy:
    """What the chart's values say about disks."""

    min_size_bytes: int = 0
    steady_seconds: float = 2.0
    """How long a disk must look the same (steady.py)."""


def judge(snapshot: Snapshot, policy: Policy, requests: Mapping[str, Request]) -> tuple[Entry, ...]:
    """An entry for every candidate and every other disk that is not the node's own system; sorted, none steady yet."""
    candidates = [_candidate(candidate, snapshot, policy) for candidate in snapshot.candidates]
    others = [
        _other(other, snapshot)
        for other in snapshot.others
        if other.disk.unit not in snapshot.system_units and other.disk.unit not in snapshot.swaps
    ]
    entries = _shared(_twins([*candidates, *others]), snapshot)
    return tuple(
        sorted(
            (_against_request(entry, requests.get(entry.identity)) for entry in entries),
            key=lambda entry: (entry.identity, entry.path, entry.device),
        )
    )


def _candidate(candidate: Candidate, snapshot: Snapshot, policy: Policy) -> Entry:
    mount, contents = candidate.mount, candidate.contents
    if mount is None:
        message = (
            f"{candidate.path} is a plain folder: no disk is mounted on it, and what is written there lands on "
            "the disk that carries it; mount the disk, or remove the folder"
        )
        return Entry("", candidate.path, "", problems=(Problem("not-mounted", message),))
    disks = candidate.disks
    whole = mount.root == "/" or mount.kind == "btrfs"
    stack = candidate.stacks[0] if len(candidate.stacks) == 1 else None
    known = (stack.identity if stack else None) or identity.from_filesystem(contents.uuid)
    # A folder of a disk is not the disk: it must not pass for it, nor cast doubt on it. Without a device there is
    # no disk: tmpfs has a UUID as well.
    named = whole and bool(candidate.stacks)
    entry = Entry(
        identity=(known or "") if named else "",
        path=candidate.path,
        device=stack.name if stack else "",
        disks=tuple(disk.name for disk in disks),
        model=(disks[0].model or "") if len(disks) == 1 else "",
        serial=(disks[0].serial or "") if len(disks) == 1 else "",
        size_bytes=stack.size_bytes if stack else 0,
        capacity_bytes=contents.size_bytes // MIB * MIB,
        rotational=any(disk.rotational for disk in disks),
        fs_type=mount.kind,
        fs_uuid=contents.uuid or "",
        folders=tuple(folder.name for folder in contents.folders),
        occupied=tuple(folder.name for folder in contents.folders if not folder.empty),
        foreign=(*contents.foreign, *_stray(candidate)),
        marker=contents.marker,
        mount=mount,
    )
    found = [
        *_of_the_mount(candidate, mount, snapshot),
        *_of_the_disks(candidate, mount, snapshot),
        *_of_the_contents(entry, candidate, policy),
    ]
    if named and not entry.identity:
        found.append(
            Problem(
                "no-identity",
                f"{entry.device or entry.path} has neither WWN, NVMe id, serial number nor file-system UUID: it could "
                "not be told from another disk after a reboot",
            )
        )
    return with_problems(entry, *found)


def _of_the_mount(candidate: Candidate, mount: Mount, snapshot: Snapshot) -> Iterable[Problem]:
    path = candidate.path
    carrier = ", ".join(disk.name for disk in candidate.disks) or mount.source
    if mount.root != "/":
        yield Problem(
            "bind-mount",
            f"{path} is the folder {mount.root} of {carrier}, not a disk of its own; mount the whole disk there",
        )
    if candidate.around:
        yield Problem(
            "held",
            f"{path} is mounted inside {candidate.around}, another candidate; mount it beside, not inside",
        )
    if candidate.hidden:
        below = ", ".join(other.source for other in candidate.hidden)
        yield Problem(
            "held",
            f"{mount.source} is mounted on {path} over {below}, which is out of sight; unmount one of them",
        )
    if mount.read_only:
        yield Problem(
            "read-only",
            f"{path} is read-only: mounted so, or the kernel made it so after an error (dmesg tells)",
        )
    if not candidate.stacks and mount.number.startswith("0:"):
        yield Problem(
            "file-system",
            f"{path} is {mount.kind} from {mount.source}, which is no file system on a disk of this node",
        )
    elif mount.kind not in _FILE_SYSTEMS:
        yield Problem(
            "file-system",
            f"{path} has the file system {mount.kind}; supported are {' and '.join(_FILE_SYSTEMS)}",
        )
    if path in snapshot.swaps:
        yield Problem("swap", f"{path} holds the node's swap file {snapshot.swaps[path]}")


def _of_the_disks(candidate: Candidate, mount: Mount, snapshot: Snapshot) -> Iterable[Problem]:
    disks = candidate.disks
    layers = [layer for stack in candidate.stacks for layer in stack.layers]
    if not disks and not mount.number.startswith("0:"):
        yield Problem(
            "io-error",
            f"the disk under {candidate.path} is gone: the kernel no longer has {mount.number} ({mount.source})",
        )
    if len(disks) > 1:
        through = f" through {', '.join(layers)}" if layers else ""
        yield Problem(
            "many-disks",
            f"{candidate.path} lies on {len(disks)} physical disks{through}: "
            f"{', '.join(disk.name for disk in disks)}; a volume is one disk",
        )
    for disk in disks:
        if disk.state in _FAILED_STATES:
            yield Problem("io-error", f"{disk.name} is {disk.state}, says its driver")
        if not disk.writable:
            yield Problem("read-only", f"{disk.name} takes no writes: the disk is write-protected")
        if disk.unit in snapshot.swaps:
            yield Problem(
                "swap", f"{disk.name} carries the node's swap {snapshot.swaps[disk.unit]}"
            )
        if disk.unit in snapshot.system_units:
            yield Problem("held", f"{disk.name} also carries the node's own system")
        if disk.backing_file and not disk.identity:
            yield Problem(
                "shared-disk",
                f"{disk.name} is the file {disk.backing_file}, so it shares the disk on which that lies",
            )
    beside = sorted({name for stack in candidate.stacks for name in stack.neighbours})
    if beside:
        yield Problem(
            "shared-disk",
            f"{', '.join(disk.name for disk in disks)} carries {', '.join(beside)} as well; a volume is a whole disk",
        )
    for stack in candidate.stacks:
        if stack.fs_errors:
            yield Problem(
                "io-error",
                f"ext4 on {stack.name} has counted {stack.fs_errors} errors since its last fsck (dmesg tells which)",
            )


def _of_the_contents(entry: Entry, candidate: Candidate, policy: Policy) -> Iterable[Problem]:
    contents = candidate.contents
    if contents.error:
        code = "io-error" if contents.broken else "probe-failed"
        yield Problem(code, f"{entry.path} could not be read: {contents.error}")
        return
    if entry.capacity_bytes < policy.min_size_bytes:
        yield Problem(
            "too-small",
            f"{entry.path} has {size(entry.capacity_bytes)}; disks.minSize is {size(policy.min_size_bytes)}",
        )
    if contents.marker_error:
        yield Problem("marker", f"{entry.path}/{contents.marker_error}")
    marker = contents.marker
    if marker and entry.identity and marker.identity != entry.identity:
        yield Problem(
            "marker",
            f"the marker on {entry.path} is of the disk {marker.identity}, this disk is {entry.identity}: a copy of "
            "that disk, or its id changed",
        )
    own = marker.folder if marker else ""
    left = [f.name for f in contents.folders if not f.empty and f.name != own]
    if unknown := [*entry.foreign, *left]:
        yield _dirty(entry, unknown)


def _dirty(entry: Entry, unknown: list[str]) -> Problem:
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    return Problem(
        "dirty",
        f"{entry.path} holds what helm-tidb did not put there or no longer knows: "
        f"{', '.join(unknown[:_NAMED])}{more}",
    )


def _stray(candidate: Candidate) -> list[str]:
    """Half-wiped folders that no wipe accounts for."""
    marker = candidate.contents.marker
    running = marker and marker.wipe and not marker.wipe.done
    known = f"{marker.folder}.wiping" if marker and running else ""
    return [name for name in candidate.contents.wiping if name != known]


def _other(other: OtherDisk, snapshot: Snapshot) -> Entry:
    disk = other.disk
    entry = Entry(
        identity=disk.identity or "",
        path="",
        device=disk.name,
        disks=(disk.name,),
        model=disk.model or "",
        serial=disk.serial or "",
        size_bytes=disk.size_bytes,
        rotational=disk.rotational,
        fs_type=other.filesystem or "",
    )
    root = snapshot.discovery
    named = f"{disk.name} ({size(disk.size_bytes)})"
    if other.holders:
        found = Problem("held", f"{named} is part of {', '.join(other.holders)}")
    elif other.partitions:
        found = Problem(
            "held",
            f"{named} has partitions ({', '.join(other.partitions)}) and none is mounted below {root}",
        )
    elif other.filesystem:
        found = Problem(
            "held",
            f"{named} has {other.filesystem} on it and is not mounted below {root}; to offer it, mount it there: "
            f"{_mount_commands(other, root)}",
        )
    elif not other.probed:
        found = Problem(
            "probe-failed",
            f"{named}: udev keeps no record of it, so whether it is empty cannot be told without opening it; look "
            f"with `blkid {_device(other)}`",
        )
    else:
        # With the node's own mkfs: a newer one may switch on what the node's kernel cannot mount.
        found = Problem(
            "no-file-system",
            f"{named} has no file system; to offer it, run on the node (its own mkfs fits its kernel): "
            f"mkfs.xfs {_device(other)} && {_mount_commands(other, root)}",
        )
    return with_problems(entry, found)


def _device(other: OtherDisk) -> str:
    return other.by_id or f"/dev/{other.disk.name}"


def _mount_commands(other: OtherDisk, root: str) -> str:
    point, device = f"{root}/{other.disk.serial or other.disk.name}", _device(other)
    return (
        f"mkdir -p {point} && "
        f'echo "UUID=$(blkid -o value -s UUID {device}) {point} auto defaults,noatime,nofail 0 2" >> /etc/fstab && '
        f"mount {point}"
    )


def _twins(entries: list[Entry]) -> list[Entry]:
    """Two with one identity: neither is offered, for nothing tells which one is meant."""
    count = Counter(entry.identity for entry in entries if entry.identity)
    by_identity = defaultdict(list)
    for entry in entries:
        by_identity[entry.identity].append(entry.path or entry.device)
    return [
        with_problems(
            entry,
            Problem(
                "duplicate-identity",
                f"{' and '.join(sorted(by_identity[entry.identity]))} both say they are {entry.identity}",
            ),
        )
        if count[entry.identity] > 1
        else entry
        for entry in entries
    ]


def _shared(entries: list[Entry], snapshot: Snapshot) -> list[Entry]:
    """Candidates that meet on one piece of hardware: two folders of one disk, partitions, NVMe namespaces."""
    users: dict[str, list[str]] = defaultdict(list)
    units: dict[str, set[str]] = {}
    for candidate in snapshot.candidates:
        # A bind mount is refused for itself; the disk that it shows a folder of is none the worse for it.
        if candidate.mount and (candidate.mount.root == "/" or candidate.mount.kind == "btrfs"):
            units[candidate.path] = {disk.unit for disk in candidate.disks}
            for unit in units[candidate.path]:
                users[unit].append(candidate.path)
    shared = []
    for entry in entries:
        for unit in sorted(units.get(entry.path, ())):
            beside = [path for path in users[unit] if path != entry.path]
            if beside:
                message = (
                    f"{entry.path} shares {unit} with {', '.join(beside)}; a volume is a whole disk"
                )
                entry = with_problems(entry, Problem("shared-disk", message))
        shared.append(entry)
    return shared


def _against_request(entry: Entry, request: Request | None) -> Entry:
    """What shows only beside what the controller knows of the volume."""
    if request is None or not entry.path:
        return entry
    marker = entry.marker
    if marker and marker.volume != request.volume:
        message = f"the marker on {entry.path} is of {marker.volume}, this disk is {request.volume}"
        return with_problems(entry, Problem("marker", message))
    if marker and marker.generation > request.generation:
        message = (
            f"the marker on {entry.path} is of generation {marker.generation}, {request.generation} is asked for: the "
            "disk was used by another cluster, or this cluster's TidbVolume was made anew"
        )
        return with_problems(entry, Problem("marker", message))
    if request.make and marker and marker.folder == request.folder and marker.pv_uid:
        message = (
            f"{entry.path}/{marker.folder} belongs to the PV with UID {marker.pv_uid}, which this cluster does not "
            "know: the disk was used by another cluster"
        )
        return with_problems(entry, Problem("marker", message))
    if request.make and entry.occupied:
        # A new generation starts empty, whoever's the files are.
        return with_problems(
            entry.without("dirty"), _dirty(entry, [*entry.foreign, *entry.occupied])
        )
    wiped = marker and marker.wipe and marker.wipe.generation == request.generation
    unread = entry.codes & {"io-error", "probe-failed", "marker"}
    if not request.make and not wiped and not unread and request.folder not in entry.folders:
        message = (
            f"{entry.path} has no folder {request.folder}, where this disk's volume was: its file system was made "
            "anew, or another disk answers to this identity"
        )
        return with_problems(entry, Problem("changed", message))
    return entry


def with_problems(entry: Entry, *problems: Problem) -> Entry:
    """One problem a code: the words of several become one message."""
    said: dict[str, list[str]] = defaultdict(list)
    for problem in (*entry.problems, *problems):
        if problem.message not in said[problem.code]:
            said[problem.code].append(problem.message)
    merged = tuple(Problem(code, "; ".join(words)) for code, words in sorted(said.items()))
    return replace(entry, problems=merged)
