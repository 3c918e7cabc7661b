"""Wrong values are refused in words that name the key, the value and the remedy: tests/chart/wrong/*.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import template

CASES: dict[str, dict[str, Any]] = {
    case["name"]: case
    for path in sorted((Path(__file__).parent / "wrong").glob("*.yaml"))
    for case in yaml.safe_load(path.read_text())
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str) -> None:
    case = CASES[name]
    rendered = template(values=case.get("values", {}), release=case.get("release", "shop"))
    assert rendered.error, "it was rendered"
    for words in case["says"]:
        assert words in rendered.error


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 40


def test_both_helms_refuse_alike() -> None:
    """The words are the chart's and the schema's; Helm 3 gives them in another order."""
    for name in ("an even number of PD members", "a letter missing in a key", "everything at once"):
        errors = [
            template(values=CASES[name]["values"], helm=helm).error for helm in ("helm4", "helm3")
        ]
        for words in CASES[name]["says"]:
            assert all(words in error for error in errors)
