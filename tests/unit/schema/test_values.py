"""The generator: closed objects, hints for misspelt keys, no documentation in the strict schema, nothing stale."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema import values
from schema.__main__ import OUTPUTS, ROOT, main

AUTHORED = values.load()
STRICT = values.json_schema(AUTHORED)
KEYS = st.text(string.ascii_letters + "-", min_size=3, max_size=14)


def test_nothing_is_stale() -> None:
    assert main(["--check"]) == 0


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_stale_file_is_told(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(OUTPUTS, name, lambda: "something else")
    before = (ROOT / name).read_text()
    assert main(["--check"]) == 1
    assert f"schema: {name} is stale: run `python -m schema`" in capsys.readouterr().err
    assert (ROOT / name).read_text() == before


def test_it_is_draft_7() -> None:
    jsonschema.Draft7Validator.check_schema(STRICT)


def objects(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield path, node
        for key, below in node.items():
            yield from objects(below, f"{path}/{key}")


# Parts of Kubernetes' own objects and the configuration files of PD, TiKV and TiDB: others say what is in them.
OPEN = re.compile(
    r"/(global|config|affinity)$"
    r"|/(tolerations|topologySpreadConstraints|extraEnv|extraVolumes|extraVolumeMounts|extraContainers|rules"
    r"|sqlFrom|metricsFrom)/items$"
)


def test_every_object_of_ours_is_closed() -> None:
    seen = 0
    for path, node in objects(STRICT):
        if OPEN.search(path):
            assert node["additionalProperties"] is True
        elif "properties" in node:
            assert node["additionalProperties"] is False, path
            seen += 1
        else:
            assert node["additionalProperties"] == {"type": "string"}, path
    assert seen > 30


def test_documentation_stays_out_of_the_strict_schema() -> None:
    """Also below `items` and `additionalProperties`; a property may be called `default`, a keyword may not."""

    def keywords(node: dict[str, Any]) -> Iterator[str]:
        yield from node
        for key in ("items", "additionalProperties"):
            if isinstance(node.get(key), dict):
                yield from keywords(node[key])
        for key in ("properties", "patternProperties"):
            for below in node.get(key, {}).values():
                yield from keywords(below)

    assert not set(keywords(STRICT)) & {*values.DOCUMENTATION, "instead", "shared"}


@given(KEYS, st.data())
def test_one_letter_away_is_caught_and_the_key_itself_never(key: str, data: st.DataObject) -> None:
    pattern = re.compile(values.misspellings(key))
    assert not pattern.search(key)
    index = data.draw(st.integers(0, len(key) - 1))
    letter = data.draw(st.sampled_from(string.ascii_letters))
    wrong = {
        key[:index] + key[index + 1 :],
        key[:index] + letter + key[index:],
        key[:index] + letter + key[index + 1 :],
        key + letter,
        key[:index] + key[index + 1 : index + 2] + key[index] + key[index + 2 :],
    } - {key}
    for word in wrong:
        assert pattern.search(word), word


@given(KEYS, KEYS)
def test_what_is_far_away_gets_no_hint(key: str, other: str) -> None:
    if abs(len(key) - len(other)) > 1:
        assert not re.search(values.misspellings(key), other)


def test_a_hint_never_covers_a_known_key() -> None:
    for path, node in objects(STRICT):
        for pattern in node.get("patternProperties", {}):
            for key in node.get("properties", {}):
                assert not re.search(pattern, key), (path, key)


def test_patterns_are_ones_that_go_reads_too() -> None:
    """RE2 has no look-around and no back-references."""
    text = json.dumps(STRICT)
    assert "(?=" not in text
    assert "(?!" not in text
    assert "(?<" not in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nobody": 1}, "nobody: is in values.yaml, but not in values.schema.yaml"),
        ({"pd": {"replica": 1}}, "pd.replica: is in values.yaml, but not in values.schema.yaml"),
    ],
)
def test_an_unknown_default_is_found(change: dict[str, Any], said: str) -> None:
    defaults = values.defaults()
    for key, value in change.items():
        defaults[key] = {**defaults[key], **value} if isinstance(value, dict) else value
    assert said in values.findings(AUTHORED, defaults)


def test_a_missing_default_is_found() -> None:
    defaults = values.defaults()
    del defaults["pd"]["replicas"]
    assert (
        "pd.replicas: is in values.schema.yaml, but has no default in values.yaml"
        in values.findings(AUTHORED, defaults)
    )


def test_what_is_not_described_is_found() -> None:
    authored = values.load()
    authored["properties"]["new"] = {"type": "string"}
    found = values.findings(authored, {**values.defaults(), "new": ""})
    assert found == ["new: has no description", "new: has no example"]


def test_the_reference_has_a_row_for_every_value() -> None:
    text = (ROOT / "chart" / "README.md").read_text()
    for value in values.leaves(AUTHORED):
        assert f"| `{value.name}` |" in text
        assert value.since
    assert "Since 0.1.0." in text
    assert "In duration (`30s`, `10m`, `2h`)." in text
