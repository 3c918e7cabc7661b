"""`kubectl tidb wipe VOLUME…`: give up what is on a disk. Names what would be lost, and wants each name confirmed.

It only annotates the TidbVolume; the volume controller judges again, and the node's agent compares once more before
it deletes anything (schema/tidbvolume.schema.yaml, Wipe). Volumes in use are refused here already.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from hooks import kube
from hooks.doctor import output, session
from hooks.doctor.disks import Disk, document, rows
from hooks.doctor.disks_command import asked, look
from hooks.engine import EngineError, Exit
from schema import names

# Phases in which nobody uses the disk and something may be on it.
_MAY = ("Released", "Refused")


class WipeError(EngineError):
    """A volume that was named can't be wiped, or its name was not confirmed."""


def run(args: argparse.Namespace) -> int:
    client = session.connect(args)
    if not args.volume:

        def once() -> tuple[str, int]:
            return listed(asked(rows(look(client)), args), args.output), Exit.DONE

        return session.repeat(args, once)
    disks = rows(look(client))
    chosen = [choose(word, disks) for word in args.volume]
    word = "everything" if args.everything else "now"
    for disk in chosen:
        output.say(_loses(disk, everything=args.everything))
    # All are confirmed before the first is touched.
    for disk in chosen:
        confirm(disk, args.confirm)
    for disk in chosen:
        annotate(client, disk, word)
        output.say(
            f"{disk.volume}: told to be wiped ({names.WIPE_ANNOTATION}={word})"
            + ("" if args.watch else "; kubectl tidb disks shows how far it is")
        )
    if args.watch:
        return follow([disk.volume for disk in chosen], lambda: rows(look(client)))
    told = {disk.volume for disk in chosen}
    print(shown([disk for disk in rows(look(client)) if disk.volume in told], args.output))
    return Exit.DONE


def follow(
    volumes: Sequence[str],
    now: Callable[[], Sequence[Disk]],
    pause: Callable[[float], object] = time.sleep,
) -> int:
    """A line for each change, until every disk is offered again. WipeError when one goes away meanwhile."""
    last: dict[str, str] = {}
    while True:
        disks = {disk.volume: disk for disk in now()}
        for volume in volumes:
            if volume not in disks:
                raise WipeError(f"{volume} is not there any more: its TidbVolume was deleted")
            line = f"{volume}: {disks[volume].phase}" + (
                f": {disks[volume].why}" if disks[volume].why else ""
            )
            if last.get(volume) != line:
                print(line, flush=True)
            last[volume] = line
        if all(disks[volume].phase == "Available" for volume in volumes):
            return Exit.DONE
        pause(1.0)


def listed(disks: Sequence[Disk], fmt: str) -> str:
    """What could be wiped."""
    found = [disk for disk in disks if disk.phase in _MAY]
    if fmt == "table" and not found:
        return "no disk is Released or Refused: there is nothing to wipe"
    if fmt == "table":
        output.say(f"to wipe one: kubectl tidb wipe {found[0].volume}")
    return shown(found, fmt)


def shown(disks: Sequence[Disk], fmt: str) -> str:
    if fmt != "table":
        return output.emit({"disks": [document(disk) for disk in disks]}, fmt)
    head = ("NODE", "DISK", "SIZE", "PHASE", "LAST CLAIM", "VOLUME", "WHY")
    return "\n".join(output.columns(head, [disk.cells for disk in disks], colour=output.colours()))


def choose(word: str, disks: Sequence[Disk]) -> Disk:
    """By the volume's name or NODE:PATH. WipeError when there is none, or it is in use."""
    found = [disk for disk in disks if word in (disk.volume, f"{disk.node}:{disk.path}")]
    if not found:
        raise WipeError(
            f"there is no disk {word}: expected a TidbVolume or NODE:PATH as `kubectl tidb disks` lists them"
        )
    disk = found[0]
    if disk.phase not in _MAY:
        how = {
            "Bound": f"it is in use by claim {disk.claim}: delete that claim and its pod first",
            "Available": "it is free and clean already",
            "Wiping": "it is being wiped already",
        }.get(disk.phase, disk.why or "only a Released or Refused disk can be wiped")
        raise WipeError(f"{disk.volume} ({disk.node}:{disk.path}) is {disk.phase}: {how}")
    return disk


def _loses(disk: Disk, *, everything: bool) -> str:
    last = f"the data of claim {disk.claim}" if disk.claim else "what is in its volume's folder"
    what = "ALL files on the disk" if everything else last
    return (
        f"{disk.volume}: {disk.path} of node {disk.node}, {disk.size}, {disk.phase}"
        + (f" ({disk.why})" if disk.why else "")
        + f"\n  this deletes {what}; it can't be undone"
    )


def confirm(disk: Disk, confirmed: Sequence[str]) -> None:
    if disk.volume in confirmed:
        return
    if not sys.stdin.isatty():
        raise WipeError(
            f"{disk.volume} is not confirmed: say --confirm {disk.volume}, or run this on a terminal"
        )
    print(f"type {disk.volume} to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != disk.volume:
        raise WipeError(f"{disk.volume} was not confirmed: nothing was changed")


def annotate(client: kube.Client, disk: Disk, word: str) -> None:
    """On the very object that was shown: another phase meanwhile is refused."""
    live = client.get(kube.TIDB_VOLUME, disk.volume)
    phase = (live.get("status") or {}).get("phase")
    if phase != disk.phase:
        raise WipeError(
            f"{disk.volume} was {disk.phase} and is now {phase}: nothing was changed, look again"
        )
    patch = {
        "metadata": {
            "resourceVersion": kube.version(live),
            "annotations": {names.WIPE_ANNOTATION: word},
        }
    }
    try:
        client.merge_patch(kube.TIDB_VOLUME, disk.volume, patch)
    except kube.ConflictError as error:
        raise WipeError(
            f"{disk.volume} changed meanwhile: nothing was changed, look again"
        ) from error
