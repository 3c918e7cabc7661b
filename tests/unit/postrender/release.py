"""Run the post-renderer in this process, as the tests of rules need it: text and configuration in, outcome out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import settings

from postrender import config
from postrender.engine import Pass
from postrender.findings import Severity
from postrender.reader import Reader
from postrender.stream import Chunk, split
from postrender.values import Token, Value
from schema.names import API_VERSION

# `make soak` looks longer; no deadline, because the machine is shared and a slow example proves nothing.
SOAK = os.environ.get("HELM_TIDB_SOAK") == "1"
SEARCH = settings(max_examples=3_000 if SOAK else 100, deadline=None)


@dataclass
class Outcome:
    output: str
    done: Pass

    def told(self, severity: Severity) -> list[str]:
        """`Kind name path: message; remedy [rule/code]` of each finding."""
        return [str(item) for item in self.done.findings.of(severity)]

    @property
    def refusals(self) -> list[str]:
        return self.told(Severity.REFUSAL)

    @property
    def warnings(self) -> list[str]:
        return self.told(Severity.WARNING)

    @property
    def notes(self) -> list[str]:
        return self.told(Severity.NOTE)

    @property
    def changes(self) -> list[str]:
        return [
            f"{it.path}: {it.before} -> {it.after}" for it in self.done.findings.of(Severity.CHANGE)
        ]


def release(stream: str, base: Path = Path(), **rules: Any) -> Outcome:
    """Pass a stream through. Rules by keyword; `only="guaranteed"` turns all others off."""
    only = rules.pop("only", None)
    sections: dict[str, Any] = {name.replace("_", "-"): value for name, value in rules.items()}
    if only:
        for rule in config.RULES:
            if rule.name != only:
                sections[rule.name] = {"enabled": False}
    body = {"apiVersion": API_VERSION, "kind": config.KIND, "rules": sections}
    config.check(body, "postrender.config.schema.yaml", "test")
    done = Pass(lambda _: config.rules(body, base))
    output = done.run(stream.encode()).decode()
    done.finish()
    return Outcome(output, done)


def pod(containers: str, kind: str = "Deployment", name: str = "db", extra: str = "") -> str:
    """A workload with these containers (indented by 8) and more of its pod's spec (by 6)."""
    return f"""apiVersion: apps/v1
kind: {kind}
metadata:
  name: {name}
spec:
  template:
    spec:
{extra}      containers:
{containers}"""


def read(text: str) -> Value:
    """One document's value."""
    return Reader().read(Chunk(text, 1, 0)).root


def read_all(stream: str) -> list[Any]:
    """The typed values of a stream's documents, empty ones left out."""
    reader = Reader()
    values = [reader.read(chunk).root for chunk in split(stream)]
    return [typed(value) for value in values if value is not None]


def typed(value: Value) -> Any:
    """The value with its types in sight: equality alone takes a Token for the string that it spells."""
    if isinstance(value, dict):
        return {_typed_scalar(key): typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return _typed_scalar(value)


def _typed_scalar(value: Value) -> Any:
    return ("token", value.written) if isinstance(value, Token) else value
