"""Prometheus' own checker reads what the chart gives Prometheus: configuration and rules, all on and by default."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ci import cache
from ci.image import debs
from tests.chart.helm import CHART, ROOT, template

FILES: dict[str, tuple[Path, ...]] = {
    "defaults": (),
    "everything": (ROOT / "tests" / "chart" / "values" / "all-on.yaml",),
}


@functools.cache
def promtool() -> Path:
    """promtool of the Debian package that the monitor's test image is made of, unpacked once into the cache."""
    (deb,) = debs.resolve(("prometheus",))
    target = cache.root() / "promtool" / deb.sha256[:16]
    with cache.lock("promtool"):
        if not (target / "complete").exists():
            (file,) = debs.fetch([deb])
            debs.unpack(deb, file, target)
            (target / "complete").touch()
    return target / "usr" / "bin" / "promtool"


def check(*arguments: str | Path) -> str:
    return run("check", *arguments)


def run(*arguments: str | Path) -> str:
    done = subprocess.run([promtool(), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("case", FILES)
def test_configuration_and_rules(case: str, tmp_path: Path) -> None:
    (data,) = (
        o["data"]
        for o in template(files=FILES[case]).objects
        if o["kind"] == "ConfigMap" and "prometheus.yaml" in (o.get("data") or {})
    )
    for name, text in data.items():
        # Where the pod has it; here the folder is another.
        (tmp_path / name).write_text(text.replace("/etc/prometheus", str(tmp_path)))
    said = check("config", tmp_path / "prometheus.yaml")
    assert "FAILED" not in said
    assert f"{len(data) - 1} rule files found" in said


def rules() -> dict[str, Any]:
    """The chart's alerts by name."""
    groups = yaml.safe_load((CHART / "monitor" / "rules.yaml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_rules_name_a_severity_and_say_what_is_wrong() -> None:
    assert len(rules()) >= 10
    for name, rule in rules().items():
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), name
        assert rule["annotations"]["summary"], name
        assert rule["for"], name


JOBS = {"namespace": "db", "cluster": "shop", "exported_job": "failover"}
# Series over the minutes → the alerts that stand after a quarter of an hour, with their own labels.
STORIES: dict[str, tuple[dict[str, str], dict[str, dict[str, str]]]] = {
    "a refusal that stands": (
        {'helm_tidb_refusals{%s,code="stores-lost"}': "1x20"},
        {"TiDBJobRefuses": {"exported_job": "failover", "code": "stores-lost"}},
    ),
    "a refusal that was over in a moment": (
        {'helm_tidb_refusals{%s,code="stores-lost"}': "1x3 0x20"},
        {},
    ),
    "a store that is not healed for more than an hour": (
        {'helm_tidb_seconds_since_loss{%s,pod="shop-tikv-2"}': "3500+60x20"},
        {"TiDBLossNotHealed": {"pod": "shop-tikv-2"}},
    ),
    "a job that is started and never ends well": (
        {"helm_tidb_last_start_seconds{%s}": "0+60x20"},
        {"TiDBJobFails": {"exported_job": "failover"}},
    ),
    "a job whose last good end is long ago": (
        {
            "helm_tidb_last_start_seconds{%s}": "5000+60x20",
            "helm_tidb_last_success_seconds{%s}": "3000x20",
        },
        {"TiDBJobFails": {"exported_job": "failover"}},
    ),
    "a job that does its work": (
        {
            "helm_tidb_last_start_seconds{%s}": "0+60x20",
            "helm_tidb_last_success_seconds{%s}": "5+60x20",
        },
        {},
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_what_the_jobs_tell_wakes_somebody(story: str, tmp_path: Path) -> None:
    series, alerts = STORIES[story]
    own = ",".join(f'{key}="{word}"' for key, word in JOBS.items())
    cases = [
        {"eval_time": "15m", "alertname": name, "exp_alerts": [expected(name, alerts[name])]}
        if name in alerts
        else {"eval_time": "15m", "alertname": name}
        for name in ("TiDBJobRefuses", "TiDBJobFails", "TiDBLossNotHealed")
    ]
    inputs = [{"series": name % own, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": inputs, "alert_rule_test": cases}
    file = tmp_path / "test.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(CHART / "monitor" / "rules.yaml")], "tests": [test]})
    )
    assert "SUCCESS" in run("test", "rules", file)


def expected(alert: str, labels: dict[str, str]) -> dict[str, dict[str, str]]:
    """As Prometheus sends it: with its severity, and its labels put into the summary."""
    rule = rules()[alert]
    labels = {"namespace": "db", "cluster": "shop", **labels, **rule["labels"]}
    text = rule["annotations"]["summary"]
    for key, word in labels.items():
        text = text.replace(f"{{{{ $labels.{key} }}}}", word)
    return {"exp_labels": labels, "exp_annotations": {"summary": text}}
