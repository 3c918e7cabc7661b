"""Go reads a document that was written anew as it read the original: Helm 4's and Helm 3's own YAML to JSON.

Helm's template function `fromYaml` is sigs.k8s.io/yaml, what Helm, kubectl and the API server read manifests with. A
rule that adds one label makes every document change.
"""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci import tools
from postrender.errors import StreamError
from tests.postrender.documents import HEAD, WORDS, manifests
from tests.unit.postrender.release import SOAK, release

TEMPLATE = """{{ range $path, $_ := .Files.Glob "documents/*" }}
---
path: {{ $path | quote }}
json: {{ $.Files.Get $path | fromYaml | toJson | b64enc }}
{{ end }}"""


class Reader:
    """Reads many documents by one run of a real Helm."""

    def __init__(self, helm: Path, folder: Path) -> None:
        self.helm = helm
        self.chart = folder
        (folder / "templates").mkdir()
        (folder / "documents").mkdir()
        (folder / "Chart.yaml").write_text("apiVersion: v2\nname: reader\nversion: 0.1.0\n")
        (folder / "templates" / "all.yaml").write_text(TEMPLATE)

    def read(self, documents: list[str]) -> list[Any]:
        """The JSON of each document as Go has it; `{"Error": …}` where Go can't read it."""
        folder = self.chart / "documents"
        for old in folder.iterdir():
            old.unlink()
        for number, text in enumerate(documents):
            (folder / f"{number:05}").write_bytes(text.encode())
        done = subprocess.run(
            [self.helm, "template", "x", self.chart],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        found = {
            each["path"]: json.loads(base64.b64decode(each["json"]))
            for each in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader)
        }
        return [found[f"documents/{number:05}"] for number in range(len(documents))]


@pytest.fixture(params=["helm4", "helm3"])
def go(request: pytest.FixtureRequest, tmp_path: Path) -> Reader:
    return Reader(tools.path(request.param), tmp_path)


def rewritten(document: str) -> str:
    """The document after a change that touches nothing but its labels."""
    done = release(document, only="labels", labels={"labels": {"marked": "true"}})
    assert done.done.changed == 1
    return done.output


def without_mark(body: Any) -> Any:
    if isinstance(body, dict) and "labels" in body.get("metadata", {}):
        assert body["metadata"].pop("labels") == {"marked": "true"}
    return body


def assert_same(go: Reader, documents: list[str]) -> int:
    """Compare Go's reading of each document before and after; how many Go could read."""
    after = [rewritten(document) for document in documents]
    readings = go.read([*documents, *after])
    readable = 0
    for before, again, first, second in zip(
        documents, after, readings[: len(documents)], readings[len(documents) :], strict=True
    ):
        if "Error" in first:
            assert "Error" in second, f"{before}\n-- became readable as --\n{again}"
            continue
        readable += 1
        assert without_mark(second) == first, f"{before}\n-- became --\n{again}"
    return readable


def test_every_ambiguous_spelling_in_every_place(go: Reader) -> None:
    documents = []
    for word in WORDS:
        for text in (word, json.dumps(word), f"'{word}'", f"!!str {word}", f"|-\n    {word}"):
            for shape in (
                f"  a: {text}\n",
                f"  a:\n  - {text}\n",
                f"  a: [{text}, b]\n",
                f"  {text}: b\n",
            ):
                document = f"{HEAD}data:\n{shape}"
                try:
                    release(document)
                except StreamError:
                    continue  # no YAML, or refused on purpose: nothing is written
                documents.append(document)
    assert len(documents) > 1000
    # Go has no JSON for .inf and .nan, and no key that needs 64 bits without a sign.
    assert assert_same(go, documents) > 0.95 * len(documents)


@pytest.mark.parametrize(
    "data",
    [
        'data: {a: "\\U0001D11E \\x85 \\u2028 \\u2029 \\uFEFF \\e \\0 \\x7f"}',
        "data:\n  a: |+\n    x\n\n\n",
        "data:\n  a: >\n    x\n    y\n\n     z\n",
        "data:\n  a: |2\n      x\n    y\n",
        "data: {a: 'it''s', b: \"say \\\"x\\\"\", c: 'tab\there'}",
        "data:\n  a: plain\n    over\n\n    lines\n",
        "data: &d {a: &s 1e3, b: *s}\nmore: [*d, *d]\nmerged: {<<: [*d, {c: 1}], b: 2}\n",
        "data: {? a : b}",
        "data: !!map {a: !!seq [!!int '3', !!float '1', !!bool 'true', !!binary aGk=]}",
        "data: {a: 1, 'b': [], c: {}, d: [[], {}, [[1]]]}",
    ],
)
def test_what_yaml_has_besides(go: Reader, data: str) -> None:
    assert assert_same(go, [f"{HEAD}{data}"]) == 1


def test_generated_documents(go: Reader) -> None:
    read = refused = 0

    @settings(
        max_examples=400 if SOAK else 12,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(manifests(), min_size=25, max_size=40))
    def run(documents: list[str]) -> None:
        nonlocal read, refused
        accepted = []
        for document in documents:
            try:
                release(document)
            except StreamError:
                refused += 1
            else:
                accepted.append(document)
        read += assert_same(go, accepted)

    run()
    assert read > 200
    assert refused < read / 4, "the generator makes too much that is no YAML to prove anything"
