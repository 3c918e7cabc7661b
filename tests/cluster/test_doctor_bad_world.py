"""`kubectl tidb` where it can't see or can't act, on a real cluster: a sentence each, and for a missing right the Role
that grants it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ci.cluster import Cluster, faults
from hooks.doctor import command
from hooks.engine import Exit
from tests.cluster.conftest import WaitFor
from tests.cluster.kube import Kubectl
from tests.cluster.reasons import stateful_set


def account(kube: Kubectl, name: str, folder: Path) -> Path:
    """The kubeconfig of a new account, which has no rights."""
    kube.run("create", "serviceaccount", name)
    config = json.loads(kube.cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": kube.run("create", "token", name).strip()}
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def test_without_rights_it_says_which_are_missing_and_prints_the_role(
    kube: Kubectl, tmp_path: Path, wait_for: WaitFor, capsys: pytest.CaptureFixture[str]
) -> None:
    kube.apply(
        stateful_set("tidb"),
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
    there = ["-n", kube.namespace, "--kubeconfig", str(account(kube, "guest", tmp_path))]

    def status() -> int:
        capsys.readouterr()
        return command.main(["status", *there])

    # The API server learns of a new binding a moment later.
    wait_for(lambda: status() == Exit.WAITING, 20, "the account may list StatefulSets")
    status()
    said = capsys.readouterr()
    assert "shop-tidb-0" in said.out
    assert f"note: may not list pods in namespace {kube.namespace}: " in said.err
    assert (
        "note: may not list tidbvolumes.helm-tidb.io in the whole cluster: the disks can't be listed"
        in said.err
    )
    assert "list nodes" not in said.err  # which it does not show
    assert (
        f"note: may not get services/proxy in namespace {kube.namespace}: what PD says is not known"
        in said.err
    )
    assert f"name: tidb-doctor\n  namespace: {kube.namespace}" in said.err
    assert f'name: "system:serviceaccount:{kube.namespace}:guest"' in said.err
    # The Role is whole: what it grants is no longer missing.
    roles = said.err.partition("by somebody who may grant them):")[2]
    kube.run("apply", "-f", "-", stdin=roles)

    def missing() -> bool:
        status()
        return "may not" in capsys.readouterr().err

    wait_for(lambda: not missing(), 20, "nothing is missing any more")

    # A command that stops at the first missing right prints that one's Role.
    assert command.main(["plan", "failover", *there]) == Exit.ERROR
    said = capsys.readouterr()
    assert (
        f'cannot get resource "cronjobs" in API group "batch" in the namespace "{kube.namespace}"'
        in said.err
    )
    assert '{apiGroups: ["batch"], resources: [cronjobs], verbs: [get]}' in said.err  # fmt: skip


def test_without_any_right_the_release_can_be_named(
    kube: Kubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ["-n", kube.namespace, "--kubeconfig", str(account(kube, "nobody", tmp_path))]
    assert command.main(["doctor", *there]) == Exit.ERROR
    said = capsys.readouterr().err
    assert f"note: may not list statefulsets.apps in namespace {kube.namespace}: " in said
    assert '{apiGroups: ["apps"], resources: [statefulsets], verbs: [list]}' in said
    assert "which release is meant can't be told" in said
    assert said.rstrip().endswith("name it with -l RELEASE")
    # Nothing can be read, and that is what it says: no finding is made up.
    assert command.main(["doctor", "-l", "shop", *there]) == Exit.ERROR
    heard = capsys.readouterr()
    assert heard.out.strip() == "release shop: can't tell, for its pods may not be listed"
    assert "note: may not list nodes in the whole cluster" in heard.err


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
