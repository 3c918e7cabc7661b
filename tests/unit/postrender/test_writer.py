"""What is written reads back as what was meant, spelling by spelling. How Go reads it: tests/postrender."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from postrender.reader import Reader
from postrender.stream import Chunk
from postrender.values import Token, Value
from postrender.writer import Writer
from tests.unit.postrender.release import SEARCH, typed

TOKENS = [
    "y",
    "0644",
    "1e3",
    "0o755",
    "12:30:45",
    "2001-01-01",
    "=",
    ".inf",
    "-1",
    "9007199254740993",
    "true",
    "1_0",
    "0x1F",
]


def written(value: Value) -> str:
    return Writer().write({"k": value}).removeprefix("k:")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", " plain"),
        ("", ' ""'),
        ("y", ' "y"'),
        ("No", ' "No"'),
        ("null", ' "null"'),
        ("0644", ' "0644"'),
        ("1e3", ' "1e3"'),
        ("12:30:45", ' "12:30:45"'),
        ("2001-01-01", ' "2001-01-01"'),
        ("100m", " 100m"),
        ("1Gi", " 1Gi"),
        ("1e3Gi", ' "1e3Gi"'),
        ("=", ' "="'),
        ("<<", ' "<<"'),
        ("- x", ' "- x"'),
        ("-", ' "-"'),
        ("--flag=x", " --flag=x"),
        ("a: b", ' "a: b"'),
        ("a #b", ' "a #b"'),
        ("a:", ' "a:"'),
        ("a ", ' "a "'),
        ("reg.io/x:1@sha256:ab", " reg.io/x:1@sha256:ab"),
        ("{{ x }}", ' "{{ x }}"'),
        ("tab\there", ' "tab\\there"'),
        ("\x85\u2028\ufeff\x7f", ' "\\u0085\\u2028\\ufeff\\u007f"'),
        ("grüße 𝄞", ' "grüße 𝄞"'),
        ("two\nlines\n", " |\n  two\n  lines"),
        ("two\n\n  lines", " |-\n  two\n\n    lines"),
        ("two\nlines\n\n", ' "two\\nlines\\n\\n"'),
        (" leading\nblank", ' " leading\\nblank"'),
        ("blank\n   \nline", ' "blank\\n   \\nline"'),
        ("win\r\nline", ' "win\\r\\nline"'),
        ("\n", ' "\\n"'),
        (None, " null"),
        ({}, " {}"),
        ([], " []"),
        (Token("0644"), " 0644"),
        (Token("3", '!!int "3"'), ' !!int "3"'),
        ([["a"], [], {"b": ["c\nd"]}], "\n- - a\n- []\n- b:\n  - |-\n    c\n    d"),
    ],
)
def test_spelling(value: Value, expected: str) -> None:
    assert written(value) == expected + "\n"


def test_keys_are_as_careful_as_values() -> None:
    assert Writer().write({"y": "a", "1": "b", Token("2"): "c", "a: b": "d"}) == (
        '"y": a\n"1": b\n2: c\n"a: b": d\n'
    )


scalars = st.one_of(
    st.none(),
    st.sampled_from(TOKENS).map(Token),
    st.sampled_from([*TOKENS, "null", "~", "no", "- a", "#", "a\nb\n", "x: y", "|", "*a", "!t"]),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cn")), max_size=12),
    st.text("ab \n\t-:#'\"", max_size=12),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("aby1=:# ", max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@SEARCH
@given(st.dictionaries(st.text("ab1", min_size=1, max_size=3), values, min_size=1, max_size=4))
def test_reads_back_the_same(value: dict[str, Any]) -> None:
    text = Writer().write(value)
    assert typed(Reader().read(Chunk(text, 1, 0)).root) == typed(value)
    assert Writer().write(value) == text


@SEARCH
@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_a_string_is_a_string_to_pyyaml_too(text: str) -> None:
    assert yaml.load(Writer().write({"a": text}), Loader=yaml.CSafeLoader) == {"a": text}


@SEARCH
@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_no_scalar_holds_a_document_marker_in_the_first_column(text: str) -> None:
    for line in Writer().write({"a": text + "\n---\n" + text}).splitlines():
        assert not line.startswith("---")


def test_quotes_are_json() -> None:
    text = Writer().write({"a": 'say "yes" \\ no'}).removeprefix("a: ")
    assert json.loads(text) == 'say "yes" \\ no'
