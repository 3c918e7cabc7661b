"""Each reason for waiting provoked on a real cluster, and what `kubectl tidb doctor` makes of it.

All at once in one namespace (reasons.py). A lost machine is the demo's, whose output test_demo.py reads, and so are
the reasons of single disks and a store that PD itself refuses. `HELM_TIDB_RECORD=1` keeps what was said in
docs/doctor.log, from which `python -m ci.demo.excerpt` takes the tables of the pages.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ci.demo import excerpt
from hooks.doctor import command
from hooks.engine import Exit
from tests.cluster.conftest import WaitFor
from tests.cluster.kube import Kubectl
from tests.cluster.reasons import GPU, REASONS, local_volume, settled, troubled

VOLUMES = {"home": "n4", "held": "n3", "lost": "n2", "nowhere": "n1", "gone": "n9"}


@pytest.fixture
def classes(kube: Kubectl) -> Iterator[str]:
    """A StorageClass of the test's own with a volume for each who needs one; n3 and n4 as they were, afterwards."""
    name = f"disks-{kube.namespace}"
    kube.apply(
        {
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
            "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
        },
        *(
            local_volume(f"{kube.namespace}-{who}", name, node, "/mnt/disks/d0" + ("/none" if who == "nowhere" else ""))
            for who, node in VOLUMES.items()
        ),
    )  # fmt: skip
    yield name
    kube.run("uncordon", "n4")
    kube.run("patch", "node", "n3", "--type=merge", "-p", '{"spec":{"taints":null}}')
    volumes = [f"{kube.namespace}-{who}" for who in VOLUMES]
    kube.run("delete", "--wait=false", "--ignore-not-found", "pv", *volumes)
    kube.run("delete", "--ignore-not-found", "storageclass", name)


def doctor(
    kube: Kubectl, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, dict[str, Any]]:
    """The command's exit code and its JSON."""
    there = ["-n", kube.namespace, "--kubeconfig", str(kube.cluster.kubeconfig)]
    capsys.readouterr()
    code = command.main(["doctor", "-o", "json", *there, *more])
    return code, json.loads(capsys.readouterr().out)


def lose_places(kube: Kubectl, wait_for: WaitFor) -> None:
    """n4 is cordoned, n3 tainted, a bound volume deleted; the pods whose data is there have to start again."""
    homes = ("home", "held", "tikv")
    wait_for(
        lambda: all(
            (kube.find("pvc", f"data-shop-{who}-0") or {}).get("status", {}).get("phase") == "Bound"
            for who in homes
        ),
        60, "three claims are bound, each on its node", lambda: kube.run("get", "pvc"),
    )  # fmt: skip
    kube.run("cordon", "n4")
    kube.run("taint", "node", "n3", "helm-tidb.io/test=reasons:NoSchedule")
    kube.run("delete", "pv", f"{kube.namespace}-lost", "--wait=false")
    finalizers = '{"metadata":{"finalizers":null}}'
    kube.run("patch", "pv", f"{kube.namespace}-lost", "--type=merge", "-p", finalizers)
    pods = [f"shop-{who}-0" for who in homes]
    kube.run("delete", "pod", *pods, "--grace-period=0", "--force")


@pytest.mark.usefixtures("cluster")
def test_each_reason_is_found_and_explained(
    kube: Kubectl,
    classes: str,
    wait_for: WaitFor,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {"cls": classes, "near": classes.replace("disks-", "disk-"), "ns": kube.namespace}
    kube.apply({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"},
        "spec": {"hard": {f"requests.{GPU}": "0"}},
    })  # fmt: skip
    kube.apply(*settled(classes))
    lose_places(kube, wait_for)
    kube.apply(*troubled(classes, names["near"], kube.namespace))
    heard: dict[str, dict[str, Any]] = {}

    def missing() -> dict[str, str]:
        code, document = doctor(kube, capsys)
        assert code in (Exit.REFUSED, Exit.WAITING), document
        heard.clear()
        heard.update(
            {one["subject"].replace(f"{kube.namespace}/", ""): one for one in document["findings"]}
        )
        return {
            one.subject: "{code}: {why}".format(**heard[one.subject]) if one.subject in heard else "not told"
            for one in REASONS
            if heard.get(one.subject, {}).get("code") != one.code
        }  # fmt: skip

    wait_for(lambda: not missing(), 120, "every reason is told", missing, 2.0)
    for one in REASONS:
        found = heard[one.subject]
        assert one.words.format(**names) in found["why"], found["why"]
        assert found["remedy"]
        assert one.remedy.format(**names) in found["remedy"], found["remedy"]
    # Node by node, with numbers.
    details = heard["Pod shop-cpu-0"]["details"]
    assert any("n1" in line and "asks 100" in line for line in details)
    assert any("n4" in line and "is cordoned" in line for line in details)
    # One pod alone, by name.
    code, document = doctor(kube, capsys, "shop-secret-0")
    assert (code, [one["code"] for one in document["findings"]]) == (
        Exit.REFUSED,
        ["container-config"],
    )
    if os.environ.get("HELM_TIDB_RECORD") == "1":
        text = record(heard, kube)
        for long, short in (
            (names["near"], "tidb-locl"),
            (classes, "tidb-local"),
            (kube.namespace, "shop"),
        ):
            text = text.replace(long, short)  # fmt: skip
        excerpt.REASONS.write_text(text)


def record(heard: dict[str, dict[str, Any]], kube: Kubectl) -> str:
    """docs/doctor.log: what was wrong, then doctor's finding, as it prints it."""
    version = json.loads(kube.run("version", "-o", "json"))["serverVersion"]["gitVersion"]
    lines = [
        f"What `kubectl tidb doctor` said of each reason, provoked on a real cluster: Kubernetes {version}, "
        f"{datetime.now(UTC):%Y-%m-%d}.",
        "Names of the test's namespace, volumes and classes are shortened; the rest is as it was printed.",
    ]
    for one in REASONS:
        found = heard[one.subject]
        lines += [
            "",
            one.wrong,
            f"  {found['subject']}: {found['why']}",
            *(f"  {d}" for d in found["details"]),
        ]
        lines.append(f"  {'ends' if found['weight'] == 'waiting' else 'do'}: {found['remedy']}")  # fmt: skip
    return "\n".join(lines) + "\n"
