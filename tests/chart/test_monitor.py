"""Prometheus' own checker reads what the chart gives Prometheus: configuration and rules, all on and by default."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

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
    done = subprocess.run(
        [promtool(), "check", *arguments], capture_output=True, text=True, check=False
    )
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


def test_rules_name_a_severity_and_say_what_is_wrong() -> None:
    rules = [
        rule
        for group in yaml.safe_load((CHART / "monitor" / "rules.yaml").read_text())["groups"]
        for rule in group["rules"]
    ]
    assert len(rules) >= 10
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        assert rule["for"], rule["alert"]
