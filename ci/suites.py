"""Run the test suites one after the other, each with its JUnit XML under build/, and close with one line of numbers.

`make test` runs SUITES but those that run by name only, `make test-unit` the first; `--soak` runs the long versions
(environment HELM_TIDB_SOAK=1).
A suite without a test is a failure: an empty run proves nothing. All suites run even if one fails, so that one CI run
tells everything.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"


@dataclass(frozen=True)
class Suite:
    """Tests that run together. `needs` are the pinned tools they run, built before the suite's clock starts.

    `paths` below tests/ (default: the folder of the suite's name). A suite `by_name` runs only when it is named.
    """

    name: str
    needs: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    by_name: bool = False

    @property
    def places(self) -> list[Path]:
        return [ROOT / "tests" / path for path in self.paths or (self.name,)]


CLUSTER_TOOLS = (
    *("etcd", "kubectl", "containerd", "runc", "cni", "coredns", "kwok"),
    *("helm4", "helm3", "kustomize", "argocd"),
)
# Whole releases with a database in them on real nodes: half an hour, and never yet seen green from end to end in one
# run (docs/decisions/0010). They are no part of `make test` until they have been; `make test-product` runs them.
PRODUCT = (
    *(
        "test_chart_boot.py",
        "test_chart_gitops.py",
        "test_chart_lifecycle.py",
        "test_chart_monitor.py",
    ),
    *(
        "test_volumes.py",
        "test_failover_nodes.py",
        "test_doctor_preflight.py",
        "test_doctor_reasons.py",
    ),
    "test_demo.py",
)
CLUSTER = tuple(
    f"cluster/{path.name}"
    for path in sorted((ROOT / "tests" / "cluster").glob("test_*.py"))
    if path.name not in PRODUCT
)

# Quick ones first. A cluster's tools come last because a cold build of them takes minutes.
SUITES = (
    Suite("unit"),
    Suite("chart", needs=("helm4", "helm3", "helm-unittest", "kubeconform")),
    Suite("postrender", needs=("helm4", "helm3", "kustomize")),
    Suite("contract", needs=("etcd",)),
    Suite("standin", needs=("etcd",)),
    Suite("model"),
    Suite("faults", needs=("etcd", "kube-apiserver")),
    Suite("cluster", CLUSTER_TOOLS, CLUSTER),
    Suite("product", CLUSTER_TOOLS, tuple(f"cluster/{name}" for name in PRODUCT), by_name=True),
)


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ci.suites", description=__doc__)
    parser.add_argument("suite", nargs="*", help=f"which ones: {', '.join(s.name for s in SUITES)}")
    parser.add_argument("--soak", action="store_true", help="the long versions")
    args = parser.parse_args(argv)
    unknown = set(args.suite) - {suite.name for suite in SUITES}
    if unknown:
        parser.error(
            f"no suite {', '.join(sorted(unknown))}; there are {', '.join(s.name for s in SUITES)}"
        )
    chosen = [
        suite for suite in SUITES if suite.name in args.suite or not (args.suite or suite.by_name)
    ]
    BUILD.mkdir(exist_ok=True)
    total, broken = Count(), []
    if not args.suite and not _lint():
        broken.append("lint")
    for suite in chosen:
        began = time.monotonic()
        code = _run(suite, soak=args.soak)
        count = _count(suite)
        total.passed += count.passed
        total.failed += count.failed
        total.skipped += count.skipped
        if code or not count.passed:
            broken.append(suite.name)
        _say(
            f"{suite.name}: {count.passed} passed, {count.failed} failed in {time.monotonic() - began:.0f} s"
        )
    if broken:
        _say(f"failed: {', '.join(broken)}")
    print(
        f"{total.passed} passed, {max(total.failed, len(broken))} failed, {total.skipped} skipped",
        flush=True,
    )
    return 1 if broken else 0


def _lint() -> bool:
    return subprocess.run([sys.executable, "-m", "ci.lint"], cwd=ROOT, check=False).returncode == 0


def _run(suite: Suite, *, soak: bool) -> int:
    if suite.needs:
        _say(f"{suite.name}: tools {', '.join(suite.needs)}")
        built = subprocess.run(
            [sys.executable, "-m", "ci.tools", "build", *suite.needs], cwd=ROOT, check=False
        )
        if built.returncode:
            return built.returncode
    _say(f"{suite.name}: {', '.join(suite.paths) or f'tests/{suite.name}'}")
    report = BUILD / f"{suite.name}.xml"
    report.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        f"--junitxml={report}",
        "-o",
        f"junit_suite_name={suite.name}",
        "--durations=10",
        *map(str, suite.places),
    ]
    environment = dict(os.environ, **({"HELM_TIDB_SOAK": "1"} if soak else {}))
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def _count(suite: Suite) -> Count:
    """What the suite's own JUnit XML says; nothing, when pytest did not get as far as writing it."""
    report = BUILD / f"{suite.name}.xml"
    if not report.exists():
        return Count()
    count = Count()
    for case in ET.parse(report).iter("testcase"):
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            count.failed += 1
        elif "skipped" in outcomes:
            count.skipped += 1
        else:
            count.passed += 1
    return count


def _say(text: str) -> None:
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
