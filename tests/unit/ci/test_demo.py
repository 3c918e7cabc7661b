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


def test_what_was_undone_before_the_last_came_is_waited_for_again(tmp_path: Path) -> None:
    """Such as a node that was NotReady for a moment, and is Ready again when PD has lost the store."""
    teller = Teller(tmp_path / "log")
    asked = iter(["it is so", "", "", "it is so", "it is so"])
    late = iter(["", "at last", "at last", "at last"])
    reach(
        [Milestone("flaps", lambda: next(asked)), Milestone("late", lambda: next(late))], 5, teller
    )
    assert next(asked, None) is None
    teller.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split("s  ")[1] for line in lines] == ["it is so", "at last"]


def test_a_story_that_was_not_told_to_the_end_is_no_excerpt() -> None:
    with pytest.raises(excerpt.ExcerptError, match="is not told to the end; record it anew"):
        excerpt.excerpt("1. A Kubernetes\n   1.0 s  up\n")
    with pytest.raises(
        excerpt.ExcerptError, match="a page has no place for demo; put these lines there"
    ):
        excerpt.filled("# x", "demo", "")


def test_a_table_of_the_pages_is_made_of_the_doctors_log() -> None:
    log = "What doctor said\nof each\n\ntoo little CPU\n  Pod db/a: none | takes it\n    n1: cpu\n  do: ask for less\n"
    (one,) = excerpt.told(log)
    assert one == excerpt.Told("too little CPU", "none | takes it", "do: ask for less")
    assert excerpt.table([one]).endswith(
        "| too little CPU | none \\| takes it | do: ask for less |"
    )
    with pytest.raises(excerpt.ExcerptError, match="lacks one of too little memory, "):
        excerpt.short([one])
    begin, end = (
        "<!-- reasons: written by `python -m ci.demo.excerpt` from x -->",
        "<!-- end of reasons -->",
    )
    assert (
        excerpt.filled(f"a\n{begin}\nold\n{end}\nz", "reasons", "new")
        == f"a\n{begin}\nnew\n{end}\nz"
    )
