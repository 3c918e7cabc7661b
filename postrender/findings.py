"""What a rule has to say about an object: plain data, for the report, for stderr and for a KRM function's results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum


class Severity(Enum):
    """How much a finding matters. Only a refusal keeps the stream back."""

    REFUSAL = "refusal"
    WARNING = "warning"
    CHANGE = "change"
    NOTE = "note"

    @classmethod
    def of_policy(cls, policy: str) -> Severity | None:
        """The severity for a policy of the configuration (`refuse`, `warn`, `note`); None for `allow`."""
        return {"refuse": cls.REFUSAL, "warn": cls.WARNING, "note": cls.NOTE}.get(policy)


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that a finding is about: from which input and template, which document (from 1), its first line there.

    `input_name` is a file's path, or `stdin`; `source` and `namespace` may be empty.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    input_name: str
    source: str
    document: int
    line: int

    def __str__(self) -> str:
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {name}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one field. `path` is dotted, items by name where they have one: `spec.containers[pd].image`.

    A change has `before` (None: the field was not there) and `after`; a refusal or warning has a remedy. `line` is 0
    where nobody looked for it (locate.py).
    """

    rule: str
    code: str
    severity: Severity
    subject: Subject
    path: str
    message: str
    remedy: str = ""
    before: str | None = None
    after: str | None = None
    line: int = 0

    @property
    def place(self) -> tuple[str, int]:
        """The input and the line in it: the field's own where it was looked for, else the object's first."""
        return self.subject.input_name, self.line or self.subject.line

    def __str__(self) -> str:
        """`StatefulSet db-tikv (tidb/templates/tikv/statefulset.yaml) spec.…: message; remedy [rule/code]`."""
        place = f" ({self.subject.source})" if self.subject.source else ""
        field_ = f" {self.path}" if self.path else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.subject}{place}{field_}: {self.message}{remedy} [{self.rule}/{self.code}]"


@dataclass(slots=True)
class Amount:
    """CPU in thousandths of a core, memory in bytes."""

    cpu_milli: int = 0
    memory_bytes: int = 0

    def add(self, other: Amount, times: int = 1) -> None:
        self.cpu_milli += other.cpu_milli * times
        self.memory_bytes += other.memory_bytes * times

    def at_least(self, other: Amount) -> None:
        self.cpu_milli = max(self.cpu_milli, other.cpu_milli)
        self.memory_bytes = max(self.memory_bytes, other.memory_bytes)


@dataclass(slots=True)
class Totals:
    """What the release asks of the cluster: while it runs, on every node besides, and by Jobs and hooks while they
    run.
    """

    running: Amount = field(default_factory=Amount)
    per_node: Amount = field(default_factory=Amount)
    jobs: Amount = field(default_factory=Amount)


@dataclass(slots=True)
class Findings:
    """Everything the rules said in one pass, in the order in which they said it."""

    items: list[Finding] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)

    def of(self, *severities: Severity) -> list[Finding]:
        return [item for item in self.items if item.severity in severities]

    @property
    def refused(self) -> bool:
        return any(item.severity is Severity.REFUSAL for item in self.items)

    def count(self, severity: Severity) -> int:
        return sum(item.severity is severity for item in self.items)


def plural(count: int, noun: str) -> str:
    """`1 refusal`, `2 refusals`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *most, last = list(names) or [""]
    return f"{', '.join(most)} and {last}" if most else last
