"""Say on stderr what a slow step does, how far it is and how long it has taken; stay silent when it is quick.

    with progress.step("tools: kubernetes v1.36.3") as step:
        step.at("412 of 1830 packages")

A step of less than two seconds prints nothing, and of steps within steps only the innermost speaks. On a terminal its
line is rewritten in place; elsewhere (CI logs) a new line comes now and then, so that a reader can tell slow from
dead. Standard library only.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

QUIET_SECONDS = 2.0
TERMINAL_SECONDS = 0.25
LOG_SECONDS = 15.0

_under_way: list[Step] = []


class Step:
    """One step under way. `at` may be called as often as wished, from any thread."""

    def __init__(self, what: str, stream: TextIO) -> None:
        self.what = what
        self._far = ""
        self._stream = stream
        self._terminal = stream.isatty()
        self._started = time.monotonic()
        self._printed = False
        self._done = threading.Event()
        _under_way.append(self)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def at(self, far: str) -> None:
        """How far the step is, in the step's own units."""
        self._far = far

    def finish(self, outcome: str) -> None:
        """End the step. Prints only if the step was slow enough to have been announced."""
        self._done.set()
        self._thread.join()
        _under_way.remove(self)
        if self._printed:
            end = f"{self.what}: {outcome} after {self._elapsed()}"
            self._stream.write(f"\r\033[K{end}\n" if self._terminal else f"{end}\n")
            self._stream.flush()

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._started)
        return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"

    def _watch(self) -> None:
        wait = QUIET_SECONDS
        while not self._done.wait(wait):
            if _under_way[-1] is not self:
                continue
            wait = TERMINAL_SECONDS if self._terminal else LOG_SECONDS
            self._printed = True
            line = ", ".join(part for part in (self._far, self._elapsed()) if part)
            text = f"{self.what}: {line}"
            self._stream.write(f"\r\033[K{text}" if self._terminal else f"{text}\n")
            self._stream.flush()


@contextmanager
def step(what: str, stream: TextIO | None = None) -> Iterator[Step]:
    """Run a block as one step; its end is told as "done", or as "failed" when an exception leaves it."""
    running = Step(what, stream or sys.stderr)
    try:
        yield running
    except BaseException:
        running.finish("failed")
        raise
    running.finish("done")


def say(text: str) -> None:
    """One line for the person who waits, apart from any step."""
    print(text, file=sys.stderr, flush=True)
