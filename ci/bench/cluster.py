"""What the test cluster costs: time to come and go, memory and CPU at rest, and 100 KWOK nodes beside it.

Goals (issue 3): warm `up` ≤ 20 s, `down` ≤ 5 s, at rest ≤ 1.2 GiB PSS and ≤ 20 % of a core, 100 KWOK nodes ≤ 150 MiB.
"""

from __future__ import annotations

import time

from ci.bench import spread
from ci.cluster import Cluster, kwok, usage

RUNS = 3
NAME = "bench"
IMAGES = ("busybox", "hooks")
SETTLE_SECONDS = 20.0
WATCH_SECONDS = 20.0


def main() -> None:
    ups, downs = [], []
    for run in range(RUNS):
        began = time.monotonic()
        cluster = Cluster.up(NAME, nodes=4, disks_a_node=2, images=IMAGES)
        ups.append(time.monotonic() - began)
        if run == RUNS - 1:
            _at_rest(cluster)
        began = time.monotonic()
        cluster.down()
        downs.append(time.monotonic() - began)
    print(f"up, 4 nodes Ready, images {', '.join(IMAGES)} loaded, DNS answering: {spread(ups)}")
    print(f"down: {spread(downs)}")


def _at_rest(cluster: Cluster) -> None:
    alone = _measured(cluster, "4 nodes at rest")
    kwok.start(cluster.memory, cluster.api, 100)
    beside = _measured(cluster, "with 100 KWOK nodes")
    more = beside.pss_bytes - alone.pss_bytes
    print(f"100 KWOK nodes: {more / 2**20:.0f} MiB more")


def _measured(cluster: Cluster, what: str) -> usage.Usage:
    # Start-up work (leases, caches, image unpacking) is over after this; it is not what is measured.
    time.sleep(SETTLE_SECONDS)
    found = usage.measure(cluster.memory, WATCH_SECONDS)
    print(f"{what}: {found.pss_bytes / 2**20:.0f} MiB PSS in {found.processes} processes, "
          f"{found.cpu * 100:.1f} % of one core over {found.seconds:.0f} s")  # fmt: skip
    return found
