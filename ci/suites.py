"""Run the test suites one after the other, each with its JUnit XML under build/, and close with one line of numbers.

`make test` runs all of SUITES, `make test-unit` the first; `--soak` runs the long versions
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
    """One folder of tests; `needs` are the pinned tools that it runs, built before its clock starts."""

    name: str
    needs: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return ROOT / "tests" / self.name


# Quick ones first. A cluster's tools come last because a cold build of them takes minutes.
SUITES = (
    Suite("unit"),
    Suite("chart", needs=("helm4", "helm3", "helm-unittest", "kubeconform")),
    Suite("postrender", needs=("helm4", "helm3", "kustomize")),
    Suite("contract", needs=("etcd",)),
    Suite("standin", needs=("etcd",)),
    Suite("model"),
    Suite("faults", needs=("etcd", "kube-apiserver")),
    Suite(
        "cluster",
        needs=(
            "etcd",
            "kubectl",
            "containerd",
            "runc",
            "cni",
            "coredns",
            "kwok",
            "helm4",
            "helm3",
            "argocd",
        ),
    ),
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
    chosen = [suite for suite in SUITES if not args.suite or suite.name in args.suite]
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
    _say(f"{suite.name}: {suite.folder.relative_to(ROOT)}")
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
        str(suite.folder),
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
