"""The configuration: one description, defaults that agree with the rules, faults named by key and value."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrender import config
from postrender.errors import ConfigError
from postrender.rules import Rule
from schema.compiled import MismatchError, validator
from tests.unit.postrender.release import SEARCH

HEAD = "apiVersion: helm-tidb.io/v1\nkind: PostRender\n"


def load(tmp_path: Path, text: str) -> list[Rule]:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return config.load(path)


def fault(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return str(caught.value).replace(str(tmp_path / "config.yaml"), "FILE")


@pytest.mark.parametrize("name", ["config", "report", "lock"])
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft7Validator.check_schema(config.schema_of(f"postrender.{name}.schema.yaml"))


def test_the_schema_describes_every_parameter_with_the_rules_own_default() -> None:
    definitions = config.schema_of("postrender.config.schema.yaml")["definitions"]
    for rule in config.RULES:
        described: dict[str, Any] = dict(definitions[rule.name]["properties"])
        del described["enabled"]
        parameters = config.parameters(rule())
        names = {"set": "set", "allow": "allow"}
        assert {names.get(key, key) for key in parameters} == set(described), rule.name
        for key, value in parameters.items():
            default = described[key].get("default")
            if key == "lock":  # a file's name here, its content in the rule
                assert (default, value) == ("", {})
            else:
                assert default == (list(value) if isinstance(value, tuple) else value), (
                    rule.name,
                    key,
                )
            assert described[key].get("description"), (rule.name, key)


def test_without_sections_all_rules_run(tmp_path: Path) -> None:
    assert [rule.name for rule in load(tmp_path, HEAD)] == [rule.name for rule in config.RULES]
    assert load(tmp_path, HEAD) == config.rules({}, tmp_path)


def test_a_rule_is_turned_off_and_another_told_what_to_do(tmp_path: Path) -> None:
    text = (
        HEAD
        + "rules: {labels: {enabled: false}, guaranteed: {absent: set, set: {cpu: 0.5, memory: 1Gi}}}\n"
    )
    rules = {rule.name: rule for rule in load(tmp_path, text)}
    assert "labels" not in rules
    assert config.parameters(rules["guaranteed"])["set"] == {"cpu": "0.5", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "FILE: the input is empty"),
        ("- a\n", "FILE: has to start with apiVersion: helm-tidb.io/v1 and kind: PostRender"),
        ("a: [\n", "FILE: line 1, column 5: no YAML: did not find expected node content"),
        (HEAD + "kind: X\n", "FILE: line 3, column 1: duplicate key 'kind'"),
        (
            "apiVersion: v1\nkind: X\n",
            "FILE: apiVersion: is 'v1', has to be helm-tidb.io/v1\nFILE: kind: is 'X', has to be PostRender",
        ),
        (
            HEAD + "rules: {guarantee: {}}\n",
            "FILE: rules: unknown key 'guarantee', did you mean 'guaranteed'?",
        ),
        (
            HEAD + "rules: {images: {xyz: 1}}\n",
            "FILE: rules.images: unknown key 'xyz'; known are enabled, exclude, latest, lock,",
        ),
        (
            HEAD + "rules: {guaranteed: {absent: fill}}\n",
            "FILE: rules.guaranteed.absent: is 'fill', has to be one of refuse, set",
        ),
        (
            HEAD + "rules: {guaranteed: {absent: set}}\n",
            "FILE: rules.guaranteed: 'set' is a required property",
        ),
        (
            HEAD + "rules: {guaranteed: {set: {cpu: lots}}}\n",
            "FILE: rules.guaranteed.set.cpu: 'lots' does not match ^[0-9]+",
        ),
        (
            HEAD + "rules: {guaranteed: {set: {cpu: 0}}}\n",
            "FILE: rules.guaranteed.set.cpu: 0 is less than or equal to the minimum of 0",
        ),
        (
            HEAD + "rules: {labels: {labels: {helm.sh/x: a}}}\n",
            "FILE: rules.labels.labels: 'helm.sh/x' belongs to Helm",
        ),
        (
            HEAD + "rules: {labels: {labels: {a: 'b c'}}}\n",
            "FILE: rules.labels.labels.a: 'b c' does not match",
        ),
        (
            HEAD + 'rules: {labels: {labels: {a: "b\\n"}}}\n',
            "FILE: rules.labels.labels.a must match pattern ",
        ),
        (
            HEAD + "rules: {labels: {labels: {a: 1}}}\n",
            "FILE: rules.labels.labels.a: 1 is not of type 'string'",
        ),
        (
            HEAD + "rules: {exposure: {allow: [{what: Nodeport}]}}\n",
            "FILE: rules.exposure.allow[0].what: is 'Nodeport', has to be one of *, NodePort,",
        ),
        (
            HEAD + "rules: {api-versions: {kubernetes: 1.30}}\n",
            "FILE: rules.api-versions.kubernetes: 1.3 is not of type 'string'",
        ),
        (
            HEAD + "rules: {images: {lock: none.yaml}}\n",
            "none.yaml: can't be read: No such file or directory",
        ),
    ],
)
def test_a_fault_is_named_by_key_and_value(tmp_path: Path, text: str, message: str) -> None:
    assert message in fault(tmp_path, text)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    told = fault(tmp_path, HEAD + "rules: {images: {latest: no}, guaranteed: {missing: no}}\n")
    assert len(told.splitlines()) == 2


SCHEMA = config.schema_of("postrender.config.schema.yaml")
PARTS: tuple[Any, ...] = (
    *(
        None,
        True,
        "set",
        "fill",
        "refuse",
        "limits",
        "note",
        "",
        "a",
        "1Gi",
        "1.30",
        "1",
        0,
        1,
        0.5,
    ),
    *(
        {},
        {"cpu": 1, "memory": "1Gi"},
        {"cpu": 0},
        {"disk": "1Gi"},
        {"team": "db"},
        {"team": "a b"},
    ),
    *({"helm.sh/x": "a"}, {"docker.io": "m.io/x"}, {"docker.io/Bad": "m.io"}, {"a/b/c": "d"}),
    *(
        [],
        [{}],
        ["a"],
        [""],
        [1],
        [{"name": "a"}],
        [{"name": ""}],
        [{"path": "/a"}],
        [{"what": "Route"}],
    ),
)
SECTIONS = {
    rule.name: st.dictionaries(
        st.sampled_from([*SCHEMA["definitions"][rule.name]["properties"], "xyz"]),
        st.sampled_from(PARTS),
        max_size=3,
    )
    for rule in config.RULES
}


@SEARCH
@given(st.fixed_dictionaries({}, optional=SECTIONS))
def test_the_quick_validator_says_yes_to_what_jsonschema_says_yes_to(sections: Any) -> None:
    body = {"apiVersion": "helm-tidb.io/v1", "kind": "PostRender", "rules": sections}
    faults = list(jsonschema.Draft7Validator(SCHEMA).iter_errors(body))
    try:
        validator("postrender.config.schema.yaml")(body)
    except MismatchError:
        assert faults
    else:
        assert not faults


def test_a_good_configuration_loads_no_jsonschema(tmp_path: Path) -> None:
    """It would double the time to the first byte (ci/bench/postrender.py)."""
    (tmp_path / "lock.yaml").write_text(
        "apiVersion: helm-tidb.io/v1\nkind: ImageLock\nimages: {}\n"
    )
    (tmp_path / "config.yaml").write_text(HEAD + "rules: {images: {lock: lock.yaml}}\n")
    code = (
        "import sys, pathlib; from postrender import cli, config;"
        f" config.load(pathlib.Path({str(tmp_path / 'config.yaml')!r}));"
        " print({'jsonschema', 'fastjsonschema', 'importlib.resources'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(config.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: can't be read: No such file or directory"):
        config.load(tmp_path / "none.yaml")


def test_a_lock_file_lies_beside_the_configuration_and_is_checked(tmp_path: Path) -> None:
    (tmp_path / "lock.yaml").write_text(
        "apiVersion: helm-tidb.io/v1\nkind: ImageLock\nimages: {a: sha256:1}\n"
    )
    assert "lock.yaml: images.a: 'sha256:1' does not match" in fault(
        tmp_path, HEAD + "rules: {images: {lock: lock.yaml}}\n"
    )


def test_a_function_needs_its_own_kind() -> None:
    with pytest.raises(ConfigError) as caught:
        config.of_function({"apiVersion": "v1", "kind": "ConfigMap"})
    assert (
        str(caught.value)
        == "functionConfig: kind is 'ConfigMap'; write apiVersion: helm-tidb.io/v1, kind: PostRender"
    )
