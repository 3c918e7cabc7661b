"""The chart's values: from schema/values.schema.yaml to what Helm reads and to what people read.

Helm shows neither `description` nor `errorMessage` of a schema, only which rule failed where (measured), so the few
words it does show are used: a key that is one typing error away from a known one is a property whose only allowed value
is the hint, and Helm prints `at '/pd/replica': value must be 'not a key of this chart: use replicas'`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "schema" / "values.schema.yaml"
DEFAULTS = ROOT / "chart" / "values.yaml"

# What only the reference shows. `default` explains the default in words; the value itself is in values.yaml.
DOCUMENTATION = frozenset({"description", "default", "unit", "example", "since"})

_MISSING = object()


class ValuesSchemaError(Exception):
    """values.schema.yaml, or values.yaml against it, is wrong; one line a finding, each with its key."""


@dataclass(frozen=True)
class Value:
    """One leaf of the values: what the reference has a row for."""

    path: tuple[str, ...]
    schema: Mapping[str, Any]
    since: str

    @property
    def name(self) -> str:
        return ".".join(self.path)


def load() -> dict[str, Any]:
    """The authored schema, anchors resolved, without the pieces that only carry anchors."""
    authored: dict[str, Any] = yaml.safe_load(SOURCE.read_text())
    del authored["shared"]
    return authored


def defaults() -> dict[str, Any]:
    """values.yaml as Helm merges it under a user's values."""
    loaded: dict[str, Any] = yaml.safe_load(DEFAULTS.read_text())
    return loaded


def leaves(
    schema: Mapping[str, Any], path: tuple[str, ...] = (), since: str = ""
) -> Iterator[Value]:
    """Every value that a user sets as one thing, in the order of the file: all but objects with keys of ours."""
    since = schema.get("since", since)
    if not path or "properties" in schema:
        for key, below in schema["properties"].items():
            yield from leaves(below, (*path, key), since)
    elif "instead" not in schema:
        yield Value(path, schema, since)


def json_schema(authored: Mapping[str, Any]) -> dict[str, Any]:
    """Draft-07 for chart/values.schema.json: closed objects, hints for misspelt keys, no documentation."""
    return {"$schema": "http://json-schema.org/draft-07/schema#", **strict(authored)}


def strict(node: Mapping[str, Any]) -> dict[str, Any]:
    if "instead" in node:
        return {"enum": [f"not a key of this chart: use {node['instead']}"]}
    closed = {key: value for key, value in node.items() if key not in DOCUMENTATION}
    if isinstance(node.get("items"), Mapping):
        closed["items"] = strict(node["items"])
    if isinstance(node.get("additionalProperties"), Mapping):
        closed["additionalProperties"] = strict(node["additionalProperties"])
    if "properties" in node:
        closed["properties"] = {key: strict(value) for key, value in node["properties"].items()}
    if node.get("type") == "object" and "additionalProperties" not in node:
        closed["additionalProperties"] = False
        hints = _hints(node.get("properties", {}))
        if hints:
            closed["patternProperties"] = hints
    return closed


def _hints(properties: Mapping[str, Any]) -> dict[str, Any]:
    """For each key a pattern of its misspellings, and what Helm shall say about them."""
    known = [key for key, value in properties.items() if "instead" not in value and len(key) > 2]
    return {
        pattern: {"enum": [f"not a key of this chart: use {key}"]}
        for key in known
        for pattern in [misspellings(key)]
        if not any(re.search(pattern, other) for other in properties)
    }


def misspellings(key: str) -> str:
    """A pattern for what is one letter away from `key`: one more, one less, another, or two swapped. Never for `key`.

    Go's regular expressions, which Helm uses, know no look-ahead; so each place of the word is an alternative that
    cannot be right at that place.
    """
    ways = []
    for index, letter in enumerate(key):
        before, after = re.escape(key[:index]), re.escape(key[index + 1 :])
        ways.append(f"{before}(?:[^{letter}]?|.{re.escape(letter)}){after}")
        if after and letter != key[index + 1]:
            swapped = re.escape(key[index + 1] + letter)
            ways.append(f"{before}{swapped}{re.escape(key[index + 2 :])}")
    ways.append(f"{re.escape(key)}.")
    return f"^(?:{'|'.join(ways)})$"


def default_of(value: Value, values: Mapping[str, Any]) -> Any:
    """What values.yaml says for this leaf; raises KeyError when it says nothing."""
    found: Any = values
    for key in value.path:
        found = found[key]
    return found


def reference(authored: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """The values as Markdown: a section for each top-level key that has keys of its own, a row for each leaf."""
    sections: dict[str, list[Value]] = {}
    for value in leaves(authored):
        sections.setdefault(value.path[0] if len(value.path) > 1 else "", []).append(value)
    return "\n".join(
        line for key, rows in sections.items() for line in _section(key, rows, authored, values)
    )


def _section(
    key: str, rows: list[Value], authored: Mapping[str, Any], values: Mapping[str, Any]
) -> Iterator[str]:
    yield f"### {f'`{key}`' if key else 'All components'}"
    yield ""
    if key:
        yield from (authored["properties"][key]["description"], "")
    yield "| value | default | what it does |"
    yield "|---|---|---|"
    for row in rows:
        yield f"| `{row.name}` | {_default(row, values)} | {_prose(row)} |"
    yield ""


def _default(row: Value, values: Mapping[str, Any]) -> str:
    meaning = row.schema.get("default")
    if meaning:
        return str(meaning)
    value = default_of(row, values)
    if row.name == "storage.localProvisioners":
        return "those of the common local provisioners: see `values.yaml`"
    return f"`{_flow(value)}`"


def _prose(row: Value) -> str:
    schema = row.schema
    parts = [schema["description"]]
    if "enum" in schema:
        parts.append(f"One of {', '.join(f'`{word}`' for word in schema['enum'] if word)}.")
    if "unit" in schema:
        parts.append(f"In {schema['unit']}.")
    if "example" in schema:
        parts.append(f"Example: `{_flow(schema['example'])}`.")
    parts.append(f"Since {row.since}.")
    return " ".join(parts).replace("|", "\\|")


def _flow(value: object) -> str:
    """A value on one line, as YAML that reads back the same (JSON is YAML)."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def findings(authored: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """What is wrong with the schema file itself, or with values.yaml against it; empty when all is well."""
    found = [f"{name}: {text}" for name, text in _undocumented(authored, ())]
    for value in leaves(authored):
        try:
            default_of(value, values)
        except (KeyError, TypeError):
            found.append(
                f"{value.name}: is in values.schema.yaml, but has no default in values.yaml"
            )
    found += [
        f"{name}: is in values.yaml, but not in values.schema.yaml"
        for name in _unknown(authored, values, ())
    ]
    return found


def _undocumented(node: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for key, below in node.get("properties", {}).items():
        name = ".".join((*path, key))
        if "instead" in below:
            continue
        if "description" not in below:
            yield name, "has no description"
        if "properties" not in below and "example" not in below:
            yield name, "has no example"
        if "properties" in below:
            yield from _undocumented(below, (*path, key))


def _unknown(
    node: Mapping[str, Any], values: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[str]:
    for key, value in values.items():
        below = node["properties"].get(key, _MISSING)
        if below is _MISSING or "instead" in below:
            yield ".".join((*path, key))
        elif "properties" in below and isinstance(value, Mapping):
            yield from _unknown(below, value, (*path, key))
