"""What isn't well on PD's side: members, leader, stores."""

from __future__ import annotations

from hooks.doctor import database, lost
from hooks.doctor.finding import Finding, Weight, count
from hooks.doctor.snapshot import Snapshot
from hooks.engine import Subject
from hooks.pd import Members, Store, StoreState


def findings(snapshot: Snapshot, told: frozenset[str] = frozenset()) -> list[Finding]:
    """`told`: pods whose lost node speaks for their store or member already."""
    pods = snapshot.released("Pod", "pd")
    found = _silence(snapshot, wanted=bool(pods or snapshot.released("StatefulSet", "pd")))
    seen = database.members(snapshot)
    healthy = {one.id for one in database.health(snapshot) if one.healthy}
    if seen is not None and database.health(snapshot):
        sick = [one for one in seen.members if one.id not in healthy and one.name not in told]
        for one in sick:
            found.append(
                _member(one.name or f"nameless member {one.id}", seen, len(healthy), snapshot)
            )
    for store in database.stores(snapshot) or ():
        if database.pod_name(store) in told:
            continue
        finding = _store(store, snapshot)
        if finding is not None:
            found.append(finding)
    return found


def _silence(snapshot: Snapshot, *, wanted: bool) -> list[Finding]:
    if not wanted or not snapshot.pd_said:
        return []
    if "bootstrapped" in snapshot.pd_said:
        return [
            Finding(
                code="not-bootstrapped", subject=Subject("PD", snapshot.release), weight=Weight.WAITING,
                why="PD runs, and no TiKV has registered yet",
                remedy="it goes on by itself with the first TiKV: look at the TiKV pods",
            )
        ]  # fmt: skip
    no_leader = "no PD leader" in snapshot.pd_said
    return [
        Finding(
            code="pd-no-leader" if no_leader else "pd-silent",
            subject=Subject("PD", snapshot.release),
            weight=Weight.PROBLEM,
            why=("PD has no leader: too few members live" if no_leader else "PD does not answer")
            + f" ({snapshot.pd_said[:300]})",
            remedy="bring the PD pods' nodes back, which loses nothing: "
            f"kubectl get pods -n {snapshot.namespace} -l app.kubernetes.io/component=pd -o wide; "
            "docs/failures/pd-quorum-lost.md has the rest",
        )
    ]


def _member(name: str, seen: Members, healthy: int, snapshot: Snapshot) -> Finding:
    left = healthy - (len(seen.members) // 2 + 1)
    spare = f"{count(left, 'more member')} may fail" if left > 0 else "no other may fail"
    return Finding(
        code="member-unhealthy", subject=Subject("Member", name), weight=Weight.WAITING,
        why=f"PD member {name} does not answer; {healthy} of {len(seen.members)} do, so {spare}",
        remedy="; ".join(lost.plan_of(snapshot, _pod_named(name)))
        or "failover replaces it once its node or disk is lost: kubectl tidb plan failover",
        numbers={"healthy": healthy, "members": len(seen.members)},
    )  # fmt: skip


def _store(store: Store, snapshot: Snapshot) -> Finding | None:
    subject = Subject("Store", str(store.id))
    name = f"store {store.id} ({database.pod_name(store)})"
    if store.retired or store.state is StoreState.UP:
        return None
    plan = "; ".join(lost.plan_of(snapshot, _pod_named(database.pod_name(store))))
    if store.state is StoreState.OFFLINE:
        return Finding(
            code="store-offline", subject=subject, weight=Weight.WAITING,
            why=f"PD is moving the data off {name}: {store.region_count} regions are left",
            remedy=plan or "it ends as Tombstone by itself, if as many other stores are Up as there are copies",
            numbers={"regions": store.region_count},
        )  # fmt: skip
    return Finding(
        code=f"store-{store.state_name.lower() or 'unknown'}", subject=subject, weight=Weight.WAITING,
        why=f"PD calls {name} {store.state_name}, with {count(store.region_count, 'region')} on it",
        remedy=plan or "it ends when its pod runs again; if its disk is lost: kubectl tidb plan failover",
        numbers={"regions": store.region_count},
    )  # fmt: skip


def _pod_named(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}}
