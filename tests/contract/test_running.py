"""A PD that runs is asked what changes nothing, and must answer as the captured healthy one.

PD_URL names it; without it a small cluster of this suite's own is started, so that these cases are never left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.contract import captures
from tests.contract.compare import Names, compare
from tests.contract.programs import World, ask, wait_until
from tests.contract.story import SCALE

# Not those that depend on the lab: how many members and stores, their labels, what is configured.
LAB = ("config", "member", "leader", "health-", "stores", "store", "regions", "stats", "scheduler")
NAMES = [
    n
    for n in captures.names()
    if n.startswith("healthy-")
    and not n.endswith("follower")
    and not n.endswith("health")
    and not any(part in n for part in LAB)
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PD that runs."""
    if "PD_URL" in os.environ:
        yield os.environ["PD_URL"].rstrip("/")
        return
    world = World(tmp_path_factory.mktemp("running") / "world", scale=SCALE)
    try:
        world.start_pds(1)
        world.start_tikv("tikv-0")
        wait_until("a store", world.stores)
        yield world.pd_url("pd-0")
    finally:
        world.stop()


@pytest.mark.parametrize("name", NAMES)
def test_running_pd(running: str, name: str) -> None:
    capture = captures.load(name)
    answer = ask(running + capture["request"]["path"])
    assert compare(capture, answer, Names()) == []
