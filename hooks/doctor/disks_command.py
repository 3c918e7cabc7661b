"""`kubectl tidb disks`: node → disk → size → phase → claim → why not."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence

from hooks import kube
from hooks.doctor import output, session
from hooks.doctor.disks import Disk, document, rows
from hooks.doctor.finding import count
from hooks.doctor.snapshot import Gap, Snapshot, prune
from hooks.engine import EngineError, Exit
from schema import names


class NoDisksError(EngineError):
    """The cluster has no TidbVolumes at all."""


def run(args: argparse.Namespace) -> int:
    client = session.connect(args)

    def once() -> tuple[str, int]:
        snapshot = look(client)
        found = [disk for disk in asked(rows(snapshot), args) if args.node in ("", disk.node)]
        return render(found, complaints(snapshot), args.output), Exit.DONE

    return session.repeat(args, once)


def asked(disks: Sequence[Disk], args: argparse.Namespace) -> list[Disk]:
    """Those of the release, when one is named."""
    if not args.release:
        return list(disks)
    namespace = session.namespace(args)
    return [disk for disk in disks if disk.is_of(namespace, args.release)]


def look(client: kube.Client) -> Snapshot:
    """TidbVolumes of the whole cluster, and the agents' inventories where they may be read."""
    try:
        volumes = client.list(kube.TIDB_VOLUME)
    except kube.NotFoundError as error:
        raise NoDisksError(
            "the cluster does not know TidbVolumes: no release of the chart with disks.enabled is installed here "
            "(its CustomResourceDefinition comes with it)"
        ) from error
    except kube.ForbiddenError as error:
        gap = Gap("tidbvolumes", names.GROUP, "", "the disks can't be listed", str(error))
        session.tell_gaps((gap,), client)
        raise NoDisksError("the disks can't be listed without the right to read them") from error
    try:
        inventories = client.list(
            kube.CONFIG_MAP, labels=f"{names.EXCHANGE_LABEL}={names.INVENTORY}"
        )
    except kube.ForbiddenError:
        inventories = []  # complaints only: the table is whole without them
    return Snapshot(
        taken=client.clocks().earlier,
        namespace="",
        release="",
        objects={
            "TidbVolume": [prune(one) for one in volumes],
            "ConfigMap": [prune(one) for one in inventories],
        },
    )


def complaints(snapshot: Snapshot) -> list[str]:
    """What agents say is wrong with their node or configuration, rather than with one disk."""
    found = []
    for config in snapshot.all("ConfigMap"):
        try:
            document = json.loads((config.get("data") or {}).get(names.INVENTORY_KEY, "{}"))
        except ValueError:
            continue
        found += [f"{document.get('node', '?')}: {text}" for text in document.get("complaints", ())]
    return sorted(found)


def render(found: Sequence[Disk], said: Sequence[str], fmt: str) -> str:
    if fmt != "table":
        whole = {
            "disks": [document(one) for one in found],
            "complaints": list(said),
        }
        return output.emit(whole, fmt)
    head = ("NODE", "DISK", "SIZE", "PHASE", "CLAIM", "VOLUME", "WHY")
    lines = output.columns(head, [one.cells for one in found], colour=output.colours())
    phases = Counter(one.phase for one in found)
    counted = ", ".join(f"{number} {phase}" for phase, number in sorted(phases.items()))
    nodes = len({one.node for one in found})
    summary = f"{count(len(found), 'disk')} on {count(nodes, 'node')}" + (
        f": {counted}" if counted else ""
    )
    return "\n".join([*lines, *(f"note: {text}" for text in said), summary])
