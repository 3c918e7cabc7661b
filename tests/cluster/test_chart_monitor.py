"""The monitor as a real Prometheus: every process a target that is up, its data kept or lost as the values say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ci.cluster import Cluster
from tests.cluster.conftest import WaitFor
from tests.cluster.kube import Kubectl
from tests.cluster.release import NAME, Release, local_volumes, merged

VALUES: dict[str, Any] = {
    "pd": {"replicas": 1, "config": {"replication": {"max-replicas": 1}}},
    "tikv": {"replicas": 1},
    "monitor": {"enabled": True},
}


@pytest.fixture
def release(cluster: Cluster, kube: Kubectl, tmp_path: Path) -> Iterator[Release]:
    cluster.load_image("prometheus")
    with local_volumes(cluster, kube.namespace):
        made = Release(kube, tmp_path)
        yield made
        made.helm("uninstall", NAME, "--ignore-not-found", "--wait=hookOnly")


def targets(release: Release) -> dict[str, str]:
    """`component/instance` → up, down or unknown; {} also while Prometheus does not answer, as when it is replaced."""
    try:
        found = release.prometheus("targets", state="active")["activeTargets"]
    except (IndexError, OSError):
        return {}
    return {f"{t['labels']['component']}/{t['labels']['instance']}": t["health"] for t in found}


def oldest(release: Release) -> float | None:
    """When the oldest sample that Prometheus has was taken (seconds since 1970); None as long as it has none."""
    found = release.prometheus(
        "query", query="min_over_time(timestamp(up{job='prometheus'})[1h:1s])"
    )["result"]
    return float(found[0]["value"][1]) if found else None


def replace_pod(release: Release, wait_for: WaitFor) -> tuple[float, float]:
    """Kill Prometheus' pod, and wait until another one has samples: the oldest before and after."""
    before = first_sample(release, wait_for)
    (pod,) = release.pods("prometheus")
    release.kube.run("delete", "pod", pod["metadata"]["name"])
    wait_for(
        lambda: [
            p for p in release.pods("prometheus") if p["metadata"]["uid"] != pod["metadata"]["uid"]
        ],
        60,
        "another Prometheus Ready",
        release.seen,
    )
    return before, first_sample(release, wait_for)


def first_sample(release: Release, wait_for: WaitFor) -> float:
    """`oldest`, once there is one: a query sees what was scraped before the last full second."""
    wait_for(lambda: oldest(release) is not None, 30, "a first sample")
    found = oldest(release)
    assert found is not None
    return found


def test_the_monitor(release: Release, wait_for: WaitFor) -> None:
    said = release.install(VALUES)
    assert "The monitor's data goes with its pod: monitor.persistent is false" in said
    everyone = {
        "pd/shop-pd-0": "up",
        "tikv/shop-tikv-0": "up",
        "tidb/shop-tidb-0": "up",
        "prometheus/localhost:9090": "up",
    }
    wait_for(lambda: targets(release) == everyone, 120, "every target up", lambda: targets(release))
    rules = release.prometheus("rules")["groups"]
    assert [group["name"] for group in rules] == ["tidb"]
    assert {rule["health"] for group in rules for rule in group["rules"]} <= {"ok", "unknown"}

    # Without a claim the data goes with the pod.
    before, after = replace_pod(release, wait_for)
    assert after > before

    # With one it stays; the switch is thrown on the living release.
    storage_class = release.base["pd"]["storageClassName"]
    kept = {"monitor": {"persistent": True, "storageClassName": storage_class, "storage": "100Mi"}}
    said = release.upgrade(merged(VALUES, kept))
    assert "goes with its pod" not in said
    claim = f"{NAME}-prometheus"

    def on_its_claim() -> bool:
        """The one that answers is no longer the one before, whose targets are up too until it goes."""
        return [
            volume["persistentVolumeClaim"]["claimName"]
            for pod in release.pods("prometheus")
            for volume in pod["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        ] == [claim]

    wait_for(
        lambda: on_its_claim() and targets(release) == everyone,
        120,
        "Prometheus on its claim",
        release.seen,
    )
    before, after = replace_pod(release, wait_for)
    assert after == before

    # The claim outlives the release.
    release.helm("uninstall", NAME, "--wait")
    assert release.kube.get("pvc", claim)["status"]["phase"] == "Bound"
