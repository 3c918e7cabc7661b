"""Each capture of a real PD is a test: the same situation, the same request, the same answer."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from tests.contract import captures, door, table
from tests.contract.conftest import Told

CASES = [(story, name) for story in table.STORIES for name in table.captures_of(story)]


@pytest.mark.parametrize(("story", "name"), CASES, ids=[name for _, name in CASES])
def test_capture(told: dict[str, Future[Told]], story: str, name: str) -> None:
    outcome = told[story].result()
    found = outcome.story.found.get(name)
    if found is None and not door.is_open():
        pytest.skip(door.REASON)
    assert found is not None, f"the story {story} did not come to it:\n{outcome.broken}"
    assert not found, f"{captures.load(name)['note']}:\n" + "\n".join(found)


@pytest.mark.parametrize("story", table.STORIES)
def test_story_comes_to_its_end(told: dict[str, Future[Told]], story: str) -> None:
    """And sees what the table says, no more and no less."""
    outcome = told[story].result()
    assert not outcome.broken, outcome.broken
    if door.is_open():
        assert sorted(outcome.story.found) == sorted(table.captures_of(story))


def test_every_capture_has_its_place() -> None:
    assert {table.place(name) for name in captures.names()} <= set(table.STORIES)
    assert set(table.NOT_REPRODUCED) <= set(captures.names())
    assert all(table.NOT_REPRODUCED.values())
    fitting = [[n for n in captures.names() if table.place(n) == s] for s in table.STORIES]
    assert sum(map(len, fitting)) == len(captures.names())


def test_the_page_of_captures_is_fresh() -> None:
    assert table.PAGE.read_text() == table.page(), "run `python -m tests.contract.table`"
