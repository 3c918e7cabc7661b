"""Tells the story: each line with the seconds since the beginning, on stdout and, if wished, in a log.

A log of a run is a document of the project (docs/demo.log): so what changes by chance, such as colours, is left out.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

_INDENT = " " * 9


class Teller:
    def __init__(self, log: Path | None) -> None:
        self._log = log.open("w") if log is not None else None
        self._began = time.monotonic()
        self._bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._chapter = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def chapter(self, title: str) -> None:
        """A heading: what happens next."""
        self._chapter += 1
        self._put("")
        line = f"{self._chapter}. {title}"
        self._put(line, f"\033[1m{line}\033[0m" if self._bold else line)

    def happened(self, text: str) -> None:
        """One thing that is so now, with the time it took to become so."""
        self._put(f"{self.seconds:6.1f} s  {text}")

    def command(self, text: str) -> None:
        """A command that the demo runs, as a person would type it."""
        self._put(f"{_INDENT}$ {text}")

    def output(self, text: str, most: int = 40) -> None:
        """What a command printed, cut to what belongs on a screen."""
        lines = text.rstrip().splitlines()
        for line in lines[:most]:
            self._put(f"{_INDENT}{line}")
        if len(lines) > most:
            self._put(f"{_INDENT}… {len(lines) - most} more lines")

    def plain(self, text: str) -> None:
        self._put(text)

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def _put(self, line: str, shown: str | None = None) -> None:
        print(line if shown is None else shown, flush=True)
        if self._log is not None:
            self._log.write(line + "\n")
            self._log.flush()
