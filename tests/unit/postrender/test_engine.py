"""Whole passes: golden streams, bytes that stay, a second pass, bad input, ResourceLists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from postrender import config, report
from postrender.engine import Pass
from postrender.errors import ConfigError, PostrenderError, StreamError
from postrender.stream import MAX_DOCUMENT
from postrender.values import Mapping
from postrender.writer import Writer
from tests.unit.postrender.release import pod, read, release, typed

GOLDEN = Path(__file__).parent / "golden"
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
LABELS: dict[str, Any] = {"labels": {"team": "db"}}


def golden(name: str, stream: bytes) -> tuple[bytes, str]:
    """The output, and the report as Markdown."""
    path = GOLDEN / f"{name}.config.yaml"
    given = config.load(path) if path.exists() else None
    done = Pass(lambda body: config.of_function(body) if body else given or [])
    output = done.run(stream)
    done.finish()
    return output, report.as_markdown(done, None)


GOLDENS = sorted(path.name.removesuffix(".in.yaml") for path in GOLDEN.glob("*.in.yaml"))


@pytest.mark.parametrize("name", GOLDENS)
def test_a_golden_stream_passes_as_recorded(name: str) -> None:
    output, told = golden(name, (GOLDEN / f"{name}.in.yaml").read_bytes())
    assert output == (GOLDEN / f"{name}.out.yaml").read_bytes()
    assert told == (GOLDEN / f"{name}.report.md").read_text()


@pytest.mark.parametrize("name", GOLDENS)
def test_a_second_pass_of_it_changes_nothing(name: str) -> None:
    output = (GOLDEN / f"{name}.out.yaml").read_bytes()
    again, _ = golden(name, output)
    # A function's results tell what this pass did.
    assert again.partition(b"\nresults:")[0] == output.partition(b"\nresults:")[0]


def test_only_what_the_rules_name_differs_between_the_two() -> None:
    """PyYAML's own reading of both, an independent one, where it can read at all: it knows no bare `=`."""
    before, after = (
        list(
            yaml.safe_load_all(
                (GOLDEN / f"mixed.{kind}.yaml")
                .read_text()
                .replace(" =,", ' "=",')
                .replace("- =\n", '- "="\n')
            )
        )
        for kind in ("in", "out")
    )
    container = before[0]["spec"]["template"]["spec"]["containers"][0]
    container["image"] = "mirror.local/hub/pingcap/tikv:v8.5.0"
    container["resources"]["requests"] = {"cpu": 2, "memory": "4Gi"}
    job = before[2]["spec"]["template"]["spec"]["containers"][0]
    job["resources"]["limits"] = {"cpu": "100m", "memory": "64Mi"}
    before[4]["items"][0]["spec"]["containers"][0]["image"] = "mirror.local/hub/library/busybox:1"
    assert before == after


@pytest.mark.parametrize(
    "document",
    [
        CONFIG_MAP + "data: {a:   'b'}  # c\n",
        CONFIG_MAP.replace("\n", "\r\n"),
        "\ufeff" + CONFIG_MAP,
        "%YAML 1.1\n---\n" + CONFIG_MAP,
        CONFIG_MAP + "data: &x {a: b}\nbinaryData: *x\n",
        CONFIG_MAP + "data:\n  a: |\n    ---\n    x: [\n",
        CONFIG_MAP + "data: !mine {a: !x b}\n",
        CONFIG_MAP.rstrip("\n"),
        CONFIG_MAP + "...\n# end\n",
        "--- # c\n--- ~\n---\n" + CONFIG_MAP + "---\n# nothing\n",
        '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}',
    ],
)
def test_what_needs_no_change_keeps_every_byte(document: str) -> None:
    assert release(document).output == document


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("--- {apiVersion: v1, kind: X}  \n", "---\napiVersion: v1\nkind: X\nmetadata:\n"),
        (
            "# h\n  apiVersion: v1\n  kind: X\n\n# t\n",
            "# h\napiVersion: v1\nkind: X\nmetadata:\n  labels:\n    team: db\n\n# t\n",
        ),
        ("\ufeffapiVersion: v1\nkind: X\n", "\ufeffapiVersion: v1\nkind: X\nmetadata:\n"),
        (
            "# h\r\napiVersion: v1\r\nkind: X\r\n# t\r\n",
            "# h\r\napiVersion: v1\r\nkind: X\r\nmetadata:\r\n  labels:\r\n    team: db\r\n# t\r\n",
        ),
        (
            "%YAML 1.1\n--- # c\napiVersion: v1\nkind: X\n...\n",
            "%YAML 1.1\n--- # c\napiVersion: v1\nkind: X\nmetadata:\n  labels:\n    team: db\n...\n",
        ),
        (
            "--- &root\napiVersion: v1\nkind: X",
            "---\napiVersion: v1\nkind: X\nmetadata:\n  labels:\n    team: db\n",
        ),
        (
            "apiVersion: v1\nkind: X\nmetadata: &m {a: 1}\nb: *m\n",
            "metadata:\n  a: 1\n  labels:\n    team: db\nb:\n  a: 1\n",
        ),
    ],
)
def test_around_a_changed_document_everything_stays(document: str, expected: str) -> None:
    done = release(document, only="labels", labels=LABELS)
    assert expected in done.output
    assert release(done.output, only="labels", labels=LABELS).output == done.output


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (lambda text: text.replace("a: y", 'a: "y"'), True),
        (lambda text: text.replace('b: "1"', "b: 1"), True),
        (lambda text: text.replace("c: d", "c: e"), True),
        (lambda text: text.replace("kind: X", "kind:   X"), False),
    ],
)
def test_a_fault_of_the_writer_would_be_an_error_and_no_other_release(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[str], str], expected: bool
) -> None:
    write = Writer.write
    monkeypatch.setattr(Writer, "write", lambda self, root: fault(write(self, root)))
    stream = "apiVersion: v1\nkind: X\ndata: {a: y, b: '1', c: d}\n"
    if expected:
        with pytest.raises(PostrenderError, match="document 1 would read otherwise than meant"):
            release(stream, only="labels", labels=LABELS)
    else:
        assert release(stream, only="labels", labels=LABELS).done.changed == 1


def test_a_long_trail_of_line_breaks_keeps_its_value() -> None:
    document = CONFIG_MAP + "data:\n  a: |+\n    x\n\n\n\n---\n" + CONFIG_MAP
    done = release(document, only="labels", labels=LABELS)
    first = done.output.partition("---")[0]
    value = read(first)
    assert isinstance(value, dict)
    assert value["data"] == {"a": "x\n\n\n\n"}


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (
            CONFIG_MAP + "---\n- a\n- b\n",
            "document 2, line 5: the document is a list, not a Kubernetes object\n     5 | - a",
        ),
        (
            "just text\n",
            "document 1, line 1: the document is a single value, not a Kubernetes object",
        ),
        ("kind: X\n", "the document is no Kubernetes object: it has no apiVersion"),
        ("apiVersion: v1\nkind: [X]\n", "the document is no Kubernetes object: it has no kind"),
        ("# Source: a/b.yaml\na: 1\n", "document 1 (a/b.yaml), line 2: the document is no"),
        ("# nothing\n---\n", "the input has no object, only comments"),
        ("--- ~\n", "the input has no object, only comments"),
        (
            CONFIG_MAP
            + "---\napiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n",
            "document 2, line 5: a ResourceList has to be the only document",
        ),
        (
            "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n---\n"
            + CONFIG_MAP,
            "document 2, line 5: a ResourceList has to be the only document\n     5 | apiVersion: v1\n"
            "put all objects into its items, or give the objects themselves",
        ),
        (
            "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: {a: b}\n",
            "the ResourceList's items are no list",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: X}, x]\n",
            "item 2 of the List is no object",
        ),
        (
            "apiVersion: apps/v1\nkind: DeploymentList\nitems: [{metadata: {name: a}}]\n",
            "item 1 of the DeploymentList is no Kubernetes object: it has no apiVersion",
        ),
        (
            "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: [1]\n",
            "item 1 of the ResourceList is no object",
        ),
    ],
)
def test_what_is_no_release_is_refused(stream: str, message: str) -> None:
    with pytest.raises(StreamError) as caught:
        release(stream)
    assert message in str(caught.value)


def test_a_tag_that_cannot_be_written_back_is_no_loss_but_an_error() -> None:
    with pytest.raises(StreamError, match="has a tag of its own, !mine"):
        release(CONFIG_MAP + "data: !mine {a: b}\n", only="labels", labels=LABELS)


RESOURCE_LIST = f"""apiVersion: config.kubernetes.io/v1
kind: ResourceList
functionConfig:
  apiVersion: helm-tidb.io/v1
  kind: PostRender
  metadata: {{name: x}}
  rules: {{labels: {{labels: {{team: db}}}}}}
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {{name: a, annotations: {{config.kubernetes.io/path: a.yaml}}}}
- {pod("        - {name: c}").replace(chr(10), chr(10) + "  ")}
results: [{{message: from another function}}]
"""


def passed(stream: str) -> Mapping:
    done = Pass(lambda body: config.of_function(body) if body else [])
    value = read(done.run(stream.encode()).decode())
    assert isinstance(value, dict)
    return value


def krm(stream: str) -> tuple[Pass, dict[str, object]]:
    done = Pass(lambda body: config.of_function(body) if body else config.rules({}, Path()))
    value = read(done.run(stream.encode()).decode())
    assert isinstance(value, dict)
    done.finish()
    return done, typed(value)


def test_a_function_brings_its_configuration_and_gets_results() -> None:
    done, output = krm(RESOURCE_LIST)
    assert done.door == "krm"
    assert output["items"] == []  # refused: nothing of it may be used
    results = output["results"]
    assert isinstance(results, list)
    assert results[0] == {
        "message": "container 'c' has neither a limit nor a request for cpu; name it in the chart's values,"
        " or set rules.guaranteed.set.cpu and absent: set [guaranteed/absent]",
        "severity": "error",
        "resourceRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "db"},
        "field": {"path": "spec.template.spec.containers[c].resources"},
    }
    assert results[2] == {
        "message": "common to all objects of the release [labels/add]",
        "severity": "info",
        "resourceRef": {"apiVersion": "v1", "kind": "ConfigMap", "name": "a"},
        "field": {"path": "metadata.labels.team", "proposedValue": "db"},
        "file": {"path": "a.yaml"},
    }


def test_a_function_passes_the_same_items_as_the_stream() -> None:
    rules = "{guaranteed: {absent: set, set: {cpu: 1, memory: 1Gi}}, labels: {labels: {team: db}}}"
    stream = RESOURCE_LIST.replace("{labels: {labels: {team: db}}}", rules)
    _, output = krm(stream)
    given = read(stream)
    assert isinstance(given, dict)
    items = given["items"]
    assert isinstance(items, list)
    plain = "---\n".join(Writer().write(item) for item in items if isinstance(item, dict))
    policy = {"absent": "set", "set": {"cpu": 1, "memory": "1Gi"}}
    streamed = release(plain, guaranteed=policy, labels=LABELS)
    assert output["items"] == [
        typed(read("---\n" + text)) for text in streamed.output.split("---\n")
    ]
    again, second = krm(Writer().write(passed(stream)))
    assert second["items"] == output["items"]
    assert again.documents == 1


def test_a_function_cannot_lose_a_tag_either() -> None:
    with pytest.raises(StreamError, match="has a tag of its own, !mine"):
        krm(RESOURCE_LIST.replace("name: a,", "name: a, labels: !mine {b: c},"))


def test_a_list_is_what_has_items_as_for_helm_and_kubectl() -> None:
    one = pod("        - {name: c, resources: {limits: {cpu: 1, memory: 1Gi}}}\n")
    item = one.replace("\n", "\n  ").rstrip(" ")
    for kind in ("v1\nkind: List", "apps/v1\nkind: DeploymentList"):
        done = release(f"apiVersion: {kind}\nitems:\n- {item}- {item}", only="guaranteed")
        assert (done.done.objects, done.done.changed, len(done.changes)) == (2, 1, 4)
    nested = f"apiVersion: v1\nkind: List\nitems:\n- {item}".replace("\n", "\n  ").rstrip(" ")
    _, output = krm(f"apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- {nested}")
    assert str(output["items"]).count("'requests'") == 1


def test_a_resource_list_may_be_larger_than_any_document_of_a_stream() -> None:
    item = f"{{apiVersion: v1, kind: X, data: {{a: {'x' * MAX_DOCUMENT}}}}}"
    stream = f"apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: [{item}]\n"
    assert len(release(stream).output) > MAX_DOCUMENT


@pytest.mark.parametrize("given", ["[a]", "x", "1"])
def test_a_functions_configuration_is_a_mapping(given: str) -> None:
    with pytest.raises(ConfigError, match=r"functionConfig: is no mapping; leave it out"):
        krm(f"apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nfunctionConfig: {given}\n")


def test_a_function_without_configuration_runs_the_defaults() -> None:
    done = Pass(lambda _: config.rules({}, Path()))
    done.run(b"apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n")
    assert done.findings.items == []
