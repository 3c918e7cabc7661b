"""Recorded layouts of disks: for each, every candidate's disks, identity and problems, and the words they come in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hooks.disks.judge import Policy, judge
from tests.unit.disks.trees import FIXTURES, expand

POLICY = Policy(min_size_bytes=10 << 30)
# The loops of a test cluster are small.
POLICIES = {"loop": Policy()}


@pytest.mark.parametrize("name", sorted(path.stem for path in FIXTURES.glob("*.tree")))
def test_recorded_layout(name: str, tmp_path: Path) -> None:
    tree = expand(name, tmp_path)
    entries = judge(tree.observe(), POLICIES.get(name, POLICY), {})
    found = {tree.told(entry.path) or entry.device: entry for entry in entries}
    assert sorted(found) == sorted(tree.expected)
    for path, expected in tree.expected.items():
        entry = found[path]
        told = (entry.device, entry.disks, entry.identity, tuple(sorted(entry.codes)))
        assert told == (
            expected.device,
            expected.disks,
            expected.identity,
            tuple(sorted(expected.problems)),
        ), f"{name}: {path}: {entry.problems}"
    for path, words in tree.said:
        messages = [tree.told(problem.message) for problem in found[path].problems]
        messages = [message.replace(str(tmp_path), "") for message in messages]
        assert any(words in message for message in messages), f"{words!r} not in {messages}"


def test_every_code_of_the_contract_is_shown_by_a_layout(tmp_path: Path) -> None:
    """All but those that show beside a marker or a request alone (test_agent_identity.py, test_refusals.py)."""
    schema = yaml.safe_load(
        (Path(__file__).resolve().parents[3] / "schema/inventory.schema.yaml").read_text()
    )
    contract = set(schema["definitions"]["problem"]["properties"]["code"]["enum"])
    shown: set[str] = set()
    for path in FIXTURES.glob("*.tree"):
        tree = expand(path.stem, tmp_path / path.stem)
        read = {path for path, _ in tree.said}
        shown |= {
            code
            for place, expected in tree.expected.items()
            if place in read
            for code in expected.problems
        }
    assert shown == contract - {"changed", "marker"}
