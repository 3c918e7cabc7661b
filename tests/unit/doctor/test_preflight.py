"""Preflight: each thing that an install or upgrade may lack, in a world that lacks just it, and what it says first."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hooks.doctor.finding import Finding, Weight
from hooks.doctor.preflight import Component, Wanted, WantedError, check, parse, report
from hooks.doctor.snapshot import Gap
from tests.unit.doctor import worlds as w


def component(
    name: str = "tikv",
    replicas: int = 1,
    memory: str = "1Gi",
    cls: str = "tidb-local",
    storage: str = "100Gi",
) -> Component:
    apart = {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": w.labels_of(name)},
                }
            ]
        }
    }
    container = {"name": name, "resources": {"requests": {"cpu": "1", "memory": memory}}}
    pod = {"labels": w.labels_of(name), "spec": {"containers": [container], "affinity": apart}}
    return Component(name, replicas, pod, cls, storage)


def wanted(*components: Component, **more: object) -> Wanted:
    base = Wanted("shop", "db", "v8.5.7", components, ("tidb-local",), True)
    return replace(base, **more)  # type: ignore[arg-type]


def only(found: tuple[Finding, ...]) -> Finding:
    problems = [one for one in found if one.weight is Weight.PROBLEM]
    assert len(problems) == 1, [one.why for one in found]
    return problems[0]


def test_all_is_there() -> None:
    found = check(
        wanted(component(replicas=2)),
        w.world(w.node("n1"), w.node("n2"), w.disk(1, "n1"), w.disk(2, "n2")),
    )
    assert found == ()
    assert report(wanted(), found, "refuse") == ["preflight: shop would find what it needs"]


def test_a_first_install_knows_no_disks_and_says_who_will() -> None:
    (note,) = check(wanted(component()), w.world(w.node("n1")))
    assert (note.code, note.weight) == ("disks-unknown", Weight.NOTE)


def test_one_disk_too_few_lists_the_disks() -> None:
    found = only(
        check(
            wanted(component(replicas=2)),
            w.world(w.node("n1"), w.node("n2"), w.disk(1, "n1"), w.disk(2, "n2", size=50 * w.GI)),
        )
    )
    assert str(found.subject) == "Pod db/shop-tikv-1"
    assert any("free, but 50Gi too small" in line for line in found.details)


def test_pods_that_run_already_need_no_place() -> None:
    snapshot = w.world(
        w.node("n1", memory="1Gi"), w.disk(1, "n1", phase="Bound", held="tikv-shop-tikv-0"),
        w.claim("tikv-shop-tikv-0", volume=w.volume_of(1)),
        w.pod("shop-tikv-0", on="n1", claim="tikv-shop-tikv-0"),
    )  # fmt: skip
    assert check(wanted(component(replicas=1)), snapshot) == ()


def test_each_placed_pod_takes_its_room() -> None:
    found = only(
        check(
            wanted(component("tidb", 2, "3Gi", cls="", storage="")),
            w.world(w.node("n1", memory="8Gi")),
        )
    )
    assert "db/shop-tidb-0 is here, and may not share kubernetes.io/hostname" in found.why


def test_a_class_that_will_not_be_there() -> None:
    found = check(wanted(component(cls="tidb-locl")), w.world(w.node("n1")))
    missing = next(one for one in found if str(one.subject) == "StorageClass tidb-locl")
    assert (
        missing.why
        == "tikv.storageClassName is tidb-locl, which does not exist and which this release does not make"
    )
    assert missing.remedy.startswith("did you mean tidb-local? ")


def test_a_second_disk_manager() -> None:
    disk = w.disk(1, "n1")
    disk[0]["metadata"]["labels"] = {"helm-tidb.io/managed-by": "ops.disks"}
    snapshot = w.world(w.node("n1"), disk)
    found = only(check(wanted(component()), snapshot))
    assert found.why == "release ops.disks manages this cluster's disks already"
    assert check(wanted(component(), manages=False), snapshot) == ()
    assert check(wanted(component(), takes_over="ops.disks"), snapshot) == ()


def test_no_way_back_to_an_older_version() -> None:
    workload = w.stateful_set("tikv", 0)
    workload["spec"]["template"] = {
        "spec": {"containers": [{"name": "tikv", "image": "pingcap/tikv:v8.5.7"}]}
    }
    snapshot = w.world(w.node("n1"), workload)
    found = only(check(wanted(version="v8.1.2"), snapshot))
    assert found.why == "it runs v8.5.7, and version v8.1.2 is older: TiDB can't go back"
    assert check(wanted(version="v8.5.9"), snapshot) == ()


def test_a_quota_that_is_too_small() -> None:
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": w.meta("team", "db"),
        "status": {"hard": {"requests.memory": "4Gi", "pods": "10"}, "used": {"requests.memory": "3Gi", "pods": "2"}},
    }  # fmt: skip
    found = only(
        check(wanted(component("tidb", 1, "2Gi", cls="", storage="")), w.world(w.node("n1"), quota))
    )
    assert found.why == "it leaves 1Gi requests.memory, and the pods that are still to come ask 2Gi"


def test_what_it_may_not_read_is_not_taken_for_well() -> None:
    gap = Gap("nodes", "", "", "no reason can be given node by node", "403")
    unknown = Gap(
        "tidbvolumes", "helm-tidb.io", "", "the disks can't be listed", "404", forbidden=False
    )
    found = only(check(wanted(component()), w.world(gaps=(gap, unknown))))
    assert (found.code, str(found.subject)) == ("rights", "ServiceAccount db/shop-preflight")
    assert found.why == (
        "its account may not list nodes in the whole cluster: no reason can be given node by node"
    )
    assert found.remedy.startswith("give it the ClusterRole that the chart renders for it")


def test_an_old_kubernetes() -> None:
    found = only(check(wanted(server=(1, 29)), w.world(w.node("n1"))))
    assert found.why == "the API server is 1.29, and the chart needs 1.30"


def test_the_first_line_says_it_all() -> None:
    found = check(wanted(server=(1, 29)), w.world(w.node("n1")))
    refused = report(wanted(), found, "refuse")[0]
    assert refused.startswith("preflight: refused; 1 problem, first: the API server is 1.29")
    assert "to mend it: upgrade Kubernetes first" in refused
    assert "goes on (preflight.mode=warn)" in report(wanted(), found, "warn")[0]


def test_what_the_chart_hands_over() -> None:
    one = {
        "name": "pd",
        "replicas": 3,
        "pod": {"spec": {"containers": []}},
        "storageClass": "c",
        "storage": "1Gi",
    }
    said = {
        "version": "v8.5.7",
        "components": [one],
        "classes": ["c"],
        "manages": True,
        "takeOver": "",
    }
    parsed = parse(json.dumps(said), "shop", "db")
    assert parsed.components[0] == Component("pd", 3, one["pod"], "c", "1Gi")  # type: ignore[arg-type]
    with pytest.raises(WantedError, match="--want is not what the chart writes"):
        parse("{}", "shop", "db")
