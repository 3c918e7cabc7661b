"""What a document holds, and what is refused rather than guessed."""

from __future__ import annotations

import pytest

from postrender.errors import StreamError
from postrender.reader import MAX_ALIASED, MAX_DEPTH, Reader
from postrender.stream import MAX_DOCUMENT, Chunk
from tests.unit.postrender.release import read, typed


@pytest.mark.parametrize(
    "spelling",
    [
        "y",
        "n",
        "yes",
        "off",
        "TRUE",
        "0644",
        "0o644",
        "08",
        "0x1F",
        "1_000",
        "1e3",
        ".5",
        "5.",
        "+1",
        "-0",
        ".inf",
        "-.NaN",
        "12:30:45",
        "2001-01-01",
        "=",
        "1.2.3",
    ],
)
def test_what_some_reader_takes_for_no_string_keeps_its_spelling(spelling: str) -> None:
    assert typed(read(f"a: {spelling}")) == {"a": ("token", spelling)}
    assert typed(read(f"a: '{spelling}'")) == {"a": spelling}
    assert typed(read(f"a: !!str {spelling}")) == {"a": spelling}


@pytest.mark.parametrize("spelling", ["", "~", "null", "Null", "NULL"])
def test_null(spelling: str) -> None:
    assert read(f"a: {spelling}\n") == {"a": None}


def test_tags_go_back_with_their_scalar() -> None:
    assert typed(read('a: !!int "3"\nb: !mine x\nc: !!binary aGk=\n')) == {
        "a": ("token", '!!int "3"'),
        "b": ("token", '!mine "x"'),
        "c": ("token", '!!binary "aGk="'),
    }


def test_aliases_are_copies() -> None:
    value = read("a: &x {b: [1]}\nc: *x\n")
    assert isinstance(value, dict)
    assert value["a"] == value["c"]
    assert value["a"] is not value["c"]


def test_merges_follow_their_order() -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  c: 3\n  <<: [*x, *y]\nw: {'<<': plain}\n"
    value = read(text)
    assert isinstance(value, dict)
    assert value["z"] == {"a": "1", "b": "1", "c": "3"}
    assert value["w"] == {"<<": "plain"}


def test_a_document_without_content_is_none() -> None:
    for text in ("", "---\n", "# c\n", "---\n# c\n...\n", "--- ~\n"):
        assert read(text) is None


def test_knows_where_the_content_starts() -> None:
    for text in ("--- # ä\n# c\nkind: x\n", "---\nkind: x\n", "# 𝄞\r\n\r\nkind: x\r\n"):
        assert text[Reader().read(Chunk(text, 1, 0)).start :].startswith("kind")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: 1\nb: [1\nc: 2\n",
            "document 1, line 3, column 2: no YAML: did not find expected ',' or ']'",
        ),
        ("a:\n\tb: 1\n", "line 2, column 1: no YAML: found character that cannot start any token"),
        ("a:\n\tb: 1\n", "a tab can't indent YAML: use spaces"),
        (
            "a: 1\na: 2\n",
            "line 2, column 1: duplicate key 'a'\n     2 | a: 2\n       | ^\nYAML readers",
        ),
        ("a: {b: 1, 'b': 2}\n", "column 11: duplicate key 'b'"),
        ("1: a\n'1': b\n", "duplicate key '1'"),
        ("? [a]\n: b\n", "a key is a mapping or a sequence"),
        ("? {a: b}\n: b\n", "a key is a mapping or a sequence"),
        ("a: &x [b]\n*x : c\n", "a key is a mapping or a sequence"),
        ("~: b\n", "a key is null"),
        ("a: *b\n", "unknown or unfinished anchor &b"),
        ("a: &a [*a]\n", "unknown or unfinished anchor &a"),
        (
            "a: 1\n...\nb: 2\n",
            "Helm and kubectl drop what follows '...': put a line '---' before it",
        ),
        ("a: 1\r---\rb: 2\n", "a second document follows without a line '---'"),
        ("<<: 1\n", "'<<' merges something that is no mapping"),
        ("a: 1\n%YAML 1.1\n", "line 2, column 10: no YAML: did not find expected <document start>"),
        ("a: 1\n%YAML 1.1\n", "a directive may only stand before the first document of a stream"),
        ('a: "b\n\nc: 1\n', "found unexpected end of stream"),
        ("a: 1\n\ufeffb: 2\n", "a byte order mark stands before this: only"),
        ("a: {\n  b: 1\n\n", "line 1, column 4: no YAML: did not find expected ',' or '}'"),
        ("ä: 1\nb: \ufffe\n", "line 2, column 4: character U+FFFE is not allowed in YAML"),
        ("k" * 1001 + ": v\n", "a key has more than 1000 characters"),
        ("- " * (MAX_DEPTH + 1) + "x\n", "nested deeper than 200 levels"),
        ("[" * 1_000_000, "nested deeper than 200 levels"),
        ("{a: " * 1_000_000, "nested deeper than 200 levels"),
    ],
    ids=lambda each: each[:25],
)
def test_refuses_by_place_and_reason(text: str, message: str) -> None:
    with pytest.raises(StreamError) as caught:
        read(text)
    assert message in str(caught.value)


def test_counts_lines_in_the_whole_stream() -> None:
    with pytest.raises(StreamError) as caught:
        Reader().read(Chunk("---\n# Source: c/x.yaml\na: 1\na: 2\n", 7, 100))
    assert (caught.value.line, caught.value.column, caught.value.document) == (104, 1, 7)
    assert str(caught.value).startswith("document 7 (c/x.yaml), line 104, column 1: duplicate key")


def test_an_alias_bomb_ends_early() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(StreamError, match=f"aliases unfold to more than {MAX_ALIASED} values"):
        read("\n".join(lines))


def test_aliases_cannot_nest_deeper_than_brackets() -> None:
    deep = "[" * 150 + "x" + "]" * 150
    lines = [f"a0: &a0 {deep}"]
    lines += [f"a{n}: &a{n} {deep.replace('x', f'*a{n - 1}')}" for n in range(1, 40)]
    with pytest.raises(StreamError, match="aliases nest deeper than 200 levels"):
        read("\n".join(lines))


def test_a_document_that_no_api_server_takes_is_refused_before_it_is_read() -> None:
    with pytest.raises(StreamError, match="characters, more than 4194304"):
        read("a: '" + "x" * MAX_DOCUMENT + "'")


def test_an_error_in_a_line_of_a_megabyte_shows_its_surroundings_only() -> None:
    with pytest.raises(StreamError) as caught:
        read("a: [" + "x, " * 100_000 + "}")
    assert len(str(caught.value)) < 400
    assert str(caught.value).splitlines()[2].endswith("^")
