"""Small worlds for boot: a release `shop` with members shop-pd-0 … in namespace `db`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hooks.boot.model import (
    Answer,
    Cluster,
    Folder,
    Listed,
    MemberSnapshot,
    Record,
    StoreSnapshot,
    WriteArgs,
    WriteRecord,
)
from hooks.boot.plan import BootPlan

CLUSTER = Cluster("shop", ".db.svc")
FIRST = ("shop-pd-0", "shop-pd-1", "shop-pd-2")
ID = 7710175945323556207
OTHER = 7710175942970242681
SINCE = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)

FORMING = Record(FIRST, version="1")
KNOWN = Record(FIRST, cluster_id=ID, since=SINCE, version="2")
GIVEN_UP = replace(KNOWN, rebootstrap=ID)

EMPTY = Folder()
WAL = Folder(wal=True)
LEFTOVERS = Folder(leftovers=True)
JOINED = Folder(
    join="shop-pd-0=http://shop-pd-0.shop-pd-peer.db.svc:2380,shop-pd-3=http://shop-pd-3.shop-pd-peer.db.svc:2380"
)

INITIAL = "--initial-cluster=" + ",".join(
    f"{name}=http://{name}.shop-pd-peer.db.svc:2380" for name in FIRST
)


def listed(name: str, *, started: bool = True, nameless: bool = False, number: int = 0) -> Listed:
    return Listed(
        number or 100 + int(name[-1]),
        "" if nameless else name,
        (CLUSTER.peer_url(name),),
        started=started and not nameless,
    )


def answer(peer: str, *members: Listed | str, cluster_id: int = ID) -> Answer:
    entries = (listed(member) if isinstance(member, str) else member for member in members)
    return Answer(peer, cluster_id, tuple(entries))


def world(
    me: str = "shop-pd-2",
    folder: Folder = EMPTY,
    record: Record | None = KNOWN,
    answers: tuple[Answer, ...] = (),
    leaderless: tuple[str, ...] = (),
    waited_seconds: float = 0,
    replicas: int = 3,
    dns_problem: str = "",
    volume_problem: str = "",
    written: str | None = None,
) -> MemberSnapshot:
    return MemberSnapshot(
        cluster=CLUSTER,
        me=me,
        folder=folder,
        record=record,
        replicas=replicas,
        answers=answers,
        leaderless=leaderless,
        waited=timedelta(seconds=waited_seconds),
        refuse_after=timedelta(minutes=2),
        dns_problem=dns_problem,
        volume_problem=volume_problem,
        written=written,
    )


def store_world(
    cluster_id: int | None = ID,
    record: Record | None = KNOWN,
    labels: tuple[tuple[str, str], ...] = (("zone", "a"), ("host", "n1")),
    dns_problem: str = "",
    volume_problem: str = "",
    written: str | None = None,
) -> StoreSnapshot:
    return StoreSnapshot(
        me="shop-tikv-1",
        cluster_id=cluster_id,
        silence="" if cluster_id else "GET /pd/api/v1/members: connection refused",
        record=record,
        labels=labels,
        now=SINCE,
        dns_problem=dns_problem,
        volume_problem=volume_problem,
        written=written,
    )


def told(plan: BootPlan) -> str:
    """A plan in one line, as the tables of the tests write it: `start …`, `record …`, `wait code`, `refuse code`."""
    words = [
        f"start {action.args}".strip() if isinstance(action, WriteArgs) else _record(action)
        for action in plan.actions
    ]
    words += [f"wait {wait.code}" for wait in plan.waits]
    words += [f"refuse {refusal.code}" for refusal in plan.refusals]
    return "; ".join(words) or "nothing"


def _record(action: WriteRecord) -> str:
    now = action.now
    said = ",".join(now.members)
    said += f" id {now.cluster_id}" if now.cluster_id else ""
    return f"record {said}" + (f" given up {now.rebootstrap}" if now.rebootstrap else "")
