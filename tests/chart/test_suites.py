"""The helm-unittest suites, run as `helm unittest` through the plugin; each of their tests is one of ours."""

from __future__ import annotations

import functools
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from ci import tools
from tests.chart.helm import CHART, environment

SUITES = sorted((Path(__file__).parent / "unittests").glob("*_test.yaml"))


@functools.cache
def results() -> dict[str, str]:
    """`suite: test` → "" or what failed."""
    plugins = tools.path("helm-unittest")
    home = Path(environment()["HOME"])
    report = home / "unittest.xml"
    files = [word for suite in SUITES for word in ("-f", str(suite))]
    done = subprocess.run(
        [tools.path("helm4"), "unittest", *files, "-o", str(report), "-t", "JUnit", str(CHART)],
        env=environment(HELM_PLUGINS=str(plugins.parent if plugins.name != "plugins" else plugins)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    return {
        f"{case.get('classname')}: {case.get('name')}": "\n".join(
            (failure.text or "") for failure in case if failure.tag in ("failure", "error")
        )
        for case in ET.parse(report).iter("testcase")
    }


def names() -> list[str]:
    return [
        f"{suite['suite']}: {test['it']}"
        for path in SUITES
        for suite in [yaml.safe_load(path.read_text())]
        for test in suite["tests"]
    ]


@pytest.mark.parametrize("name", names())
def test_suite(name: str) -> None:
    assert name in results(), f"not run; there were {sorted(results())}"
    assert results()[name] == ""
