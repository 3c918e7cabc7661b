"""A lone API server and etcd, the real ones, for what must not rest on the one in memory alone."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ci.cluster import Cluster
from hooks import kube
from schema import crd


@pytest.fixture(scope="session")
def api() -> Iterator[kube.Client]:
    """A client of a real API server that knows TidbVolume."""
    cluster = Cluster.up(f"faults-{os.getpid()}", nodes=0)
    client = kube.Client.connect("faults", kubeconfig=str(cluster.kubeconfig))
    client.create(crd.crd(crd.load()))
    _until_served(client)
    yield client
    cluster.down()


def _until_served(client: kube.Client) -> None:
    for _ in range(200):
        try:
            client.list(kube.TIDB_VOLUME)
            return
        except kube.NotFoundError:
            # Until the API server serves the new kind, its path is not there.
            client._sleep(0.05)
    raise AssertionError("the CRD was not served within 10 s")
