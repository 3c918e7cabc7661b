"""Failover in a world that makes no sense: each time an error that names the object and the remedy, and nothing
destroyed. What breaks at a call is in tests/faults, what the plan refuses in tests/model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hooks.engine import Exit
from tests.faults import stage as world
from tests.faults.stage import Stage


def lost(*changes: Callable[[Stage], object], what: str = "store") -> Stage:
    """A store or member lost, after a run at rest, and something in the world that cannot be."""
    stage = Stage(what)
    stage.run()
    stage.lose()
    for change in changes:
        change(stage)
    return stage


def no_nodes(stage: Stage) -> None:
    for node in world.NODES:
        if ("nodes", "", node) in stage.memory.objects:
            stage.memory.remove("nodes", node)


def edit(kind: str, name: str, **fields: Any) -> Callable[[Stage], object]:
    """Change an object in place: `spec__capacity={…}`."""

    def change(stage: Stage) -> None:
        namespace = "" if kind in ("nodes", "persistentvolumes") else "db"
        obj = stage.memory.objects[kind, namespace, name]
        for path, value in fields.items():
            *way, last = path.split("__")
            at: Any = obj
            for step in way:
                at = at[step]
            at[last] = value

    return change


CONDITION = {"type": "Ready", "status": "True", "lastTransitionTime": "a while ago"}
BAD: dict[str, tuple[Callable[[Stage], object], str]] = {
    "no Node": (no_nodes, "the API server lists no Node at all; that cannot be, nothing follows"),
    "a claim without its volume": (
        lambda stage: stage.memory.remove("persistentvolumes", "pv-tikv-2"),
        "claim tikv-basic-tikv-2 is bound to volume pv-tikv-2, and there is no such PersistentVolume; it was deleted",
    ),
    "a size that is none": (
        edit("persistentvolumes", "pv-tikv-spare", spec__capacity={"storage": "5 apples"}),
        "'5 apples' is no quantity of storage",
    ),
    "a time that is none": (
        edit("nodes", "n1", status__conditions=[CONDITION]),
        "Node n1 Ready condition: 'a while ago' is no time",
    ),
    "homes that somebody edited": (
        edit("configmaps", "basic-failover", data={"homes.json": "[1, 2"}),
        "ConfigMap basic-failover: homes.json is '[1, 2'; delete that key, it is written anew at rest",
    ),
    "a journal that somebody edited": (
        lambda stage: stage.memory.put(world.config_map("tidb-finished-volumes", {"uid-1": "{}"})),
        "ConfigMap tidb-finished-volumes, key uid-1: KeyError('pv') in '{}'; it is failover's journal: remove the key",
    ),
    "a StatefulSet that is not there": (
        lambda stage: stage.memory.remove("statefulsets", "basic-tikv", "db"),
        "namespace db has no StatefulSet basic-tikv with the labels app.kubernetes.io/name=tidb,",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_makes_no_sense_is_named_and_nothing_follows(case: str) -> None:
    change, sentence = BAD[case]
    stage = lost(change)
    before = stage.destroyed()
    stage.said.clear()
    assert stage.run() is Exit.ERROR
    assert sentence in stage.said[-1]
    assert stage.destroyed() == before


def test_a_pd_that_protects_its_quorum_is_asked_again_by_the_next_run() -> None:
    """Row: DELETE of a member within 10 s of another one's trouble answers 500 `unhealthy cluster`."""
    stage = lost(what="member")
    answer = stage.pd.answer
    said = "[PD:etcd:ErrEtcdMemberRemove]etcdserver: unhealthy cluster"
    stage.pd.answer = lambda method, path: (  # type: ignore[method-assign]
        (500, said) if method == "DELETE" else answer(method, path)
    )
    assert stage.run() is Exit.ERROR
    assert "PD protects its quorum for 10 s, the next run asks again" in stage.said[-1]
    assert not stage.destroyed()
    del stage.pd.answer
    stage.heal()
    assert stage.destroyed()[f"member {2**60 + 2} removed"] == 1


def test_a_pd_of_another_cluster_is_left_alone() -> None:
    record = world.config_map("basic-cluster", {"clusterId": "4711", "members": "basic-pd-0"})
    stage = lost(lambda stage: stage.memory.put(record))
    assert stage.run() is Exit.REFUSED
    assert "names cluster 4711" in stage.said[-1]
    assert not stage.destroyed()


def test_a_state_that_nobody_knows_is_no_loss() -> None:
    stage = lost()
    row = stage.pd.row

    def strange(store_id: int) -> dict[str, Any]:
        found = row(store_id)
        if store_id == 12:
            found["store"]["state_name"] = "Hibernating"
        return found

    stage.pd.row = strange  # type: ignore[method-assign]
    assert stage.run() is Exit.WAITING
    assert "PD calls it 'Hibernating'" in stage.said[-1]
    assert not stage.destroyed()


def test_ids_as_texts_are_ids() -> None:
    """A proxy, or a PD of another day, may quote what exceeds 2^53."""
    stage = lost(what="member")
    member = stage.pd.member

    def quoted(member_id: int) -> dict[str, Any]:
        return {**member(member_id), "member_id": str(member_id)}

    stage.pd.member = quoted  # type: ignore[method-assign]
    stage.heal()
    assert stage.destroyed()[f"member {2**60 + 2} removed"] == 1
