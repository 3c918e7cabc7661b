"""The captures of a real PD, read from beside the checkout; which story brings each one about, or why none does."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from tests.contract.programs import ROOT

FOLDER = ROOT.parent / "shared" / "pd" / "captures"


class CapturesMissingError(Exception):
    """The captures are not there; the message says where they are expected."""


@cache
def names() -> tuple[str, ...]:
    """Every capture's name, sorted."""
    found = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
    if not found:
        raise CapturesMissingError(
            f"no captures of a real PD in {FOLDER}: the project's shared/ folder must stand beside the checkout"
        )
    return found


@cache
def load(name: str) -> dict[str, Any]:
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        raise CapturesMissingError(f"there is no capture {name} in {FOLDER}")
    capture: dict[str, Any] = json.loads(path.read_text())
    return capture
