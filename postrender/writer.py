"""Write a changed document as block YAML that Go's readers and Python's read alike.

A scalar is written plain only when no YAML reader could take it for anything but a string; a Token keeps its own
spelling; what is left goes in double quotes with JSON's escapes, or, when it has several lines, as a literal block.
PyYAML's dumper is not used because it writes `y`, `1e3`, `0o755` and `08` plain, which Go reads as something else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from postrender.values import Token, Value, ambiguous

# An amount (100m, 1Gi); or begins with a letter, a slash, or two dashes and a letter, and holds nothing that could end
# a plain scalar.
_SAFE = re.compile(
    r"[1-9][0-9]*(?:m|[KMGTP]i)"
    r"|(?:--)?[A-Za-z/_]"
    r"(?:[A-Za-z0-9_./@+=,~()$\-]|:(?=[A-Za-z0-9/._\-])| (?=[A-Za-z0-9_./(\-$=]))*"
)
# What JSON leaves as it is, but YAML does not allow or Go does not read raw.
_ESCAPED = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
# Text that a literal block keeps byte for byte: printable, no blank at a line's ends that a reader could take for
# indentation.
_LITERAL = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]"
    r"(?:[^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]|(?<=[^\n])\t)*"
)
_BLANK_LINE = re.compile(r"\n[ \t]+(?:\n|\Z)|\n\t")

_quote: Callable[[str], str] = json.encoder.encode_basestring


def quoted(text: str) -> str:
    """The text in double quotes, with escapes that JSON and YAML share."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", _quote(text))


class Writer:
    """Writes documents; how a string is written gets remembered, for manifests repeat themselves."""

    def __init__(self) -> None:
        self._written: dict[str, str] = {}
        self.tokens: list[str] = []
        """The spellings of the Tokens of the last document in their order."""

    def write(self, root: dict[str, Value]) -> str:
        """The mapping as block YAML, ended by a line break; keys keep their order."""
        self.tokens = []
        if not root:
            return "{}\n"
        out: list[str] = []
        self._mapping(out, root, "", "")
        return "".join(out)

    def _mapping(self, out: list[str], value: dict[str, Value], lead: str, pad: str) -> None:
        known = self._written
        inner = pad + "  "
        for key, item in value.items():
            # A Token equals the string that it spells: looking it up would find the string's quotes.
            name = (known.get(key) if type(key) is str else None) or self._scalar(key)
            kind = type(item)
            if kind is str:
                written = known.get(item) or self._string(item, inner)  # type: ignore[arg-type]
                out.append(f"{lead}{name}: {written}\n")
            elif kind is dict and item:
                out.append(f"{lead}{name}:\n")
                self._mapping(out, item, inner, inner)  # type: ignore[arg-type]
            elif kind is list and item:
                out.append(f"{lead}{name}:\n")
                self._sequence(out, item, pad, pad)  # type: ignore[arg-type]
            else:
                out.append(f"{lead}{name}: {self._flat(item)}\n")
            lead = pad

    def _sequence(self, out: list[str], value: list[Value], lead: str, pad: str) -> None:
        inner = pad + "  "
        for item in value:
            if isinstance(item, dict) and item:
                self._mapping(out, item, lead + "- ", inner)
            elif isinstance(item, list) and item:
                self._sequence(out, item, lead + "- ", inner)
            elif type(item) is str:
                out.append(f"{lead}- {self._written.get(item) or self._string(item, inner)}\n")
            else:
                out.append(f"{lead}- {self._flat(item)}\n")
            lead = pad

    def _flat(self, value: Value) -> str:
        if isinstance(value, Token):
            self.tokens.append(value.written)
            return value.written
        if value is None:
            return "null"
        return "{}" if isinstance(value, dict) else "[]"

    def _scalar(self, key: str) -> str:
        if type(key) is Token:
            self.tokens.append(key.written)
            return key.written
        written = self._written.get(key)
        if written is None:
            written = self._written[key] = key if _plain(key) else quoted(key)
        return written

    def _string(self, text: str, pad: str) -> str:
        """The string for a place whose text is indented by `pad`. Only what does not depend on the place is
        remembered.
        """
        if "\n" in text:
            block = _literal(text, pad)
            if block:
                return block
        return self._scalar(text)


def _plain(text: str) -> bool:
    return _SAFE.fullmatch(text) is not None and not ambiguous(text)


def _literal(text: str, pad: str) -> str:
    """The text as a literal block, or nothing when its blanks or characters would not survive."""
    body = text[:-1] if text.endswith("\n") else text
    if body.endswith("\n") or not _LITERAL.fullmatch(body) or _BLANK_LINE.search(body):
        return ""
    mark = "|" if len(body) < len(text) else "|-"
    return mark + "".join(f"\n{pad}{line}" if line else "\n" for line in body.split("\n"))
