"""What a manifest holds once it is read: mappings, sequences, strings, null, and tokens that keep their spelling.

Go and Python disagree about what a plain scalar such as `y`, `0o755`, `12:30:45`, `1e3` or `=` means, and so do two
releases of Go's own library. This package never decides: a plain scalar that *some* YAML reader could take for anything
but a string stays a `Token` with its own spelling, and is written back with that spelling. Whoever reads the output
reads what they would have read in the input.
"""

from __future__ import annotations

import re
from typing import TypeAlias


class Token(str):
    """A scalar that may be no string to some reader; `written` is how it stands, and has to stand, in the document.

    As a str it is the scalar's text, so `Token("0644") == "0644"`: rules compare and print it as any other string.
    """

    __slots__ = ("written",)
    written: str

    def __new__(cls, text: str, written: str | None = None) -> Token:
        self = super().__new__(cls, text)
        self.written = text if written is None else written
        return self


Value: TypeAlias = "str | list[Value] | dict[str, Value] | None"
Mapping: TypeAlias = "dict[str, Value]"

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "yes", "on", "y"})
_WORDS = frozenset(
    spelling
    for word in ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
    for spelling in (word, word.capitalize(), word.upper())
) | {"=", "<<", "~", ""}

# Everything that starts like a number, a date or a time in YAML 1.1 or 1.2, and .inf/.nan. Wider than any reader's own
# pattern on purpose: a token costs nothing, a string written plain that reads as a number is a different release.
# Amounts as everybody writes them (100m, 1Gi) are no reader's numbers.
_NUMBERLIKE = re.compile(
    r"(?![0-9]+(?:m|[KMGTP]i)\Z)[-+]?\.?[0-9][0-9A-Za-z_.:+\- ]*|[-+]?\.[A-Za-z]+"
)


def ambiguous(text: str) -> bool:
    """Whether some YAML reader may take this text, written plain, for anything but the string it is."""
    return text in _WORDS or _NUMBERLIKE.fullmatch(text) is not None


def plain(text: str) -> str | None:
    """The value of a plain scalar (one without quotes and without a tag)."""
    if text in NULLS:
        return None
    # A trailing colon would make a key of it where it is written back; no number ends so.
    if ambiguous(text) and not text.endswith(":") and ": " not in text:
        return Token(text)
    return text


def is_true(value: Value) -> bool:
    """Whether some reader takes this plain scalar for true. A quoted "true" is a string: the API server refuses it."""
    return isinstance(value, Token) and value.lower() in _TRUE


def mapping(value: Value) -> Mapping:
    """The value if it is a mapping, else an empty one: what has the wrong type is left for the API server to refuse."""
    return value if isinstance(value, dict) else {}


def sequence(value: Value) -> list[Value]:
    """The value if it is a sequence, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: Value) -> str:
    """The value if it is a scalar, else an empty string."""
    return value if isinstance(value, str) else ""


def dig(value: Value, *keys: str) -> Value:
    """`value[key1][key2]…`, or None where a step is missing or no mapping."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value
