"""Mutations that no test can notice, each with the reason: they change what is written, not what is done."""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str], str] = {}
