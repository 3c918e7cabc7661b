"""What is said about one thing that isn't well."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hooks.engine import Subject


class Weight(enum.IntEnum):
    """How much of a person's attention it needs; the order of a report."""

    PROBLEM = 0  # it stays so until a person acts
    WAITING = 1  # it ends by itself; the finding says when
    NOTE = 2  # worth knowing


@dataclass(frozen=True, kw_only=True)
class Finding:
    """code: short and stable. why: one sentence with the numbers. details: a line each, such as node by node.

    remedy: what to type or to change; for WAITING, what ends it.
    """

    code: str
    subject: Subject
    weight: Weight
    why: str
    remedy: str
    details: tuple[str, ...] = ()
    numbers: Mapping[str, float | str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "subject": str(self.subject),
            "weight": self.weight.name.lower(),
            "why": self.why,
            "details": list(self.details),
            "remedy": self.remedy,
            "numbers": dict(self.numbers),
        }


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def some(names: list[str], most: int = 5) -> str:
    """`n1, n2 and 3 more`."""
    shown = names[:most]
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")
