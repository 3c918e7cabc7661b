"""A release lives: installed, tested, upgraded, scaled, reached each way, never shrunk, at rest when nothing is new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ci.cluster import Cluster
from schema.names import ALLOW_REPLICAS_ANNOTATION as ALLOW
from tests.cluster.conftest import WaitFor
from tests.cluster.kube import Kubectl, Object
from tests.cluster.release import NAME, Release, local_volumes, sql_answers


@pytest.fixture
def release(cluster: Cluster, kube: Kubectl, tmp_path: Path) -> Iterator[Release]:
    with local_volumes(cluster, kube.namespace):
        made = Release(kube, tmp_path)
        yield made
        made.helm("uninstall", NAME, "--ignore-not-found", "--wait=hookOnly")


def state(release: Release) -> dict[str, tuple[str, Any]]:
    """Every rendered object with resourceVersion and generation, every pod with its restarts. Hooks are made anew."""
    found: dict[str, tuple[str, Any]] = {}
    kinds = "statefulsets,services,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets,pvc"
    for o in release.kube.all(kinds):
        if "helm.sh/hook" not in o["metadata"].get("annotations", {}) and not o["metadata"].get(
            "ownerReferences"
        ):
            found[f"{o['kind']}/{o['metadata']['name']}"] = (
                o["metadata"]["resourceVersion"]
                if o["kind"] not in ("PodDisruptionBudget", "StatefulSet")
                else "",
                o["metadata"].get("generation"),
            )
    for pod in release.kube.all("pods", "-l", "app.kubernetes.io/component in (pd,tikv,tidb)"):
        restarts = [status["restartCount"] for status in pod["status"]["containerStatuses"]]
        found[f"Pod/{pod['metadata']['name']}"] = (pod["metadata"]["uid"], restarts)
    return found


def test_a_release_from_install_to_scale(release: Release, wait_for: WaitFor) -> None:
    kube = release.kube
    release.install({})
    host, port = release.any_node_address(), release.node_port(f"{NAME}-tidb", "sql")
    wait_for(lambda: sql_answers(host, port), 120, "SQL answers on a NodePort", release.seen)
    wait_for(lambda: release.ready(pd=3, tikv=3, tidb=1), 60, "all pods Ready", release.seen)

    # Guaranteed, as the API server sees it: the finished pods of hooks too.
    classes = {pod["metadata"]["name"]: pod["status"]["qosClass"] for pod in kube.all("pods")}
    assert len(classes) >= 8
    assert set(classes.values()) == {"Guaranteed"}, classes

    assert "check: TiDB answers" in release.helm("test", NAME, "--logs")

    # An upgrade with no change writes nothing and restarts nothing.
    before = state(release)
    release.upgrade({})
    assert state(release) == before

    # Nothing that ran has touched a field of the chart: a fresh render differs in nothing and applies without conflict.
    rendered = release.template({}, "--no-hooks")
    applied = ("--server-side", "--field-manager=helm", "-f", "-")
    kube.run("apply", *applied, stdin=with_ownership(rendered, kube.namespace))
    assert kube.run("diff", *applied, stdin=with_ownership(rendered, kube.namespace)) == ""

    # One store more, at once, and nothing else moves.
    pods = {name: seen for name, seen in state(release).items() if name.startswith("Pod/")}
    release.upgrade({"tikv": {"replicas": 4}})
    wait_for(
        lambda: len([s for s in release.stores() if s["store"]["state_name"] == "Up"]) == 4,
        60,
        "a fourth store Up",
        release.seen,
    )
    after = state(release)
    assert {name: after[name] for name in pods} == pods

    refuses_to_shrink(release)

    # The other ways to reach SQL.
    release.upgrade({"tikv": {"replicas": 4}, "tidb": {"service": {"type": "ClusterIP"}}})
    service = kube.get("service", f"{NAME}-tidb")
    assert service["spec"]["type"] == "ClusterIP"
    assert not any("nodePort" in item for item in service["spec"]["ports"])
    assert "check: TiDB answers" in release.helm("test", NAME, "--logs")
    release.upgrade(
        {
            "tikv": {"replicas": 4},
            "tidb": {
                "service": {
                    "type": "LoadBalancer",
                    "port": 3306,
                    "externalTrafficPolicy": "Cluster",
                }
            },
        }
    )
    port = release.node_port(f"{NAME}-tidb", "sql")
    wait_for(lambda: sql_answers(host, port), 30, "SQL answers behind the load balancer's NodePort")
    assert "check: TiDB answers" in release.helm("test", NAME, "--logs")
    after = state(release)
    assert {name: after[name] for name in pods} == pods


def refuses_to_shrink(release: Release) -> None:
    """Whoever asks, and by whatever way; the replicas stay, and nothing is left half-done."""
    kube = release.kube
    sentence = f"{NAME}-tikv: replicas 4 -> 3 refused"

    said = release.refused("upgrade", NAME, str(chart()), values={"tikv": {"replicas": 3}})
    assert "scale: nothing to do; refuses 1 thing" in said
    assert "tikv.replicas 4 -> 3 would stop shop-tikv-3" in said
    # The refused upgrade changed nothing, and the next one works.
    release.upgrade({"tikv": {"replicas": 4}})

    assert sentence in kube.refused("scale", "statefulset", f"{NAME}-tikv", "--replicas=3")
    assert "-> 0 refused" in kube.refused("scale", "statefulset", f"{NAME}-pd", "--replicas=0")
    patch = json.dumps({"spec": {"replicas": 3}})
    assert sentence in kube.refused(
        "patch", "statefulset", f"{NAME}-tikv", "--type=merge", "-p", patch
    )
    assert sentence in release.refused(
        "upgrade", NAME, str(chart()), "--no-hooks", values={"tikv": {"replicas": 3}}
    )
    first = release.helm("history", NAME, "-o", "json")
    revision = str(json.loads(first[first.index("[") :])[0]["revision"])
    assert sentence in release.refused("rollback", NAME, revision)
    rendered = with_ownership(release.template({}, "--no-hooks"), kube.namespace)
    assert sentence in kube.refused(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=rendered
    )
    assert kube.get("statefulset", f"{NAME}-tikv")["spec"]["replicas"] == 4

    # What a job will do once it has emptied a store: allow just that number, before the change and apart from it.
    both = json.dumps({"metadata": {"annotations": {ALLOW: "3"}}, "spec": {"replicas": 3}})
    assert sentence in kube.refused(
        "patch", "statefulset", f"{NAME}-tikv", "--type=merge", "-p", both
    )
    kube.run("annotate", "statefulset", f"{NAME}-tikv", f"{ALLOW}=3")
    two = json.dumps({"spec": {"replicas": 2}})
    assert "4 -> 2 refused" in kube.refused(
        "patch", "statefulset", f"{NAME}-tikv", "--type=merge", "-p", two
    )
    assert sentence in kube.refused("scale", "statefulset", f"{NAME}-tikv", "--replicas=3")
    kube.run(
        "patch", "statefulset", f"{NAME}-tikv", "--type=merge", "-p", patch, "--dry-run=server"
    )
    # Helm leaves the annotation to whoever wrote it.
    release.upgrade({"tikv": {"replicas": 4}})
    assert kube.get("statefulset", f"{NAME}-tikv")["metadata"]["annotations"][ALLOW] == "3"
    kube.run("annotate", "statefulset", f"{NAME}-tikv", f"{ALLOW}-")

    # TiDB holds nothing: it may go.
    release.upgrade({"tikv": {"replicas": 4}, "tidb": {"replicas": 2}})
    release.upgrade({"tikv": {"replicas": 4}, "tidb": {"replicas": 1}})


def chart() -> Path:
    from tests.cluster.release import CHART

    return CHART


def with_ownership(rendered: str, namespace: str) -> str:
    """A render as Helm applies it: with its three marks of ownership, and the namespace."""
    import yaml

    documents: list[Object] = [d for d in yaml.load_all(rendered, yaml.CSafeLoader) if d]
    for document in documents:
        metadata = document["metadata"]
        metadata.setdefault("labels", {})["app.kubernetes.io/managed-by"] = "Helm"
        marks = {"meta.helm.sh/release-name": NAME, "meta.helm.sh/release-namespace": namespace}
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **marks}
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
