"""`python -m ci.demo.excerpt` copies what the pages show of two runs out of their logs; `--check` only compares.

docs/demo.log     record it by `python -m ci.demo --log docs/demo.log`
docs/doctor.log   record it by `HELM_TIDB_RECORD=1 pytest tests/cluster/test_doctor_reasons.py`
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ci.demo.tools import ROOT

LOG = ROOT / "docs" / "demo.log"
REASONS = ROOT / "docs" / "doctor.log"
README = ROOT / "README.md"
DOCTOR = ROOT / "docs" / "kubectl-tidb.md"
# What a reader meets first; docs/kubectl-tidb.md has all.
_SHORT = (
    "too little memory",
    "StorageClass that does not exist",
    "no volume of that size",
    "volume's node is cordoned",
    "disk not mounted",
    "crash loop: duplicated store address",
)
_WIDTH = 150
_SENTENCE = 260


class ExcerptError(Exception):
    """A log has not what the pages show, or a page no place for it."""


@dataclass(frozen=True)
class Told:
    """One reason of docs/doctor.log: what was wrong, doctor's sentence, and what ends it."""

    wrong: str
    said: str
    remedy: str


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
            kept.append(_cut(line, _WIDTH))
    if len(kept) < 12:
        raise ExcerptError(f"{LOG}: the story is not told to the end; record it anew")
    return "\n".join(["```text", *kept, "```"])


def told(log: str) -> list[Told]:
    """The reasons of docs/doctor.log, in its order."""
    found = []
    for block in log.strip().split("\n\n")[1:]:
        wrong, said, *_, remedy = block.splitlines()
        found.append(Told(wrong, said.strip().partition(": ")[2], remedy.strip()))
    return found


def table(reasons: Sequence[Told]) -> str:
    rows = [f"| {one.wrong} | {_cell(one.said)} | {_cell(one.remedy)} |" for one in reasons]
    return "\n".join(
        ["| what was wrong | what `doctor` said | and what ends it |", "|---|---|---|", *rows]
    )


def short(reasons: Sequence[Told]) -> list[Told]:
    found = [one for one in reasons if one.wrong in _SHORT]
    if len(found) < len(_SHORT):
        raise ExcerptError(f"{REASONS}: lacks one of {', '.join(_SHORT)}; record it anew")
    return found


def filled(text: str, name: str, content: str) -> str:
    """The page with its part `name` written anew; it stands between two comments."""
    begin, end = (
        f"<!-- {name}: written by `python -m ci.demo.excerpt` from ",
        f"<!-- end of {name} -->",
    )
    before, found, rest = text.partition(begin)
    source, _, _ = rest.partition("\n")
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ExcerptError(
            f"a page has no place for {name}; put these lines there:\n{begin}… -->\n{end}"
        )
    return f"{before}{begin}{source}\n{content}\n{end}{after}"


def pages() -> dict[str, str]:
    """Path below the root → what the page should be."""
    reasons = told(REASONS.read_text())
    readme = filled(README.read_text(), "demo", excerpt(LOG.read_text()))
    return {
        "README.md": filled(readme, "reasons", table(short(reasons))),
        "docs/kubectl-tidb.md": filled(DOCTOR.read_text(), "reasons", table(reasons)),
    }


def _cell(text: str) -> str:
    return _cut(text, _SENTENCE).replace("|", "\\|")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def main() -> int:
    try:
        wanted = pages()
    except (ExcerptError, OSError) as error:
        print(f"excerpt: {error}", file=sys.stderr)
        return 1
    stale = [path for path, text in wanted.items() if (ROOT / path).read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"excerpt: {path} is stale: run `python -m ci.demo.excerpt`", file=sys.stderr)
        return int(bool(stale))
    for path in stale:
        (ROOT / path).write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
