"""`python -m ci.demo.excerpt` copies what README.md shows of the demo out of docs/demo.log; `--check` only compares.

Record a new log by `python -m ci.demo --log docs/demo.log`, then run this.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ci.demo.tools import ROOT

LOG = ROOT / "docs" / "demo.log"
REASONS = ROOT / "docs" / "doctor.log"
README = ROOT / "README.md"
BEGIN = "<!-- demo: written by `python -m ci.demo.excerpt` from docs/demo.log -->"
END = "<!-- end of demo -->"
_WIDTH = 150


class ExcerptError(Exception):
    """The log has not what the README shows, or the README no place for it."""


def excerpt(log: str) -> str:
    """From the loss of the machine to the count of rows, without the screens in between."""
    kept: list[str] = []
    chapter = 0
    for line in log.splitlines():
        heading = re.match(r"(\d+)\. ", line)
        chapter = int(heading[1]) if heading else chapter
        told = re.match(r"\s*\d+\.\d s  ", line)
        doctor = chapter == 5 and not re.search(
            r"\$ kubectl tidb plan|failover: |^ +(waits|would|did)", line
        )
        if (4 <= chapter <= 8 and (heading or told)) or (doctor and line.strip()):
            kept.append(line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…")
    if len(kept) < 12:
        raise ExcerptError(f"{LOG}: the story is not told to the end; record it anew")
    return "\n".join(kept)


def readme(text: str, log: str) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ExcerptError(
            f"{README}: has no place for the demo; put these lines there:\n{BEGIN}\n{END}"
        )
    return f"{before}{BEGIN}\n```text\n{excerpt(log)}\n```\n{END}{after}"


def main() -> int:
    text = README.read_text()
    try:
        wanted = readme(text, LOG.read_text())
    except (ExcerptError, OSError) as error:
        print(f"excerpt: {error}", file=sys.stderr)
        return 1
    if "--check" in sys.argv[1:]:
        if wanted != text:
            print("excerpt: README.md is stale: run `python -m ci.demo.excerpt`", file=sys.stderr)
        return int(wanted != text)
    Path(README).write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
