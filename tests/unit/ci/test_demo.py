"""The demo's parts that need no cluster: its refusals, its log, what the README takes from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci.demo import excerpt, release
from ci.demo.__main__ import main
from ci.demo.milestones import Milestone, NotReachedError, reach
from ci.demo.teller import Teller


def test_images_that_there_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEMO_IMAGES", "mine")
    assert main(["--name", "never-made"]) == 1
    assert (
        "demo: DEMO_IMAGES is 'mine': expected standin (the default) or pingcap"
        in capsys.readouterr().out
    )


def test_the_real_images_take_no_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_IMAGES", "pingcap")
    assert not any("standin" in word for word in release.image_values())
    monkeypatch.delenv("DEMO_IMAGES")
    assert "tikv.image.repository=helm-tidb/standin" in release.image_values()


def test_milestones_are_told_as_they_come_and_what_is_missing_is_named(tmp_path: Path) -> None:
    teller = Teller(tmp_path / "log")
    calls = {"late": 0}

    def late() -> str:
        calls["late"] += 1
        return "late is there" if calls["late"] > 1 else ""

    reach([Milestone("late", late), Milestone("soon", lambda: "soon is there")], 5, teller)
    with pytest.raises(NotReachedError, match="not within 0 s: never"):
        reach([Milestone("never", lambda: "")], 0, teller)
    teller.output("\n".join(map(str, range(9))), most=3)
    teller.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split("s  ")[1] for line in lines[:2]] == ["soon is there", "late is there"]
    assert lines[-1].strip() == "… 6 more lines"


def test_a_story_that_was_not_told_to_the_end_is_no_excerpt() -> None:
    with pytest.raises(excerpt.ExcerptError, match="is not told to the end; record it anew"):
        excerpt.excerpt("1. A Kubernetes\n   1.0 s  up\n")
    with pytest.raises(excerpt.ExcerptError, match="has no place for the demo"):
        excerpt.readme("# x", "")
