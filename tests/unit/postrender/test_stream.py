"""Where a stream is cut, and what is refused before any YAML is read."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from postrender.errors import StreamError
from postrender.stream import MAX_STREAM, decode, split, tail
from tests.unit.postrender.release import SEARCH


def texts(stream: str) -> list[str]:
    return [chunk.text for chunk in split(stream)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ("a: 1\n", ["a: 1\n"]),
        ("a: 1\n---\nb: 1\n", ["a: 1\n", "---\nb: 1\n"]),
        ("---\na: 1\n--- # why\nb: 1\n", ["---\na: 1\n", "--- # why\nb: 1\n"]),
        ("--- {a: 1}\n--- \tx\n", ["--- {a: 1}\n", "--- \tx\n"]),
        ("a: 1\r\n---\r\nb: 1\r\n", ["a: 1\r\n", "---\r\nb: 1\r\n"]),
        ("a: |\n  ---\n  x\n---", ["a: |\n  ---\n  x\n", "---"]),
        ("# c\n%YAML 1.2\n---\na: 1\n", ["# c\n%YAML 1.2\n---\na: 1\n"]),
        ("%YAML 1.2\n---\na: 1\n---\nb: 1\n", ["%YAML 1.2\n---\na: 1\n", "---\nb: 1\n"]),
        ("# only a comment\n---\na: 1\n", ["# only a comment\n", "---\na: 1\n"]),
        ("a: '50%'\n---\nb: 1\n", ["a: '50%'\n", "---\nb: 1\n"]),
    ],
)
def test_cuts_where_every_reader_cuts(stream: str, expected: list[str]) -> None:
    assert texts(stream) == expected


def test_knows_lines_numbers_and_sources() -> None:
    first, second = split("# Source: c/a.yaml\na: 1\n---\n# Source: c/b.yaml\nb: 1\n")
    assert (first.number, first.line, first.source) == (1, 0, "c/a.yaml")
    assert (second.number, second.line, second.source) == (2, 2, "c/b.yaml")


def test_refuses_a_line_that_only_some_readers_take_for_a_cut() -> None:
    with pytest.raises(StreamError) as caught:
        texts("a: 1\n---b: 2\n")
    assert str(caught.value) == (
        "line 2, column 1: a line starts with '---' but is no document marker\n"
        "     2 | ---b: 2\n"
        "       | ^\n"
        "Helm and kubectl cut the stream here and YAML does not: indent the line"
    )


@SEARCH
@given(st.text(alphabet="-#%a: \n\r\t", max_size=40))
def test_loses_no_character(stream: str) -> None:
    assume(not re.search(r"^---[^ \t\r\n]", stream, re.MULTILINE))
    assert "".join(texts(stream)) == stream


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the input is empty\nan empty stream would release nothing"),
        (b" \n\t\r\n", "the input is empty"),
        (b"\xff\xfea\x00", "line 1, column 1: the input is UTF-16\nsave it as UTF-8"),
        (b"a: 1\nb: \x00\n", "line 2, column 4: byte 0x00 is binary, not text\n     2 | b: \ufffd"),
        (
            b"a: \xc3\xa4 \x1b[0m",
            "line 1, column 6: byte 0x1b is binary, not text\n     1 | a: ä \ufffd[0m\n       |      ^",
        ),
        (b"a: 1\nb: \xff\n", "line 2, column 4: byte 0xff is not UTF-8"),
        (b"\x7fELF\x02\x01", "line 1, column 1: byte 0x7f is binary"),
    ],
)
def test_refuses_what_is_no_text(data: bytes, message: str) -> None:
    with pytest.raises(StreamError) as caught:
        decode(data)
    assert message in str(caught.value)


def test_refuses_more_than_any_release_has() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return MAX_STREAM + 1

    with pytest.raises(StreamError, match="more than 268435456"):
        decode(Huge(b"a: 1"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\n", ""),
        ("a: 1\n# c\n\n", "# c\n\n"),
        ("a: 1\n...\n", "...\n"),
        ("a: |\n  # text\n# comment\n", "# comment\n"),
        ("a: 1\r\n# c\r\n", "# c\r\n"),
        ("# c", "# c"),
        ("a: 1\n  # indented\n", ""),
    ],
)
def test_finds_what_closes_a_document(text: str, expected: str) -> None:
    assert tail(text, 0) == expected
