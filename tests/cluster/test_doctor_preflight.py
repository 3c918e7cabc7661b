"""Preflight with Helm on a real cluster: a refused install changes nothing, and reads well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.kube import Kubectl
from tests.cluster.release import CHART, NAME, Release, local_volumes


@pytest.fixture
def release(kube: Kubectl, tmp_path: Path) -> Iterator[Release]:
    with local_volumes(kube.cluster, kube.namespace):
        made = Release(kube, tmp_path)
        yield made
        made.helm("uninstall", NAME, "--ignore-not-found", "--wait=hookOnly")


def test_a_refused_install_says_why_and_leaves_nothing(release: Release) -> None:
    values = {"preflight": {"mode": "refuse"}, "tikv": {"resources": {"cpu": "100"}}}
    said = release.refused("install", NAME, str(CHART), values=values)
    assert (
        "preflight: refused; 1 problem, first: none of 4 nodes takes it: 4 nodes with too little cpu (asked 100,"
        in said
    )
    assert "ask for less than" in said
    assert release.kube.all("statefulsets") == []
    # The same values are let through, and told, when it only warns; `off` has no Job at all.
    warned = release.template({**values, "preflight": {"mode": "warn"}})
    assert "--mode=warn" in warned
    assert "preflight" not in release.template({**values, "preflight": {"mode": "off"}})
