"""One real cluster a session, one namespace a test, and everything a person needs when a test fails.

`HELM_TIDB_TEST_CLUSTER=NAME` uses a cluster that is up already (and leaves it up): the quick way while writing a test.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ci.cluster import Cluster, faults
from ci.cluster.api import wait_until
from ci.cluster.errors import WaitTimeoutError
from tests.cluster.evidence import gather
from tests.cluster.kube import Kubectl

BUILD = Path(__file__).resolve().parents[2] / "build"
IMAGES = ("busybox", "hooks", "standin")

WaitFor = Callable[..., None]


@pytest.fixture(scope="session")
def session_cluster() -> Iterator[Cluster]:
    """The session's cluster: four nodes with two disks each, and the images that tests run."""
    named = os.environ.get("HELM_TIDB_TEST_CLUSTER")
    if named:
        yield Cluster.find(named)
        return
    cluster = Cluster.up(f"test-{os.getpid()}", nodes=4, disks_a_node=2, images=IMAGES)
    yield cluster
    cluster.down()


@pytest.fixture
def cluster(session_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, with every fault that the test made undone after it."""
    yield session_cluster
    faults.mend(session_cluster)


@pytest.fixture
def fresh_disks(cluster: Cluster) -> Cluster:
    """The cluster with a new, empty disk in every slot: nothing of an earlier test is found on them."""
    faults.renew_disks(cluster)
    return cluster


@pytest.fixture
def kube(session_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl in a namespace of the test's own, which goes with everything in it after the test."""
    stem = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40]
    namespace = f"{stem}-{os.urandom(3).hex()}".removeprefix("test-")
    kubectl = Kubectl(session_cluster, namespace)
    kubectl.run("create", "namespace", namespace)
    request.node.stash[KUBE] = kubectl
    yield kubectl
    # Deleting goes on by itself; a node that a test left dead would make it wait for ever.
    kubectl.run("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def wait_for() -> WaitFor:
    """Wait until `condition()` is true; fail with `what` and with what `seen()` says, never go on silently."""

    def wait(
        condition: Callable[[], Any],
        timeout: float,
        what: str,
        seen: Callable[[], Any] = lambda: "",
        pause: float | None = None,
    ) -> None:
        try:
            wait_until(condition, what, timeout, pause=pause, seen=lambda: str(seen()))
        except WaitTimeoutError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None

    return wait


KUBE = pytest.StashKey[Kubectl]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """When a test fails: events, pods and logs of its namespace go under build/failed/ and onto the report."""
    report = yield
    if report.when == "call" and report.failed and KUBE in item.stash:
        folder = BUILD / "failed" / re.sub(r"[^\w.-]+", "_", item.nodeid)
        summary = gather(item.stash[KUBE], folder)
        report.sections.append(
            (f"cluster (all of it in {folder.relative_to(BUILD.parent)})", summary)
        )
    return report
