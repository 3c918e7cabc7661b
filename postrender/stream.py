"""Cut a stream into documents as text, so that a document which needs no change keeps every byte.

A line that starts with `---` and a blank is always a document's first line: YAML forbids it inside quoted scalars,
flow collections and plain scalars, and a block scalar's text is indented. So cutting needs no parser, and the readers
behind us (Helm, kubectl, kustomize) cut by such lines as well. What only some of them take for a cut is refused by
name rather than guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from postrender.errors import StreamError

# The API server takes 3 MiB at most in one request and etcd 1.5 MiB; more in one document is a mistake, and costs much
# memory.
MAX_DOCUMENT = 4 * 2**20
MAX_STREAM = 256 * 2**20

_DASHES = re.compile(r"^---.?", re.MULTILINE)
_CUTS = frozenset({"---", "--- ", "---\t", "---\r"})
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SOURCE = re.compile(r"^# Source: (\S+)", re.MULTILINE)
_BLANK_OR_COMMENT = re.compile(r"[ \t]*(?:#.*)?")
BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Chunk:
    """One document's text, its separator line and its comments included; `line` is its first line in the stream, from
    0.
    """

    text: str
    number: int
    line: int

    @property
    def source(self) -> str:
        """The template it came from, by Helm's own comment; empty when there is none."""
        found = _SOURCE.search(self.text[:2000])
        return found.group(1) if found else ""


def decode(data: bytes) -> str:
    """The stream as text. Raises StreamError for what can't be a stream: nothing, UTF-16, binary, too much."""
    if not data.strip():
        raise StreamError(
            "the input is empty",
            remedy="an empty stream would release nothing (Helm 3 does so in silence): what came before the pipe?",
        )
    if len(data) > MAX_STREAM:
        raise StreamError(
            f"the input has {len(data)} bytes, more than {MAX_STREAM}",
            remedy="render fewer charts at a time",
        )
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise StreamError("the input is UTF-16", line=1, column=1, remedy="save it as UTF-8")
    bad = _BINARY.search(data)
    if bad:
        raise _at(data, bad.start(), f"byte 0x{data[bad.start()]:02x} is binary, not text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _at(data, error.start, f"byte 0x{data[error.start]:02x} is not UTF-8") from error


def _at(data: bytes, offset: int, problem: str) -> StreamError:
    start = data.rfind(b"\n", 0, offset) + 1
    end = data.find(b"\n", offset)
    shown = data[start : end if end >= 0 else len(data)].decode("utf-8", "replace")
    return StreamError(
        problem,
        line=data.count(b"\n", 0, offset) + 1,
        column=len(data[start:offset].decode("utf-8", "replace")) + 1,
        excerpt="".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in shown),
        remedy="a manifest is UTF-8 text; binary data belongs in a ConfigMap's binaryData, as base64",
    )


def split(text: str) -> Iterator[Chunk]:
    """The documents of a stream in order. Their texts joined are the stream again, less a byte order mark at its
    start.
    """
    starts = [0]
    for dashes in _DASHES.finditer(text):
        if dashes.group() not in _CUTS:
            raise _false_cut(text, dashes.start())
        if dashes.start():
            starts.append(dashes.start())
    number, line, start = 0, 0, 0
    for end in [*starts[1:], len(text)]:
        chunk = text[start:end]
        if end < len(text) and _is_preface(chunk):
            continue  # directives and comments before the first `---` belong to the document behind it
        number += 1
        yield Chunk(chunk, number, line)
        line += chunk.count("\n")
        start = end


def _false_cut(text: str, at: int) -> StreamError:
    return StreamError(
        "a line starts with '---' but is no document marker",
        line=text.count("\n", 0, at) + 1,
        column=1,
        excerpt=text[at:].partition("\n")[0],
        remedy="Helm and kubectl cut the stream here and YAML does not: indent the line",
    )


def _is_preface(chunk: str) -> bool:
    """Whether a text has directives (`%YAML 1.2`) and nothing else but comments."""
    if "%" not in chunk:
        return False
    lines = [line for line in chunk.splitlines() if not _BLANK_OR_COMMENT.fullmatch(line)]
    return bool(lines) and all(line.startswith("%") for line in lines)


def tail(text: str, start: int) -> str:
    """The blank lines, comments in the first column and `...` that close a document, from `start` at the earliest."""
    end = len(text)
    while end > start:
        begin = max(text.rfind("\n", start, end - 1) + 1, start)
        line = text[begin:end].rstrip("\r\n")
        if line.strip(" \t") and not line.startswith("#") and line.rstrip(" \t") != "...":
            break
        end = begin
    return text[end:]
