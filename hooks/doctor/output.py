"""How commands print: columns, colour only where a person sees it, JSON and YAML for programs.

Data goes to stdout and everything else to stderr. A word's meaning is in the word; colour repeats it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

_GOOD, _WAITS, _BAD = "32", "33", "31"
# Words of a status and what they mean for the reader.
_COLOURS = {
    **dict.fromkeys(("Running", "Up", "Bound", "Available", "healthy", "leader", "Ready"), _GOOD),
    **dict.fromkeys(
        ("Pending", "Wiping", "Released", "Disconnected", "Offline", "Terminating", "starting"),
        _WAITS,
    ),
    **dict.fromkeys(("Failed", "Lost", "Refused", "Down", "silent", "problem", "NotReady"), _BAD),
}


def colours() -> bool:
    """Whether to colour: on a terminal, unless NO_COLOR is set (no-color.org) or the terminal is dumb."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain


def columns(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, colour: bool = False
) -> list[str]:
    """Aligned; the last column is as long as it is. Colours are put on after the widths were measured."""
    whole = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(row[i]) for row in whole) for i in range(len(head) - 1)]
    lines = []
    for number, row in enumerate(whole):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        if colour and number:
            cells = [paint(cell) for cell in cells]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return lines


def paint(cell: str) -> str:
    code = _COLOURS.get(cell.strip())
    return f"\033[{code}m{cell}\033[0m" if code else cell


def emit(document: Any, fmt: str) -> str:
    """`json` or `yaml` of plain data."""
    if fmt == "json":
        return json.dumps(document, ensure_ascii=False, indent=1)
    # Only now: YAML is asked for seldom, and its import takes 20 ms.
    import yaml

    text: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=120)
    return text.rstrip()


def say(text: str) -> None:
    """For the person, not for a pipe."""
    print(text, file=sys.stderr, flush=True)
