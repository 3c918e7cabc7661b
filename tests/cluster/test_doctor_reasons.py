"""Each reason for waiting provoked on a real cluster, and what `kubectl tidb doctor` makes of it.

All at once in one namespace: small StatefulSets with the labels of a release, each with one thing wrong. The
database's own troubles (a lost node, a store that is replaced) are the demo's, whose output test_demo.py reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ci.cluster import Cluster, faults
from hooks.doctor import command
from hooks.engine import Exit
from tests.cluster.conftest import WaitFor
from tests.cluster.kube import Kubectl, Object

GPU = "example.com/gpu"
DUPLICATED = "[FATAL] duplicated store address: id:51, already registered by id:5"


def labels(component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "tidb", "app.kubernetes.io/part-of": "tidb",
        "app.kubernetes.io/instance": "shop", "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "Helm",
    }  # fmt: skip


def stateful_set(
    component: str,
    *,
    shell: str = "sleep 3600",
    image: str = "helm-tidb/busybox:dev",
    asks: dict[str, str] | None = None,
    container: Object | None = None,
    pod: Object | None = None,
    claim: Object | None = None,
) -> Object:
    asked = {"cpu": "10m", "memory": "16Mi", **(asks or {})}
    main = {
        "name": component, "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", shell],
        "resources": {"requests": asked, "limits": asked}, **(container or {}),
    }  # fmt: skip
    templates = [{"metadata": {"name": "data"}, "spec": claim}] if claim else []
    if claim:
        main["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": f"shop-{component}", "labels": labels(component)},
        "spec": {
            "serviceName": "shop", "replicas": 1, "selector": {"matchLabels": labels(component)},
            "volumeClaimTemplates": templates,
            "template": {
                "metadata": {"labels": labels(component)},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [main], **(pod or {})},
            },
        },
    }  # fmt: skip


def claim(storage_class: str, size: str = "1Gi") -> Object:
    return {
        "accessModes": ["ReadWriteOnce"], "storageClassName": storage_class,
        "resources": {"requests": {"storage": size}},
    }  # fmt: skip


def local_volume(name: str, storage_class: str, node: str, path: str) -> Object:
    terms = [
        {
            "matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
            ]
        }
    ]
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": storage_class,
            "local": {"path": path}, "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
    }  # fmt: skip


@pytest.fixture
def classes(kube: Kubectl) -> Iterator[str]:
    """A StorageClass of the test's own, a volume on a folder that is nowhere, and one that goes with its node."""
    name = f"disks-{kube.namespace}"
    made = {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
    }  # fmt: skip
    kube.apply(
        made,
        local_volume(
            f"{kube.namespace}-nowhere", name, "n1", f"/mnt/disks/d0/none-{kube.namespace}"
        ),
    )
    yield name
    kube.run("uncordon", "n4")
    kube.run(
        "delete",
        "--wait=false",
        "--ignore-not-found",
        "pv",
        f"{kube.namespace}-nowhere",
        f"{kube.namespace}-home",
    )
    kube.run("delete", "--ignore-not-found", "storageclass", name)


def doctor(
    kube: Kubectl, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, dict[str, Any]]:
    """The command's exit code and its JSON."""
    words = [
        "doctor",
        "-n",
        kube.namespace,
        "-o",
        "json",
        "--kubeconfig",
        str(kube.cluster.kubeconfig),
        *more,
    ]
    capsys.readouterr()
    code = command.main(words)
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("cluster")
def test_each_reason_is_found_and_explained(
    kube: Kubectl,
    classes: str,
    wait_for: WaitFor,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kube.apply({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"},
        "spec": {"hard": {f"requests.{GPU}": "0"}},
    })  # fmt: skip
    # A claim whose data is on n4 already, which is then cordoned.
    kube.apply(local_volume(f"{kube.namespace}-home", classes, "n4", "/mnt/disks/d0"))
    kube.apply(
        stateful_set(
            "home", claim=claim(classes), pod={"nodeSelector": {"kubernetes.io/hostname": "n4"}}
        )
    )
    wait_for(
        lambda: (kube.find("pvc", "data-shop-home-0") or {}).get("status", {}).get("phase") == "Bound",
        60, "the claim is bound to n4's volume",
    )  # fmt: skip
    kube.run("cordon", "n4")
    kube.run("delete", "pod", "shop-home-0", "--grace-period=0", "--force")
    kube.apply(
        stateful_set("cpu", asks={"cpu": "100"}),
        stateful_set("selector", pod={"nodeSelector": {"disk": "nvme"}}),
        stateful_set("class", claim=claim(classes.replace("disks-", "disk-"))),
        stateful_set("size", claim=claim(classes, "5Gi")),
        stateful_set("image", image="registry.invalid/none:1"),
        stateful_set("secret", container={"envFrom": [{"secretRef": {"name": "nobody"}}]}),
        stateful_set("crash", shell=f"echo '{DUPLICATED}' >&2; exit 1"),
        stateful_set("hungry", shell="tail /dev/zero"),
        stateful_set("quota", asks={GPU: "1"}),
        stateful_set("nowhere", claim=claim(classes), pod={"nodeSelector": {"kubernetes.io/hostname": "n1"}}),
        {
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "shop-job", "labels": labels("job")},
            "spec": {"backoffLimit": 0, "template": {
                "metadata": {"labels": labels("job")},
                "spec": {"restartPolicy": "Never", "containers": [{
                    "name": "job", "image": "helm-tidb/busybox:dev", "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", "echo 'error: no PD leader'; exit 1"],
                    "resources": {"limits": {"cpu": "10m", "memory": "16Mi"}},
                }]},
            }},
        },
    )  # fmt: skip
    expected = {
        "Pod shop-cpu-0": ("unschedulable-resource", "with too little cpu (asked 100, most free "),
        "Pod shop-selector-0": ("unschedulable-selector", "lacks disk=nvme"),
        "Pod shop-class-0": (
            "class-missing",
            f"StorageClass {classes.replace('disks-', 'disk-')} does not exist",
        ),
        "Pod shop-size-0": (
            "unschedulable-no-volume",
            f"no free volume of class {classes} with 5Gi",
        ),
        "Pod shop-image-0": ("image-pull", "can't pull image registry.invalid/none:1"),
        "Pod shop-secret-0": ("container-config", 'secret "nobody" not found'),
        "Pod shop-crash-0": (
            "duplicated-store-address",
            "store 5 is still registered at this address",
        ),
        "Pod shop-hungry-0": ("out-of-memory", "was killed for using more than its 16Mi of memory"),
        "Pod shop-nowhere-0": (
            "folder-missing",
            "the disk is not mounted, or another disk sits in its place",
        ),
        "Pod shop-home-0": (
            "home-cordoned",
            "of node n4, the only one that can run it, and that is cordoned",
        ),
        "StatefulSet shop-quota": ("quota", f"allows requests.{GPU}=0"),
        "Job shop-job": ("job-failed", "it failed (BackoffLimitExceeded): it does not reach PD"),
    }
    heard: dict[str, dict[str, Any]] = {}

    def missing() -> dict[str, Any]:
        code, document = doctor(kube, capsys)
        assert code in (Exit.REFUSED, Exit.WAITING), document
        heard.clear()
        heard.update(
            {one["subject"].replace(f"{kube.namespace}/", ""): one for one in document["findings"]}
        )
        return {
            subject: heard.get(subject, {}).get("why", "not told")
            for subject, (reason, _) in expected.items()
            if heard.get(subject, {}).get("code") != reason
        }

    wait_for(lambda: not missing(), 100, "every reason is told", lambda: missing(), 2.0)
    for subject, (_, words) in expected.items():
        assert words in heard[subject]["why"], heard[subject]["why"]
        assert heard[subject]["remedy"]
    assert f"did you mean {classes}?" in heard["Pod shop-class-0"]["remedy"]
    assert heard["Pod shop-home-0"]["remedy"] == "kubectl uncordon n4"
    assert any("n1" in line and "asks 100" in line for line in heard["Pod shop-cpu-0"]["details"])
    # One pod alone, by name.
    code, document = doctor(kube, capsys, "shop-secret-0")
    assert (code, [one["code"] for one in document["findings"]]) == (
        Exit.REFUSED,
        ["container-config"],
    )


def test_without_rights_it_says_which_are_missing_and_prints_the_role(
    kube: Kubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kube.apply(
        stateful_set("tidb"),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "guest"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "guest"},
            "rules": [{"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["list"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "guest"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "guest"},
            "subjects": [{"kind": "ServiceAccount", "name": "guest", "namespace": kube.namespace}],
        },
    )  # fmt: skip
    config = json.loads(kube.cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": kube.run("create", "token", "guest").strip()}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    code = command.main(["status", "-n", kube.namespace, "--kubeconfig", str(path)])
    said = capsys.readouterr()
    assert code == Exit.WAITING
    assert "shop-tidb-0" in said.out
    assert f"note: may not list pods in namespace {kube.namespace}: " in said.err
    assert (
        "note: may not list nodes in the whole cluster: no reason can be given node by node"
        in said.err
    )
    assert (
        f"note: may not get services/proxy in namespace {kube.namespace}: what PD says is not known"
        in said.err
    )
    assert f"name: tidb-doctor\n  namespace: {kube.namespace}" in said.err
    assert f'name: "system:serviceaccount:{kube.namespace}:guest"' in said.err


def test_half_an_installation_and_no_api_are_a_sentence_each(
    cluster: Cluster, kube: Kubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["status", "-n", kube.namespace, "--kubeconfig", str(cluster.kubeconfig)]
    assert command.main(words) == Exit.ERROR
    assert f"namespace {kube.namespace} has no release of the chart tidb" in capsys.readouterr().err
    # Pods are there and PD is not.
    kube.apply(stateful_set("tikv"))
    assert command.main(words) == Exit.WAITING
    assert "PD: GET /pd/api/v1/members reached no PD member" in capsys.readouterr().out
    faults.stop_api(cluster)
    try:
        assert command.main(words) == Exit.ERROR
        said = capsys.readouterr().err
    finally:
        faults.start_api(cluster)
    assert "no connection to https://" in said
    assert "hint: `kubectl get --raw /readyz`" in said
    assert len(said.splitlines()) < 6
