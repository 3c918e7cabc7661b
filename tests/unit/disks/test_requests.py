"""The hand-written reader of requests against the schema that both sides keep to."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hooks.disks.requests import RequestsError, parse

SCHEMA = yaml.safe_load(
    (Path(__file__).resolve().parents[3] / "schema/requests.schema.yaml").read_text()
)
EXAMPLE = SCHEMA["examples"][0]
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


def test_the_schemas_example() -> None:
    found = parse(json.dumps(EXAMPLE), "n1")
    assert sorted(found) == ["nvme-eui.0025388b710116a1", "wwn-0x5000c500a1b2c3d4"]
    wipe = found["wwn-0x5000c500a1b2c3d4"].wipe
    assert wipe
    assert (wipe.generation, wipe.folder, wipe.foreign) == (1, "tv-9b1de0c2f4a87d10-g1", False)
    assert found["nvme-eui.0025388b710116a1"].wipe is None


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ((), [], "the document is [], expected an object"),
        (("version",), 2, "version is 2; this agent knows version 1"),
        (("node",), "n2", "node is 'n2'; this is node 'n1'"),
        (("volumes",), {}, "volumes is {}, expected a list"),
        (
            ("volumes", 0, "generation"),
            0,
            "volumes[0].generation is 0, expected a whole number from 1",
        ),
        (
            ("volumes", 0, "generation"),
            True,
            "volumes[0].generation is True, expected a whole number",
        ),
        (("volumes", 0, "make"), "yes", "volumes[0].make is 'yes', expected true or false"),
        (("volumes", 0, "volume"), "tv-x", "volumes[0].volume is 'tv-x', expected tv-"),
        (("volumes", 0, "pvUID"), None, "volumes[0].pvUID is None, expected a text"),
        (("volumes", 0, "more"), 1, "volumes[0].more is not a key of this version"),
        (("volumes", 0, "folder"), "tv-3f9a1c22b7d04e51-g1", "expected tv-3f9a1c22b7d04e51-g2"),
        (("volumes", 1, "identity"), "nvme-eui.0025388b710116a1", "stands there twice"),
        (
            ("volumes", 1, "wipe", "foreign"),
            "maybe",
            "volumes[1].wipe.foreign is 'maybe', expected keep",
        ),
        (("volumes", 1, "wipe", "generation"), 2, "generation 2, expected the entry's own"),
        (
            ("volumes", 1, "wipe", "folder"),
            "../x",
            "volumes[1].wipe.folder is '../x', expected tv-",
        ),
    ],
)
def test_one_wrong_key_and_nothing_counts(path: tuple[Any, ...], value: Any, words: str) -> None:
    with pytest.raises(RequestsError) as error:
        parse(json.dumps(_changed(path, value)), "n1")
    assert words in str(error.value)


def test_no_json() -> None:
    with pytest.raises(RequestsError, match="not JSON"):
        parse("{", "n1")


def test_a_missing_key() -> None:
    document = copy.deepcopy(EXAMPLE)
    del document["volumes"][1]["wipe"]["pvUID"]
    with pytest.raises(RequestsError, match=r"volumes\[1\].wipe.pvUID is missing"):
        parse(json.dumps(document), "n1")


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 3),
    st.sampled_from(["", "x", "keep", "n1"]),
    st.just([]),
)
PLACES = st.sampled_from(
    [(key,) for key in EXAMPLE]
    + [("volumes", 1, key) for key in EXAMPLE["volumes"][1]]
    + [("volumes", 1, "wipe", key) for key in EXAMPLE["volumes"][1]["wipe"]]
    + [("other",), ("volumes", 0, "other"), ("volumes", 1, "wipe", "other")]
)


@given(PLACES, VALUES)
def test_whatever_breaks_the_schema_is_refused(place: tuple[Any, ...], value: Any) -> None:
    """The reader may be stricter (folder and generation belong together), never laxer."""
    document = _changed(place, value)
    if not VALIDATOR.is_valid(document):
        with pytest.raises(RequestsError):
            parse(json.dumps(document), "n1")


def _changed(path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    document = copy.deepcopy(EXAMPLE)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document
