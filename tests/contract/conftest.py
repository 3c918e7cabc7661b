"""Stories are told once a session, three at a time, and only those that the chosen tests need."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.contract.story import Story
from tests.contract.table import STORIES

AT_A_TIME = 3


class Told:
    """A story and how it ended: "" or the traceback of what kept it from its end."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.broken = ""

    def tell(self) -> Told:
        try:
            self.story.tell()
        except Exception:  # noqa: BLE001 - whatever it was, it belongs into the tests that wait for it
            self.broken = traceback.format_exc()
        finally:
            self.story.world.stop()
        return self


@pytest.fixture(scope="session")
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Told]]]:
    """The stories that are being told, by name."""
    if "PD_URL" in os.environ:
        pytest.skip(
            "PD_URL names a running PD: only what changes nothing is asked (test_running.py)"
        )
    wanted = {
        item.callspec.params["story"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and "story" in getattr(item, "callspec", _NONE).params
    }
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {
            name: pool.submit(Told(STORIES[name](tmp_path_factory.mktemp(name) / "world")).tell)
            for name in STORIES
            if name in wanted
        }


class _NoParameters:
    params: dict[str, str] = {}  # noqa: RUF012 - read only


_NONE = _NoParameters()
