"""One action class: `code` says which verb, `subject` (with its UID) on what; apply.py looks again before each."""

from __future__ import annotations

from dataclasses import dataclass

from hooks.engine import Action, Subject


@dataclass(frozen=True, kw_only=True)
class Cleaning(Action):
    pass


def cleaning(code: str, subject: Subject, does: str, why: str) -> Cleaning:
    return Cleaning(code=code, subject=subject, does=does, why=why)
