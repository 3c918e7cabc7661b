"""Values, schema and templates agree: every value is described, has a default, is read, and changes something."""

from __future__ import annotations

import functools
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from schema import values
from tests.chart.helm import CHART, ROOT, Rendered, default, template

AUTHORED = values.load()
LEAVES = {value.name: value for value in values.leaves(AUTHORED)}

# A value that shows in the render only beside others: they are set on both sides of the comparison.
BESIDE: dict[str, dict[str, Any]] = {
    "tidb.service.loadBalancerIP": {"tidb": {"service": {"type": "LoadBalancer"}}},
    "tidb.service.loadBalancerClass": {"tidb": {"service": {"type": "LoadBalancer"}}},
    "tidb.service.loadBalancerSourceRanges": {"tidb": {"service": {"type": "LoadBalancer"}}},
    "monitor.storageClassName": {"monitor": {"persistent": True}},
    "monitor.storage": {"monitor": {"persistent": True}},
    "monitor.grafana.storage": {"monitor": {"persistent": True}},
    "serviceMonitor.labels": {"serviceMonitor": {"enabled": True}},
    "serviceMonitor.interval": {"serviceMonitor": {"enabled": True}},
    "podMonitor.labels": {"podMonitor": {"enabled": True}},
    "podMonitor.interval": {"podMonitor": {"enabled": True}},
    "prometheusRule.labels": {"prometheusRule": {"enabled": True}},
    "disks.controller.schedule": {"disks": {"controller": {"enabled": False}}},
    "disks.sharing.storageClassName": {"disks": {"sharing": {"enabled": True}}},
    "networkPolicy.sqlFrom": {"networkPolicy": {"enabled": True}},
    "networkPolicy.metricsFrom": {"networkPolicy": {"enabled": True}},
    **{
        f"monitor.{part}.service.{key}": {"monitor": {part: {"service": {"type": "LoadBalancer"}}}}
        for part in ("prometheus", "grafana")
        for key in (
            "nodePort",
            "loadBalancerIP",
            "loadBalancerClass",
            "loadBalancerSourceRanges",
            "externalTrafficPolicy",
        )
    },
}
# Read by nothing in a render, each for a reason.
SILENT = {
    "global": "it belongs to parent charts",
}


def nested(path: tuple[str, ...], leaf: Any) -> dict[str, Any]:
    for key in reversed(path):
        leaf = {key: leaf}
    found: dict[str, Any] = leaf
    return found


def merged(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    both = dict(left)
    for key, value in right.items():
        old = both.get(key)
        both[key] = (
            merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return both


@functools.cache
def _changed() -> dict[str, Rendered]:
    """Each value's example rendered, two at a time."""
    names = sorted(set(LEAVES) - set(SILENT))
    given = [
        merged(BESIDE.get(name, {}), nested(LEAVES[name].path, LEAVES[name].schema["example"]))
        for name in names
    ]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(names, pool.map(lambda one: template(values=one), given), strict=True))


@functools.cache
def _base(beside: str) -> str:
    return template(values=json.loads(beside)).text if beside != "{}" else default().text


@pytest.mark.parametrize("name", sorted(set(LEAVES) - set(SILENT)))
def test_the_example_of_a_value_changes_the_render(name: str) -> None:
    """So it is read, and its example is one that users can take."""
    value = LEAVES[name]
    beside = BESIDE.get(name, {})
    base = _base(json.dumps(beside, sort_keys=True))
    changed = _changed()[name]
    assert not changed.error
    assert changed.text != base, f"{name}: its example {value.schema['example']!r} changes nothing"


def test_every_value_that_templates_read_is_described() -> None:
    """A misspelt path renders as nothing, silently; so each path in a template is looked up in the schema."""
    known = {value.path for value in LEAVES.values()}
    prefixes = {path[:length] for path in known for length in range(len(path) + 1)}
    for path, file in sorted(read_paths()):
        inside_open_map = any(path[: len(leaf)] == leaf for leaf in known)
        assert path in prefixes or inside_open_map, (
            f"{file} reads .Values.{'.'.join(path)}, which no schema describes"
        )


def read_paths() -> set[tuple[tuple[str, ...], str]]:
    """(path, file) of every `.Values.a.b` in the templates, aliases (`$pd := .Values.pd`) followed."""
    found = set()
    for file in [
        *CHART.glob("templates/**/*.yaml"),
        *CHART.glob("templates/**/*.tpl"),
        CHART / "templates" / "NOTES.txt",
    ]:
        text = re.sub(r"\{\{-? */\*.*?\*/ *-?\}\}", "", file.read_text(), flags=re.DOTALL)
        aliases = dict(re.findall(r"\$(\w+) := \$?\.(?:root\.)?Values\.([\w.]+?)(?=[ )}|])", text))
        reads = [(None, path) for path in re.findall(r"\.Values\.([\w.]+)", text)]
        reads += [
            (alias, path) for alias in aliases for path in re.findall(rf"\${alias}\.([\w.]+)", text)
        ]
        for alias, path in reads:
            whole = f"{aliases[alias]}.{path}" if alias else path
            found.add((tuple(whole.strip(".").split(".")), str(file.relative_to(ROOT))))
    return found


def test_paths_are_found() -> None:
    """The scan above sees what it should: a full path, a path through an alias, one in a helper."""
    paths = {path for path, _ in read_paths()}
    assert ("tikv", "gracefulShutdownTimeout") in paths
    assert ("pd", "terminationGracePeriod") in paths
    assert ("monitor", "reserveDays") in paths
    assert ("imageRegistry",) in paths


def test_everything_on_is_everything() -> None:
    """Every value stands in the file that turns everything on, and none there is unknown."""
    import yaml

    everything = yaml.safe_load((ROOT / "tests/chart/values/all-on.yaml").read_text())
    missing = []
    for value in LEAVES.values():
        try:
            values.default_of(value, everything)
        except (KeyError, TypeError):
            missing.append(value.name)
    assert missing == []


def test_values_files_of_the_chart_are_small_and_say_what_for() -> None:
    for path in (CHART / "ci").glob("*-values.yaml"):
        first = path.read_text().splitlines()[0]
        assert first.startswith("# ")
        assert first.endswith(".")


@pytest.mark.parametrize("number", [1000000, 1234567, 2**31, 3.0, 0.8, 1e-7])
def test_numbers_reach_the_configuration_as_they_are(number: float) -> None:
    """Helm reads numbers of a values file as floats, and would write 1e+06 or 3.0 where PD wants an integer."""
    import tomllib

    rendered = template(
        values={"tikv": {"config": {"a": {"b": number, "c": [number], "d": [{"e": number}]}}}}
    )
    text = rendered.find("ConfigMap", "shop-tikv")["data"]["tikv.toml"]
    section = tomllib.loads(text)["a"]
    assert section["b"] == number
    assert section == {"b": section["b"], "c": [section["b"]], "d": [{"e": section["b"]}]}
    if float(number).is_integer():
        assert isinstance(section["b"], int)


def test_texts_reach_the_configuration_as_they_are() -> None:
    import tomllib

    config = {
        "log": {
            "level": 'a "quoted" \\ text',
            "lines": "one\ntwo",
            "unicode": "größe <&>",
            "on": True,
        },
        "with.dot": {"and space": {"deep": [True, "x", ["y"]]}},
        "empty": {},
        "nothing": None,
        "top": "first",
    }
    rendered = template(values={"pd": {"config": config}})
    found = tomllib.loads(rendered.find("ConfigMap", "shop-pd")["data"]["pd.toml"])
    assert found["log"] == config["log"]
    assert found["with.dot"] == config["with.dot"]
    assert found["top"] == "first"
    assert "nothing" not in found
    assert found["replication"] == {
        "max-replicas": 3,
        "location-labels": ["region", "zone", "host"],
    }
