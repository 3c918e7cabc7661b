"""Run the whole command in this process, and read the report it writes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from postrender import cli, config
from tests.unit.postrender.release import pod

ROOT = Path(cli.__file__).parent.parent
GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
# One side of its resources is missing; both are; no YAML.
HALF = pod("      - {name: c, image: x:1, resources: {limits: {cpu: 1, memory: 1Gi}}}\n")
BARE = "# Source: t/a.yaml\n" + pod("      - {name: c, image: x:1}\n")
BAD = GOOD + "---\n# Source: t/b.yaml\na: [\n"


def run(
    *arguments: str, stdin: str | bytes = "", cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """One command in this process, with streams of its own; a process each would take most of the suite's time."""
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        for name in (cli.CONFIG_VARIABLE, cli.REPORT_VARIABLE):
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.chdir(cwd)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        try:
            code = cli.main(arguments)
        except SystemExit as left:  # argparse, for --help and for a wrong command line
            code = int(left.code or 0)
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(arguments, code, *texts)


def report(path: Path) -> dict[str, Any]:
    """A report in JSON, which meets its schema."""
    body: dict[str, Any] = json.loads(path.read_text())
    jsonschema.Draft7Validator(config.schema_of("postrender.report.schema.yaml")).validate(body)
    return body
