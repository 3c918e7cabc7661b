"""The line of a finding's field, for `check`: editors and code scanning point at it.

A pass does not keep the places of values, because a release has hundreds of thousands and next to none is asked for.
The document is composed once more when one is.
"""

from __future__ import annotations

import re

from yaml._yaml import CParser
from yaml.composer import ComposerError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from postrender.stream import Chunk

_STEPS = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")


class _Composer(CParser):
    """Nodes with their places; what a scalar means is nobody's business here."""

    def resolve(self, kind: type[Node], value: object, implicit: object) -> str:  # noqa: ARG002
        return ""

    def descend_resolver(self, parent: Node, index: object) -> None:
        pass

    def ascend_resolver(self) -> None:
        pass


def lines_of(chunk: Chunk, paths: list[str]) -> list[int]:
    """The line (from 1, in the stream) of each field, or of the last step to it that is there; 0 when it can't be told.

    A path is a finding's: `spec.containers[pd].image`, list items by name or by index.
    """
    try:
        root = _Composer(chunk.text).get_single_node()
    except (
        ComposerError
    ):  # an anchor that is given again: right by YAML, but not by PyYAML's composer
        return [0] * len(paths)
    return [chunk.line + (_line(root, path) if root else 0) + 1 for path in paths]


def _line(node: Node, path: str) -> int:
    line: int = node.start_mark.line
    for item, key in _STEPS.findall(path):
        found = _field(node, key) if key else _item(node, item)
        if found is None:
            break
        # A field's line is its key's: `resources:` stands above what it holds.
        line, node = found
    return line


def _field(node: Node, key: str) -> tuple[int, Node] | None:
    if isinstance(node, MappingNode):
        for name, value in node.value:
            if isinstance(name, ScalarNode) and name.value == key:
                return name.start_mark.line, value
    return None


def _item(node: Node, label: str) -> tuple[int, Node] | None:
    """The item with this name (its own, or its metadata's, as in claim templates), else the one with this index."""
    if not isinstance(node, SequenceNode):
        return None
    for item in node.value:
        for holder in (item, (_field(item, "metadata") or (0, item))[1]):
            name = _field(holder, "name")
            if name and isinstance(name[1], ScalarNode) and name[1].value == label:
                return item.start_mark.line, item
    if label.isdecimal() and int(label) < len(node.value):
        item = node.value[int(label)]
        return item.start_mark.line, item
    return None
