"""One pass over a release: read each document, let every rule see it, write back what changed.

Nothing leaves before everything was seen: a pass ends with the whole output or with none. A document that no rule
changed goes out as the text it came in; of a changed one the comments before its first key and after its last stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from postrender import krm
from postrender.errors import ConfigError, PostrenderError, StreamError
from postrender.findings import Findings
from postrender.manifest import Manifest
from postrender.reader import Content, Reader
from postrender.rules import Rule
from postrender.stream import BOM, MAX_DOCUMENT, MAX_STREAM, Chunk, decode, split, tail
from postrender.values import Mapping, Value, mapping, text
from postrender.writer import Writer

# From a KRM function's own configuration (None: there is none) to the rules to apply.
RulesFor = Callable[["Mapping | None"], Sequence[Rule]]

_EVERY = "every document of the stream has to be an object with apiVersion and kind"
_ALONE = "put all objects into its items, or give the objects themselves, without a ResourceList"


@dataclass(slots=True)
class Pass:
    """Runs the rules over one release, which may come in several inputs; `finish` closes it."""

    rules_for: RulesFor
    # Whether findings get their field's own line (it costs another parse); else it is their object's first.
    locating: bool = False
    findings: Findings = field(default_factory=Findings)
    door: str = "stream"
    documents: int = 0
    objects: int = 0
    changed: int = 0
    size: int = 0
    _rules: Sequence[Rule] | None = None
    _reader: Reader = field(default_factory=Reader)
    _writer: Writer = field(default_factory=Writer)

    def run(self, data: bytes, input_name: str = "stdin") -> bytes:
        """The input after the rules. Raises StreamError for bad input; refusals are in `findings`, not raised."""
        self.size += len(data)
        whole = decode(data)
        bom = BOM if whole.startswith(BOM) else ""
        out = [bom]
        for chunk in split(whole.removeprefix(BOM)):
            self.documents += 1
            # A ResourceList has all objects in one document; its items are measured by the API server alone.
            limit = MAX_STREAM if "ResourceList" in chunk.text else MAX_DOCUMENT
            content = self._reader.read(chunk, limit=limit)
            root = content.root
            if self.documents > 1 and (krm.is_resource_list(root) or (self.door == "krm" and root)):
                raise _bad(chunk, "a ResourceList has to be the only document", _ALONE)
            if krm.is_resource_list(root):
                self.door = "krm"
                out.append(self._resource_list(mapping(root), content, chunk, input_name))
            else:
                out.append(self._document(chunk, content, input_name))
        return "".join(out).encode()

    def finish(self) -> None:
        """Let the rules say what only the whole release shows. Raises StreamError when there was no object at all."""
        if not self.objects and self.door == "stream":
            raise StreamError(
                "the input has no object, only comments",
                remedy="such a stream would release nothing: look at the command before the pipe",
            )
        for rule in self._rules or ():
            self.findings.items.extend(rule.finish())
            self.findings.totals = getattr(rule, "totals", self.findings.totals)

    def _document(self, chunk: Chunk, content: Content, input_name: str) -> str:
        root = content.root
        if root is None:
            return chunk.text
        if not isinstance(root, dict):
            what = "a list" if isinstance(root, list) else "a single value"
            raise _bad(chunk, f"the document is {what}, not a Kubernetes object")
        line = chunk.line + chunk.text.count("\n", 0, content.start) + 1
        changed = False
        first = len(self.findings.items)
        objects = _objects(root, chunk)
        for item in objects:
            manifest = Manifest(
                item,
                self.findings,
                input_name=input_name,
                source=chunk.source,
                document=chunk.number,
                line=line,
            )
            self._visit(manifest)
            changed |= manifest.changed
        # Not for what a list holds: its paths start elsewhere.
        if self.locating and objects and objects[0] is root:
            self._locate(chunk, first)
        if not changed:
            return chunk.text
        _refuse_foreign_tag(content, chunk)
        self.changed += 1
        return self._rewritten(chunk, content, root)

    def _locate(self, chunk: Chunk, first: int) -> None:
        """Give the findings from `first` on, which are about this document, their own lines."""
        from postrender.locate import lines_of

        found = self.findings.items[first:]
        if found:
            lines = lines_of(chunk, [item.path for item in found])
            self.findings.items[first:] = [
                replace(item, line=line) for item, line in zip(found, lines, strict=True)
            ]

    def _rewritten(self, chunk: Chunk, content: Content, root: Mapping) -> str:
        body = self._checked(root, chunk)
        head = chunk.text[: content.start].rstrip(" \t")
        if head and not head.endswith(("\n", "\r")):
            head += "\n"
        whole = head + body + tail(chunk.text, content.start)
        return whole.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in chunk.text else whole

    def _checked(self, root: Mapping, chunk: Chunk) -> str:
        """The mapping written, and read back: a fault of ours must be an error and not another release."""
        body = self._writer.write(root)
        again = self._reader.read(Chunk(body, chunk.number, chunk.line), limit=MAX_STREAM)
        # A Token equals the string that it spells: that each is what it was, only their list tells.
        if again.root != root or again.tokens != self._writer.tokens:
            raise PostrenderError(
                f"document {chunk.number} would read otherwise than meant once it is written: a fault"
                " of tidb-postrender; nothing was written; please report it with this document"
            )
        return body

    def _resource_list(self, root: Mapping, content: Content, chunk: Chunk, input_name: str) -> str:
        _refuse_foreign_tag(content, chunk)
        items = root.get("items")
        if items is not None and not isinstance(items, list):
            raise _bad(chunk, "the ResourceList's items are no list")
        for number, item in enumerate(items or (), 1):
            changed = False
            for body in _item_objects(item, f"item {number} of the ResourceList", chunk):
                source = krm.source(mapping(item))
                manifest = Manifest(
                    body, self.findings, input_name=input_name, source=source, document=number
                )
                self._visit(manifest, root)
                changed |= manifest.changed
            self.changed += changed
        self._close_function(root)
        return self._checked(root, chunk)

    def _close_function(self, root: Mapping) -> None:
        """Fill the results, which have to say what only the whole release shows as well."""
        self._rules_of(root)
        self.finish()
        self._rules = ()
        root["results"] = krm.results(self.findings)
        if self.findings.refused:
            root["items"] = []

    def _rules_of(self, root: Mapping | None) -> Sequence[Rule]:
        if self._rules is None:
            config = None if root is None else root.get("functionConfig")
            if config is not None and not isinstance(config, dict):
                raise ConfigError(
                    "functionConfig: is no mapping; leave it out, or write a PostRender"
                )
            self._rules = self.rules_for(config)
        return self._rules

    def _visit(self, manifest: Manifest, root: Mapping | None = None) -> None:
        self.objects += 1
        for rule in self._rules_of(root):
            rule.visit(manifest)


def _refuse_foreign_tag(content: Content, chunk: Chunk) -> None:
    if content.foreign_tag:
        raise _bad(
            chunk, f"the document has to change and has a tag of its own, {content.foreign_tag}"
        )


def _objects(root: Mapping, chunk: Chunk, what: str = "the document") -> list[Mapping]:
    """The object itself, or what a list of objects holds.

    Helm and kubectl take everything with `items` for a list, whatever its kind (`List`, `DeploymentList`; source:
    k8s.io/apimachinery, unstructured/helpers.go).
    """
    for name in ("apiVersion", "kind"):
        if not text(root.get(name)):
            raise _bad(chunk, f"{what} is no Kubernetes object: it has no {name}")
    items = root.get("items")
    if not isinstance(items, list):
        return [root]
    kind = text(root["kind"])
    return [
        found
        for number, item in enumerate(items, 1)
        for found in _item_objects(item, f"item {number} of the {kind}", chunk)
    ]


def _item_objects(item: Value, what: str, chunk: Chunk) -> list[Mapping]:
    if not isinstance(item, dict):
        raise _bad(chunk, f"{what} is no object")
    return _objects(item, chunk, what)


def _bad(chunk: Chunk, problem: str, remedy: str = _EVERY) -> StreamError:
    first = next(
        (
            (number, line)
            for number, line in enumerate(chunk.text.split("\n"))
            if line.strip() and not line.startswith(("#", "---"))
        ),
        (0, chunk.text.split("\n")[0]),
    )
    return StreamError(
        problem,
        document=chunk.number,
        line=chunk.line + first[0] + 1,
        excerpt=first[1].rstrip("\r"),
        source=chunk.source,
        remedy=remedy,
    )
