"""Read one document by libyaml's events, without deciding what its plain scalars mean (values.py).

PyYAML's own loaders are not used: they resolve `12:30:45` to a number and crash on a bare `=`, accept duplicate keys,
follow nesting with the C stack, and expand aliases by reference, so that a change in one place would show in another.
Reading events is also twice as fast, and needs no trust in the depth of the input: the stack here is a list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from postrender.errors import StreamError
from postrender.stream import MAX_DOCUMENT, Chunk
from postrender.values import Mapping, Token, Value, plain

try:
    from yaml._yaml import CParser as Parser
except ImportError as error:  # pragma: no cover - a PyYAML built without libyaml
    raise ImportError(
        "this PyYAML was built without libyaml: install its wheel (pip install --only-binary :all: pyyaml)"
    ) from error

# What Kubernetes could take is far below both; go-yaml's own guard against alias bombs counts alike.
MAX_DEPTH = 200
MAX_ALIASED = 100_000
# YAML ends a key that is written in one line after 1,024 characters, and every key of the API is shorter.
MAX_KEY = 1000

_STR: Final = "tag:yaml.org,2002:str"
_CORE_SCALARS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null", "timestamp", "binary")
)
_COLLECTIONS: Final = frozenset({None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


class _NoKey:
    """Stands where a mapping's next key is still to come."""


_NO_KEY: Final = _NoKey()
_UNKNOWN: Final = object()


@dataclass(slots=True)
class Content:
    """A document's value, and where it starts in the text.

    `foreign_tag` is a collection's tag that can't be written back (empty: none); `tokens` the spellings of all Tokens
    in their order.
    """

    root: Value
    start: int
    foreign_tag: str = ""
    tokens: list[str] = field(default_factory=list)


class Reader:
    """Reads documents one after the other; what a plain scalar is gets remembered, for manifests repeat themselves."""

    def __init__(self) -> None:
        self._plain: dict[str, Any] = {}

    def read(self, chunk: Chunk, *, limit: int = MAX_DOCUMENT) -> Content:
        """The chunk's one document; root is None for a document without content.

        Raises StreamError for what is no YAML and for what YAML readers don't agree on: duplicate keys, a second
        document behind `...`, keys that are no scalars. `limit` is the most characters the text may have.
        """
        if len(chunk.text) > limit:
            raise StreamError(
                f"the document has {len(chunk.text)} characters, more than {limit}",
                document=chunk.number,
                line=chunk.line + 1,
                source=chunk.source,
                remedy="the API server takes 3 MiB at most: split the object",
            )
        try:
            return self._read(chunk)
        except yaml.MarkedYAMLError as error:
            raise _unreadable(chunk, error) from error
        except yaml.reader.ReaderError as error:
            before = chunk.text.encode()[: error.position].decode("utf-8", "ignore")
            line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
            problem = f"character U+{int(error.character):04X} is not allowed in YAML"
            remedy = "write it as an escape in double quotes"
            raise _error(chunk, line, column, problem, remedy) from error

    def _read(self, chunk: Chunk) -> Content:
        parser = Parser(chunk.text)
        try:
            return self._build(parser, chunk)
        finally:
            parser.dispose()

    def _build(self, parser: Any, chunk: Chunk) -> Content:
        """One loop with a stack of its own, and long for that: a call an event would double its time."""
        following = parser.get_event
        known = self._plain
        stack: list[tuple[Any, Any, str | None]] = []
        anchors: dict[str, Value] = {}
        content = Content(None, -1)
        tokens = content.tokens
        unfolding = _Unfolding()
        documents = 0
        container: Any = None
        key: Any = _NO_KEY
        anchor: str | None = None
        while True:
            event = following()
            kind = type(event)
            if kind is ScalarEvent:
                value: Any = event.value
                if event.tag is None and not event.style:
                    found = known.get(value, _UNKNOWN)
                    if found is _UNKNOWN:
                        found = known[value] = plain(value)
                    value = found
                elif event.tag is not None and event.tag != _STR and event.tag != "!":
                    value = _tagged(event.tag, value)
                if type(value) is Token:
                    tokens.append(value.written)
                if event.anchor is not None:
                    anchors[event.anchor] = value
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                if event.tag not in _COLLECTIONS and not content.foreign_tag:
                    content.foreign_tag = event.tag
                if type(container) is dict and key is _NO_KEY:
                    raise _refused(chunk, event, "a key is a mapping or a sequence")
                stack.append((container, key, anchor))
                if len(stack) > MAX_DEPTH:
                    raise _refused(chunk, event, f"nested deeper than {MAX_DEPTH} levels")
                if len(stack) == 1:
                    content.start = event.start_mark.index
                container = {} if kind is MappingStartEvent else []
                key, anchor = _NO_KEY, event.anchor
                continue
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                if kind is MappingEndEvent and "<<" in container and _merges(container):
                    _merge(container, chunk, event)
                value = container
                if anchor is not None:
                    anchors[anchor] = value
                container, key, anchor = stack.pop()
            elif kind is AliasEvent:
                if event.anchor not in anchors:
                    raise _refused(chunk, event, f"unknown or unfinished anchor &{event.anchor}")
                try:
                    unfolding.levels = MAX_DEPTH - len(stack)
                    value = unfolding.copy(anchors[event.anchor])
                except _UnfoldError as error:
                    raise _refused(chunk, event, str(error)) from None
            elif kind is StreamEndEvent:
                return content
            else:
                if kind is DocumentStartEvent:
                    documents += 1
                    if documents > 1:
                        raise _refused(
                            chunk,
                            event,
                            "a second document follows without a line '---'",
                            "Helm and kubectl would drop it: put '---' before it",
                        )
                continue

            if type(container) is list:
                container.append(value)
            elif container is None:
                content.root = value
                if content.start < 0:
                    content.start = event.start_mark.index
            elif key is _NO_KEY:
                if type(value) is str and value not in container and len(value) <= MAX_KEY:
                    key = value
                else:
                    key = _key(value, container, chunk, event)
            else:
                container[key] = value
                key = _NO_KEY


def _key(value: Value, container: Mapping, chunk: Chunk, event: Any) -> str:
    """The value as a key when every reader takes it for the same one, else StreamError."""
    if value is None:
        raise _refused(chunk, event, "a key is null")
    if not isinstance(value, str):
        raise _refused(chunk, event, "a key is a mapping or a sequence")
    if value in container:
        raise _refused(
            chunk,
            event,
            f"duplicate key {_short(value)!r}",
            "YAML readers don't agree on which of the two counts: remove one",
        )
    if len(value) > MAX_KEY:
        raise _refused(chunk, event, f"a key has more than {MAX_KEY} characters")
    return value


def _tagged(tag: str, value: str) -> Value:
    """A scalar with a tag of its own: it goes back with the tag, because only its reader knows what that does."""
    from postrender.writer import quoted

    if tag in _CORE_SCALARS:
        return Token(value, f"!!{tag.rpartition(':')[2]} {quoted(value)}")
    name = tag if tag.startswith("!") else f"!<{tag}>"
    return Token(value, f"{name} {quoted(value)}")


def _merges(container: Mapping) -> bool:
    """Whether a mapping has a merge key; a quoted "<<" is a key as any other."""
    return any(type(key) is Token and key == "<<" for key in container)


def _merge(container: Mapping, chunk: Chunk, event: Any) -> None:
    """`<<: *anchor` and `<<: [*first, *second]`: own keys win, then the first mapping that has the key."""
    merged = container.pop("<<")
    for part in merged if isinstance(merged, list) else [merged]:
        if not isinstance(part, dict):
            raise _refused(chunk, event, "'<<' merges something that is no mapping")
        for key, value in part.items():
            container.setdefault(key, value)


class _UnfoldError(Exception):
    """An alias makes more of the document than any reader should hold."""


class _Unfolding:
    """Copies what aliases stand for, as one document does: the copies share nothing, and all together are bounded."""

    def __init__(self) -> None:
        self.left = MAX_ALIASED
        self.levels = MAX_DEPTH

    def copy(self, value: Value, depth: int = 1) -> Value:
        """The value anew. Raises _UnfoldError as soon as it is too much: a bomb must not go off first."""
        self.left -= 1
        if self.left < 0:
            raise _UnfoldError(f"aliases unfold to more than {MAX_ALIASED} values")
        if isinstance(value, str) or value is None:
            return value
        if depth > self.levels:
            raise _UnfoldError(f"aliases nest deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            return {key: self.copy(item, depth + 1) for key, item in value.items()}
        return [self.copy(item, depth + 1) for item in value]


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _refused(chunk: Chunk, event: Any, problem: str, remedy: str = "") -> StreamError:
    mark = event.start_mark
    return _error(chunk, mark.line, mark.column, problem, remedy)


def _unreadable(chunk: Chunk, error: yaml.MarkedYAMLError) -> StreamError:
    problem = " ".join(part for part in (error.problem, error.context) if part)
    lines = chunk.text.splitlines()
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    if not "".join(lines[line:]).strip():
        # What never ends is noticed behind the text. Its start is the place to mend, else the text's end.
        start = error.context_mark
        if start and "".join(lines[start.line :]).strip():
            line, column = start.line, start.column
        else:
            line = max((n for n, each in enumerate(lines) if each.strip()), default=0)
            column = len(lines[line].rstrip()) if lines else 0
    shown = lines[line] if lines else ""
    remedy = ""
    if any("\ufeff" in each for each in lines[: line + 1]):
        remedy = "a byte order mark stands before this: only the first character of a stream may be one; remove it"
    elif shown.lstrip().startswith("%"):
        remedy = "a directive may only stand before the first document of a stream"
    elif problem == "did not find expected <document start>":
        remedy = "Helm and kubectl drop what follows '...': put a line '---' before it"
    elif "\t" in shown[: column + 1]:
        remedy = "a tab can't indent YAML: use spaces"
    return _error(chunk, line, column, f"no YAML: {problem}", remedy)


def _error(chunk: Chunk, line: int, column: int, problem: str, remedy: str) -> StreamError:
    lines = chunk.text.split("\n")
    return StreamError(
        problem,
        document=chunk.number,
        line=chunk.line + line + 1,
        column=column + 1,
        excerpt=lines[line].rstrip("\r") if line < len(lines) else "",
        remedy=remedy,
        source=chunk.source,
    )
