"""`kubectl tidb status`: one screen of members, stores, pods, disks, versions and what is in progress."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hooks import kube
from hooks.doctor import database, disks, output, session
from hooks.doctor.containers import is_terminating
from hooks.doctor.finding import count
from hooks.doctor.lost import last_plan
from hooks.doctor.scheduler.requests import show
from hooks.doctor.scheduler.volumes import claim_names
from hooks.doctor.scheduler.world import is_true
from hooks.doctor.snapshot import Snapshot
from hooks.engine import Exit
from hooks.kube.kinds import Obj
from hooks.pd import Store

_COMPONENTS = ("pd", "tikv", "tidb")
_JOBS = ("failover", "cleanup", "volumes", "scale", "roll")


@dataclass(frozen=True)
class Row:
    """One pod that is there or should be. `database` is what PD says of it."""

    pod: str
    component: str
    node: str
    state: str
    ready: bool
    database: str
    disk: str
    version: str


@dataclass(frozen=True)
class Status:
    release: str
    namespace: str
    cluster: str
    rows: tuple[Row, ...]
    disks: dict[str, int]
    progress: tuple[str, ...]
    pd: str

    @property
    def well(self) -> bool:
        return all(row.ready for row in self.rows) and not self.pd

    @property
    def verdict(self) -> str:
        parts = []
        for component in _COMPONENTS:
            of = [row for row in self.rows if row.component == component]
            if of:
                parts.append(f"{sum(row.ready for row in of)}/{len(of)} {component}")
        ready = "all ready" if self.well else "not all ready: kubectl tidb doctor"
        return f"{self.release} in namespace {self.namespace}: {', '.join(parts) or 'no pods'} · {ready}"


def run(args: argparse.Namespace) -> int:
    client = session.connect(args)
    told = False

    def once() -> tuple[str, int]:
        nonlocal told
        snapshot = session.look(client, args, whole=False)
        if snapshot.gaps and not told:
            session.tell_gaps(snapshot.gaps, client)
            told = True
        seen = status(snapshot)
        return render(seen, args.output), Exit.DONE if seen.well else Exit.WAITING

    return session.repeat(args, once)


def status(snapshot: Snapshot) -> Status:
    """Pure, from a snapshot that need not be whole."""
    members = database.members(snapshot)
    pinged = database.health(snapshot)
    silent = {one.id for one in pinged if not one.healthy}
    said: dict[str, str] = {}
    if members is not None:
        leader = members.leader.name if members.leader else ""
        for member in members.members:
            word = "leader" if member.name == leader else "healthy" if pinged else "member"
            said[member.name] = "silent" if member.id in silent else word
    of_store = {
        database.pod_name(one): one for one in database.stores(snapshot) or () if not one.retired
    }
    claims = {kube.name(c): c for c in snapshot.own("PersistentVolumeClaim")}
    rows = []
    for component in _COMPONENTS:
        for workload in snapshot.released("StatefulSet", component):
            pods = {kube.name(p): p for p in snapshot.released("Pod", component)}
            wanted = [
                f"{kube.name(workload)}-{n}"
                for n in range(int(workload["spec"].get("replicas", 1)))
            ]
            for name in [*wanted, *sorted(set(pods) - set(wanted))]:
                word = said.get(name, "") or _store_words(of_store.get(name))
                pod = pods.get(name)
                place = _disk(pod, claims, snapshot) if pod is not None else ""
                rows.append(_row(name, component, pod, word, place))
    phases: dict[str, int] = {}
    for disk in disks.rows(snapshot):
        phases[disk.phase] = phases.get(disk.phase, 0) + 1
    return Status(
        release=snapshot.release,
        namespace=snapshot.namespace,
        cluster=str(members.cluster_id) if members is not None else "",
        rows=tuple(rows),
        disks=phases,
        progress=tuple(progress(snapshot)),
        pd=snapshot.pd_said,
    )


def _store_words(store: Store | None) -> str:
    if store is None:
        return ""
    return f"{store.state_name} store {store.id}, {count(store.region_count, 'region')}, {store.leader_count} led"


def _row(name: str, component: str, pod: Obj | None, database: str, disk: str) -> Row:
    if pod is None:
        return Row(name, component, "", "missing", False, database, "", "")
    state = pod.get("status") or {}
    ready = is_true(state.get("conditions") or (), "Ready") and not is_terminating(pod)
    phase = "Terminating" if is_terminating(pod) else str(state.get("phase", ""))
    if phase == "Running" and not ready:
        phase = "starting"
    image = str(pod["spec"]["containers"][0].get("image", ""))
    return Row(
        pod=name,
        component=component,
        node=str(pod["spec"].get("nodeName") or ""),
        state=phase,
        ready=ready,
        database=database,
        disk=disk,
        version=image.rpartition(":")[2] if ":" in image.rpartition("/")[2] else "",
    )


def _disk(pod: Obj, claims: Mapping[str, Obj], snapshot: Snapshot) -> str:
    """The disk of a pod's first claim: path and size, or why there is none."""
    for name in claim_names(pod):
        claim = claims.get(name)
        if claim is None:
            return "no claim"
        volume = str(claim["spec"].get("volumeName") or "")
        if not volume:
            return "no disk yet"
        disk = disks.of_claim(snapshot, volume)
        if disk is None:
            return volume
        word = "" if disk.phase == "Bound" else f" {disk.phase}"
        return f"{disk.path} {show('storage', disk.size_bytes)}{word}"
    return "-"


def progress(snapshot: Snapshot) -> list[str]:
    """Who works on the release, what jobs wait for or refuse, and what is being cleared."""
    lines = []
    for lease in snapshot.own("Lease"):
        holder = lease["spec"].get("holderIdentity")
        if kube.name(lease) == f"{snapshot.release}-maintenance" and holder:
            lines.append(f"{holder} works on the release")
    for job in _JOBS:
        plan = last_plan(snapshot, job)
        lines += [
            f"{job} is about to {a['does']} ({a['subject']})" for a in plan.get("actions") or ()
        ]
        if job == "volumes":
            continue  # its waits are the disks' own, in the table of disks
        lines += [
            f"{job} waits: {w['subject']}: {w['why']}; ends when {w['until']}"
            for w in plan.get("waits") or ()
        ]
        lines += [
            f"{job} refuses: {r['subject']}: {r['why']}; to go on: {r['remedy']}"
            for r in plan.get("refusals") or ()
        ]
    lines += [
        f"Job {kube.name(job)} runs"
        for job in snapshot.released("Job")
        if (job.get("status") or {}).get("active")
    ]
    lines += [
        f"{d.path} of {d.node} is being wiped" for d in disks.rows(snapshot) if d.phase == "Wiping"
    ]
    return lines


def render(seen: Status, fmt: str) -> str:
    if fmt != "table":
        document: dict[str, Any] = {"verdict": seen.verdict, "well": seen.well, **asdict(seen)}
        return output.emit(_plain(document), fmt)
    colour = output.colours()
    head = ("POD", "NODE", "STATE", "IN PD", "DISK", "VERSION")
    table = [
        (row.pod, row.node or "-", row.state, row.database or "-", row.disk, row.version)
        for row in seen.rows
    ]
    lines = [seen.verdict, "", *output.columns(head, table, colour=colour)]
    if seen.pd:
        lines += ["", f"PD: {seen.pd}"]
    if seen.disks:
        counted = ", ".join(f"{number} {phase}" for phase, number in sorted(seen.disks.items()))
        lines += ["", f"disks: {counted}"]
    lines += ["", "in progress:" if seen.progress else "in progress: nothing"]
    lines += [f"  {line}" for line in seen.progress]
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    """Tuples as lists, which is all that YAML's safe dumper knows."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
