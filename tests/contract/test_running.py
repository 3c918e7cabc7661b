"""With PD_URL: a PD that runs is asked what changes nothing, and must answer as the captured healthy one."""

from __future__ import annotations

import os

import pytest

from tests.contract import captures
from tests.contract.compare import Names, compare
from tests.contract.programs import ask

# Those that depend on the lab: how many members and stores, their labels, what is configured.
LAB = ("config", "member", "leader", "health-", "stores", "store", "regions", "stats", "scheduler")
NAMES = [
    n
    for n in captures.names()
    if n.startswith("healthy-")
    and not n.endswith("follower")
    and not any(part in n for part in LAB)
]


@pytest.mark.skipif("PD_URL" not in os.environ, reason="PD_URL names no running PD")
@pytest.mark.parametrize("name", NAMES)
def test_running_pd(name: str) -> None:
    capture = captures.load(name)
    answer = ask(os.environ["PD_URL"].rstrip("/") + capture["request"]["path"])
    assert compare(capture, answer, Names()) == []
