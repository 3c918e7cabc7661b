"""The diagnosis as a whole: a sound world, who makes pods, PD and its stores, order and exit codes.

Pods without a node are in test_pending.py, pods with one in test_containers.py, lost places in test_lost.py.
"""

from __future__ import annotations

import pytest

from hooks.doctor.diagnose import PodError, diagnose
from hooks.doctor.finding import Weight
from hooks.doctor.snapshot import Gap
from hooks.engine import Exit
from tests.unit.doctor import worlds as w


def test_nothing_is_wrong_with_a_sound_release() -> None:
    found = diagnose(
        w.world(
            w.node("n1"),
            w.disk(1, "n1", phase="Bound", held="tikv-shop-tikv-0"),
            w.claim("tikv-shop-tikv-0", volume=w.volume_of(1)),
            w.pod("shop-tikv-0", on="n1", claim="tikv-shop-tikv-0"),
            w.stateful_set("tikv", 1),
            pd=w.pd_answers(w.store(1, "shop-tikv-0")),
        )
    )
    assert found.findings == ()
    assert found.verdict == "release shop: nothing is wrong"
    assert found.exit is Exit.DONE


# --- makers ---------------------------------------------------------------------------------------


def test_a_quota_says_what_is_asked_used_and_allowed() -> None:
    owner = w.stateful_set("tidb", 2)
    owner["status"]["replicas"] = 1
    note = (
        'create Pod shop-tidb-1 in StatefulSet shop-tidb failed error: pods "shop-tidb-1" is forbidden: '
        "exceeded quota: team, requested: requests.cpu=2, used: requests.cpu=7, limited: requests.cpu=8"
    )
    found = w.only(w.world(w.node("n1"), owner, w.event(owner, "FailedCreate", note)))
    assert found.code == "quota"
    assert found.why == (
        "it can't make its pods: ResourceQuota team allows requests.cpu=8, requests.cpu=7 is used, and one "
        "more asks requests.cpu=2"
    )
    assert "kubectl edit resourcequota -n db team" in found.remedy


def test_an_old_complaint_is_silent_once_all_pods_are_there() -> None:
    owner = w.stateful_set("tidb", 2)
    assert (
        diagnose(
            w.world(w.node("n1"), owner, w.event(owner, "FailedCreate", "exceeded quota"))
        ).findings
        == ()
    )


# --- PD and stores --------------------------------------------------------------------------------


def test_stores_and_members_that_do_not_answer() -> None:
    found = diagnose(
        w.world(
            w.node("n1"),
            pd=w.pd_answers(
                w.store(1, "shop-tikv-0"),
                w.store(5, "shop-tikv-2", "Down", regions=7),
                silent=("shop-pd-1",),
            ),
        )
    ).findings
    said = {one.code: one.why for one in found}
    assert said["store-down"] == "PD calls store 5 (shop-tikv-2) Down, with 7 regions on it"
    assert (
        said["member-unhealthy"]
        == "PD member shop-pd-1 does not answer; 2 of 3 do, so no other may fail"
    )


def test_a_lost_node_speaks_for_the_store_and_member_that_were_there() -> None:
    answers = w.pd_answers(w.store(5, "shop-tikv-2", "Down", regions=7), silent=("shop-pd-1",))
    found = w.only(
        w.world(
            w.node("n1", ready=False), w.pod("shop-tikv-2", on="n1"), w.pod("shop-pd-1", "pd", on="n1"), pd=answers
        )
    )  # fmt: skip
    assert str(found.subject) == "Node n1"
    assert found.details[0].startswith(
        "  shop-tikv-2 (PD calls store 5 Down, 7 regions): failover replaces it"
    )


def test_retired_stores_are_no_finding() -> None:
    gone = (
        w.store(5, "shop-tikv-2", "Tombstone"),
        w.store(6, "shop-tikv-2", "Offline", destroyed=True),
    )
    assert diagnose(w.world(w.node("n1"), pd=w.pd_answers(*gone))).findings == ()


def test_pd_without_leader_and_pd_silent() -> None:
    pods = (w.node("n1"), w.pod("shop-pd-0", "pd", on="n1"))
    silent = w.only(w.world(*pods, pd_said="GET /members reached no PD member in 0 s"))
    assert (silent.code, silent.weight) == ("pd-silent", Weight.PROBLEM)
    leaderless = w.only(w.world(*pods, pd_said="GET /members found no PD leader in 0 s"))
    assert leaderless.why.startswith("PD has no leader: too few members live")
    young = w.only(
        w.world(*pods, pd_said="[PD:cluster:ErrNotBootstrapped]TiKV cluster not bootstrapped")
    )
    assert (young.code, young.weight) == ("not-bootstrapped", Weight.WAITING)


# --- one pod, order, exit -------------------------------------------------------------------------


def test_one_pod_alone_and_a_pod_that_is_not_there() -> None:
    snapshot = w.world(
        w.node("n1"), w.pod("shop-tidb-0", "tidb", cpu="9"), w.pod("shop-tidb-1", "tidb", cpu="9")
    )
    assert [str(one.subject) for one in diagnose(snapshot, "shop-tidb-1").findings] == [
        "Pod db/shop-tidb-1"
    ]
    with pytest.raises(
        PodError, match="no pod shop-tidb-7 in namespace db; pods of shop: shop-tidb-0, shop-tidb-1"
    ):
        diagnose(snapshot, "shop-tidb-7")


def test_problems_come_first_and_decide_the_exit_code() -> None:
    waits = w.pod("a-waits", "tidb", cpu="100m")
    found = diagnose(w.world(w.node("n1"), waits, w.pod("z-stuck", "tidb", cpu="9")))
    assert [one.weight for one in found.findings] == [Weight.PROBLEM, Weight.WAITING]
    assert found.exit is Exit.REFUSED
    assert found.verdict.startswith(
        "release shop: 1 problem that a person must end, 1 thing that will end by itself; first: "
        "Pod db/z-stuck: none of 1 node"
    )
    assert diagnose(w.world(w.node("n1"), waits)).exit is Exit.WAITING


def test_the_same_snapshot_gives_the_same_words() -> None:
    snapshot = w.world(w.node("n2"), w.node("n1"), w.bound_to("n9"), w.pod("x", "tidb", cpu="9"))
    assert diagnose(snapshot) == diagnose(snapshot)


def test_what_could_not_be_read_takes_the_certainty_away() -> None:
    events = Gap("events", "events.k8s.io", "db", "complaints are not known", "403")
    partly = diagnose(w.world(w.node("n1"), gaps=(events,)))
    assert (partly.verdict, partly.exit) == (
        "release shop: nothing is wrong in what could be read", Exit.DONE,
    )  # fmt: skip
    pods = Gap("pods", "", "db", "", "403")
    blind = diagnose(w.world(w.node("n1"), gaps=(events, pods)))
    assert (blind.verdict, blind.exit) == (
        "release shop: can't tell, for its pods may not be listed", Exit.ERROR,
    )  # fmt: skip
