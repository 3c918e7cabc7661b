"""The rules, in the order in which they see each object. Each is one module; none knows of another.

A rule has a name, a sentence about itself, `visit` for one object, and `finish` for what only the whole release shows.
Its fields are its parameters: their defaults are those of schema/postrender.config.schema.yaml (a test compares).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

from postrender.findings import Finding
from postrender.manifest import Manifest


class Rule(Protocol):
    name: ClassVar[str]
    summary: ClassVar[str]

    def visit(self, manifest: Manifest) -> None:
        """Look at one object, change it by `manifest.set`, report by `manifest.say`."""

    def finish(self) -> Iterator[Finding]:
        """What shows only after the last object. Refusals and warnings: the documents are gone by then."""
