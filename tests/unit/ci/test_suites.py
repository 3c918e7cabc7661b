"""What `make test` counts as passed: every suite of every lane, and none that ran no test."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci import suites
from ci.suites import Run, Suite


@pytest.fixture(autouse=True)
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "BUILD", tmp_path)


def suite(folder: Path, name: str, body: str, lane: str) -> Suite:
    (folder / f"test_{name}.py").write_text(body)
    return Suite(name, paths=(str(folder / f"test_{name}.py"),), lane=lane)


def test_all_lanes_run_and_each_suite_counts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Run(
        [
            suite(tmp_path, "good", "def test_it(): pass", "one"),
            suite(tmp_path, "bad", "def test_it(): assert not 'well'", "two"),
            suite(tmp_path, "empty", "", "two"),
        ],
        soak=False,
    )
    run.all()
    assert sorted(run.broken) == ["bad", "empty"]
    assert (run.total.passed, run.total.failed) == (1, 1)
    said = capfd.readouterr().out
    assert "assert not 'well'" in said
    assert "== good: 1 passed, 0 failed in " in said


def test_an_unknown_suite_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        suites.main(["unti"])
    assert "no suite unti; there are unit, chart" in capsys.readouterr().err


def test_every_file_of_cluster_tests_is_in_a_suite() -> None:
    here = sorted((suites.ROOT / "tests" / "cluster").glob("test_*.py"))
    ours = [place for one in suites.SUITES for place in one.places if "cluster" in place.parts]
    assert sorted(ours) == here
