"""What `helm test` proves: a client gets an answer by SQL, PD says Up of every store, and there are as many as wanted.

Nothing is changed. What is missing is a wait, since a cluster that was installed a minute ago is on its way.
"""

from __future__ import annotations

from dataclasses import dataclass

from hooks.engine import Action, Plan, Subject, Wait


@dataclass(frozen=True)
class StoreState:
    """One store of PD's list that is not a Tombstone."""

    address: str
    state: str


@dataclass(frozen=True)
class Snapshot:
    """`sql_problem`, `pd_problem`: why there is no answer, or "". `wanted_stores`: `tikv.replicas`."""

    sql_address: str
    sql_problem: str
    pd_problem: str
    stores: tuple[StoreState, ...]
    wanted_stores: int


def plan(snapshot: Snapshot) -> Plan[Action]:
    waits = []
    if snapshot.sql_problem:
        waits.append(
            Wait(
                code="sql",
                subject=Subject("TiDB", snapshot.sql_address),
                why=snapshot.sql_problem,
                until="TiDB answers: see kubectl get pods, and kubectl logs of the TiDB pods",
            )
        )
    if snapshot.pd_problem:
        waits.append(
            Wait(
                code="pd",
                subject=Subject("PD", "members"),
                why=snapshot.pd_problem,
                until="a PD member leads: see kubectl logs of the PD pods",
            )
        )
        return Plan(waits=tuple(waits))
    up = sum(store.state == "Up" for store in snapshot.stores)
    if up < snapshot.wanted_stores:
        waits.append(
            Wait(
                code="too-few-stores",
                subject=Subject("PD", "stores"),
                why=f"{up} of {snapshot.wanted_stores} stores are Up",
                until="the TiKV pods are ready: see kubectl get pods",
                numbers={"up": up, "wanted": snapshot.wanted_stores},
            )
        )
    waits += [
        Wait(
            code="store-not-up",
            subject=Subject("Store", store.address),
            why=f"PD says {store.state}",
            until="it is Up again, or the failover job has replaced it",
        )
        for store in snapshot.stores
        if store.state != "Up"
    ]
    return Plan(waits=tuple(waits))
