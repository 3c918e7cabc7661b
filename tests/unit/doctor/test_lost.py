"""Pods whose data is somewhere that can't be used now: what is wrong there, and what failover does and when."""

from __future__ import annotations

import pytest

from hooks.doctor.finding import Weight
from tests.unit.doctor import worlds as w


def test_a_node_that_is_gone_quotes_what_failover_waits_for() -> None:
    waits = {
        "code": "after",
        "subject": "Pod db/shop-tikv-2",
        "why": "away for 4m of 30m",
        "until": "12:26 UTC",
    }
    found = w.only(w.world(w.node("n1"), w.bound_to("n9"), w.last_plan("failover", waits=[waits])))
    assert (found.code, found.weight) == ("node-gone", Weight.WAITING)
    assert (
        found.why
        == f"its data is on volume {w.volume_of(1)} of node n9, and that Node does not exist any more"
    )
    assert found.remedy == "failover waits: away for 4m of 30m; ends when 12:26 UTC"


def test_what_is_no_store_and_no_member_is_given_up_by_a_person() -> None:
    claim = w.claim("data", volume="gone", component="prometheus")
    pod = w.pod("shop-prometheus-0", "prometheus", claim="data")
    found = w.only(w.world(w.node("n1"), claim, pod))
    assert (found.code, found.weight) == ("volume-gone", Weight.PROBLEM)
    assert found.remedy == (
        "nothing replaces it by itself; to give up what was there: "
        "kubectl delete pvc -n db data --wait=false; kubectl delete pod -n db shop-prometheus-0"
    )
    store = w.only(
        w.world(w.node("n1"), w.claim("data", volume="gone"), w.pod("shop-tikv-0", claim="data"))
    )
    assert (store.code, store.weight) == ("volume-gone", Weight.WAITING)


def test_a_node_that_is_gone_without_a_plan_says_how_to_ask() -> None:
    found = w.only(w.world(w.node("n1"), w.bound_to("n9")))
    assert "`kubectl tidb plan failover`" in found.remedy


@pytest.mark.parametrize(
    ("home", "code", "said", "remedy"),
    [
        (w.node("n1", cordoned=True), "home-cordoned", "is cordoned", "kubectl uncordon n1"),
        (
            w.node("n1", cpu="500m"),
            "home-resource",
            "cpu: asks 1, 500m free of 500m",
            "make room on n1",
        ),
        (
            w.node("n1", taints=({"key": "k", "effect": "NoExecute"},)),
            "home-taint",
            "has the taint k:NoExecute",
            "take the taint off n1",
        ),
        (
            w.node(
                "n1",
                ready=False,
                taints=({"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"},),
            ),
            "node-not-ready",
            "which is not Ready",
            "bring n1 back, which loses nothing",
        ),
    ],
)
def test_the_only_node_with_the_data_says_what_is_wrong_there(
    home: w.Obj, code: str, said: str, remedy: str
) -> None:
    found = w.only(w.world(home, w.node("n2"), w.bound_to("n1")))
    assert found.code == code
    assert said in found.why
    assert remedy in found.remedy


def test_a_node_that_does_not_answer_is_told_once_with_each_pods_fate() -> None:
    waits = {
        "code": "after",
        "subject": "Pod db/shop-tikv-0",
        "why": "away for 4m of 30m",
        "until": "12:26 UTC",
    }
    found = w.only(
        w.world(
            w.node("n1", ready=False),
            w.pod("shop-tikv-0", on="n1", deleting=True), w.pod("shop-tidb-0", "tidb", on="n1", deleting=True),
            w.last_plan("failover", waits=[waits]),
        )
    )  # fmt: skip
    assert str(found.subject) == "Node n1"
    assert found.why == (
        "it is not Ready; shop-tikv-0, shop-tidb-0 were there, and nobody knows whether they still run"
    )
    assert found.details == (
        "  shop-tikv-0: failover waits: away for 4m of 30m; ends when 12:26 UTC",
        "  shop-tidb-0: no data there; each stays as it is until the node is back or deleted",
    )
    assert (
        found.remedy
        == "bring n1 back, which loses nothing; else failover replaces what had its disk there"
    )
