"""PD members lose their disks: one heals through its peers, all of them are never replaced by an empty cluster."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci.cluster import Cluster
from tests.cluster.conftest import WaitFor
from tests.cluster.kube import Kubectl
from tests.cluster.release import NAME, Release, empty_disk_under, local_volumes

# PD is what this is about: one store makes it a cluster that has data.
VALUES = {
    "pd": {"config": {"replication": {"max-replicas": 1}}},
    "tikv": {"replicas": 1},
    "tidb": {"replicas": 0},
}
RECORD = f"{NAME}-cluster"


@pytest.fixture(params=["helm3"])
def release(
    cluster: Cluster, kube: Kubectl, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Release]:
    """By Helm 3, which must install the chart as well as Helm 4 does."""
    with local_volumes(cluster, kube.namespace):
        made = Release(kube, tmp_path, helm=request.param)
        yield made
        made.helm("uninstall", NAME, "--ignore-not-found")


def last_message(release: Release, pod: str) -> str:
    """What `kubectl describe pod` shows of the init container that gave up."""
    found = release.kube.find("pod", pod) or {"status": {}}
    # A pod that was made a moment ago has no such status yet.
    for boot in found["status"].get("initContainerStatuses", []):
        for state in (boot["state"], boot.get("lastState", {})):
            if "terminated" in state:
                return str(state["terminated"].get("message", ""))
    return ""


def waits(release: Release, pod: str) -> str:
    """The Events by which this pod says why it does not start."""
    events = release.kube.all("events.events.k8s.io", "--field-selector", f"regarding.name={pod}")
    return "\n".join(
        event.get("note", "")
        for event in events
        if event["reportingController"] == "helm-tidb.io/boot"
    )


def lose_disks(release: Release, *members: str) -> None:
    """Empty the disks of these members while they are stopped, as after an exchange of the machines' disks."""
    kube, nodes = release.kube, release.kube.cluster.nodes
    # The StatefulSet makes the pods anew at once; they wait for a node until the disks are empty.
    kube.run("cordon", *nodes)
    try:
        kube.run("delete", "pod", *members, "--grace-period=1")
        for member in members:
            empty_disk_under(kube.cluster, kube, f"pd-{member}")
    finally:
        kube.run("uncordon", *nodes)


def delete_member(release: Release, name: str) -> None:
    """What failover does, and the message says how a person does."""
    address = next(
        pod["status"]["podIP"] for pod in release.pods("pd") if pod["metadata"]["name"] != name
    )
    url = f"http://{address}:2379/pd/api/v1/members/name/{name}"
    with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=15) as answer:
        assert answer.status == 200


def test_pd_members_that_lost_their_disks(release: Release, wait_for: WaitFor) -> None:
    kube = release.kube
    release.install(VALUES)
    wait_for(lambda: release.ready(pd=3, tikv=1), 120, "PD and one store Ready", release.seen)
    record = kube.get("configmap", RECORD)["data"]
    assert record["members"] == "shop-pd-0,shop-pd-1,shop-pd-2"
    assert int(record["clusterId"]) > 2**53

    # One disk lost: the member waits and says for what; removed from PD's list, it joins by itself.
    lose_disks(release, "shop-pd-1")
    wait_for(
        lambda: "this disk is empty" in waits(release, "shop-pd-1"),
        60,
        "an Event that says why",
        release.seen,
    )
    assert "pd-ctl member delete name shop-pd-1; it then joins by itself" in waits(
        release, "shop-pd-1"
    )
    assert "has been" not in release.log("shop-pd-1", "boot")
    delete_member(release, "shop-pd-1")
    wait_for(lambda: release.ready(pd=3, tikv=1), 90, "the member joined again", release.seen)
    assert "--join=http://shop-pd-" in release.log("shop-pd-1", "boot")

    # All disks lost: nobody starts, for as long as nobody decides.
    everyone = ("shop-pd-0", "shop-pd-1", "shop-pd-2")
    lose_disks(release, *everyone)
    for member in everyone:
        wait_for(
            lambda member=member: (
                "a start now would make a second, empty cluster" in last_message(release, member)
            ),
            90,
            f"{member} refuses",
            release.seen,
        )
    said = last_message(release, "shop-pd-0")
    assert f"the release is cluster {record['clusterId']} since " in said
    assert f"pd-recover -cluster-id {record['clusterId']}" in said
    assert f"kubectl delete configmap {RECORD}" in said
    assert release.pods("pd") == []
    assert kube.get("configmap", RECORD)["data"] == record

    # Nor after a reinstall under the same name: the record outlives the release.
    release.helm("uninstall", NAME, "--wait")
    release.install(VALUES)
    wait_for(
        lambda: (
            "a start now would make a second, empty cluster" in last_message(release, "shop-pd-0")
        ),
        90,
        "a reinstalled member refuses",
        release.seen,
    )

    # A person names the lost cluster: PD starts, and the store waits for pd-recover beside a PD of another id.
    allow = json.dumps({"data": {"rebootstrap": record["clusterId"]}})
    kube.run("patch", "configmap", RECORD, "--type=merge", "-p", allow)
    kube.run("delete", "pod", *everyone, "shop-tikv-0", "--grace-period=0", "--force")
    wait_for(
        lambda: (
            f"pd-recover -cluster-id {record['clusterId']} has run" in waits(release, "shop-tikv-0")
        ),
        90,
        "the store waits for pd-recover",
        release.seen,
    )
    assert kube.get("configmap", RECORD)["data"]["clusterId"] == record["clusterId"]
