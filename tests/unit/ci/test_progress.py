"""Quick steps are silent, slow ones say what, how far and how long; of nested steps the innermost speaks."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable

import pytest

from ci import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.02)
    monkeypatch.setattr(progress, "TERMINAL_SECONDS", 0.02)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "not within 5 s"
        time.sleep(0.005)


def test_a_quick_step_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 60.0)
    stream = io.StringIO()
    with progress.step("quick", stream):
        pass
    assert stream.getvalue() == ""


def test_a_slow_step_says_what_how_far_and_how_long_line_by_line() -> None:
    stream = io.StringIO()
    with progress.step("tools: etcd", stream) as step:
        step.at("3 of 7 packages")
        until(lambda: stream.getvalue().count("\n") >= 2)
    lines = stream.getvalue().splitlines()
    assert all(re.fullmatch(r"tools: etcd: 3 of 7 packages, \d+ s", line) for line in lines[:-1])
    assert re.fullmatch(r"tools: etcd: done after \d+ s", lines[-1])
    assert "\033" not in stream.getvalue()


def test_a_terminals_line_is_rewritten_in_place() -> None:
    stream = Terminal()
    with progress.step("image", stream):
        until(lambda: stream.getvalue().count("\r") >= 2)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("image: done after 0 s\n")


def test_a_failed_step_is_told_as_failed_and_its_error_goes_on() -> None:
    stream = io.StringIO()

    def fail() -> None:
        with progress.step("image", stream):
            until(lambda: stream.getvalue() != "")
            raise ValueError("reason")

    with pytest.raises(ValueError, match="reason"):
        fail()
    assert stream.getvalue().splitlines()[-1] == "image: failed after 0 s"


def test_of_nested_steps_only_the_innermost_speaks() -> None:
    stream = io.StringIO()
    with progress.step("outer", stream), progress.step("inner", stream):
        until(lambda: stream.getvalue().count("\n") >= 3)
        assert "outer" not in stream.getvalue()
