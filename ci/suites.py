"""Run the test suites, each with its JUnit XML under build/, and close with one line of numbers.

`make test` runs all SUITES after lint, `make test-unit` the first; `--soak` runs the long versions (environment
HELM_TIDB_SOAK=1). Suites of one lane run one after the other, lanes side by side: tests on a real cluster mostly wait,
and those that compute run beside them with a lower priority. What a suite prints is shown when it ends; each minute
says what runs.

A suite without a test is a failure: an empty run proves nothing. All suites run even if one fails, so that one CI run
tells everything.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
PROGRESS_SECONDS = 60.0


@dataclass(frozen=True)
class Suite:
    """Tests that run together. `needs` are the pinned tools they run, built before any suite's clock starts.

    `paths` below tests/ (default: the folder of the suite's name).
    """

    name: str
    needs: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    lane: str = "compute"

    @property
    def places(self) -> list[Path]:
        return [ROOT / "tests" / path for path in self.paths or (self.name,)]


CLUSTER_TOOLS = (
    *("etcd", "kubectl", "containerd", "runc", "cni", "coredns", "kwok"),
    *("helm4", "helm3", "kustomize", "argocd", "flux"),
)
# The longest: they take as much time as all other tests on a real cluster together, so they have a lane of their own.
PRODUCT = ("chart_gitops", "failover_nodes")
CLUSTER = tuple(
    path.stem.removeprefix("test_")
    for path in sorted((ROOT / "tests" / "cluster").glob("test_*.py"))
    if path.stem.removeprefix("test_") not in PRODUCT
)


def _on_a_cluster(name: str, stems: tuple[str, ...]) -> Suite:
    return Suite(name, CLUSTER_TOOLS, tuple(f"cluster/test_{stem}.py" for stem in stems), name)


# In the first lane the quick ones come first.
SUITES = (
    Suite("unit"),
    Suite("chart", needs=("helm4", "helm3", "helm-unittest", "kubeconform")),
    Suite("postrender", needs=("helm4", "helm3", "kustomize")),
    Suite("contract", needs=("etcd",)),
    Suite("standin", needs=("etcd",)),
    Suite("model"),
    Suite("faults", needs=("etcd", "kube-apiserver")),
    _on_a_cluster("cluster", CLUSTER),
    _on_a_cluster("product", PRODUCT),
)


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass
class Run:
    """The chosen suites on their way. `alone`: one lane, which prints as it goes."""

    suites: list[Suite]
    soak: bool
    total: Count = field(default_factory=Count)
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lanes = list(dict.fromkeys(suite.lane for suite in self.suites))
        self.alone = len(self.lanes) == 1
        self._began: dict[str, float] = {}
        self._print = threading.Lock()

    def all(self) -> None:
        with ThreadPoolExecutor(len(self.lanes)) as pool, self._progress():
            for done in [pool.submit(self._lane, lane) for lane in self.lanes]:
                done.result()

    def _lane(self, lane: str) -> None:
        for suite in (suite for suite in self.suites if suite.lane == lane):
            self._suite(suite)

    def _suite(self, suite: Suite) -> None:
        _say(f"{suite.name}: {', '.join(suite.paths) or f'tests/{suite.name}'}")
        began = self._began[suite.name] = time.monotonic()
        report = _report(suite)
        report.unlink(missing_ok=True)
        niceness = 0 if self.alone or suite.lane != "compute" else 10
        command = ["nice", f"-n{niceness}", sys.executable, "-m", "pytest", f"--junitxml={report}"]
        command += ["-q" if suite.lane == "compute" else "-v", "--durations=10"]
        command += ["-o", f"junit_suite_name={suite.name}", *map(str, suite.places)]
        environment = dict(os.environ, **({"HELM_TIDB_SOAK": "1"} if self.soak else {}))
        if self.alone:
            code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        else:
            with _log(suite).open("wb") as log:
                code = subprocess.run(
                    command, cwd=ROOT, env=environment, check=False, stdout=log, stderr=log
                ).returncode
        del self._began[suite.name]
        self._close(suite, code, time.monotonic() - began)

    def _close(self, suite: Suite, code: int, seconds: float) -> None:
        count = _count(suite)
        with self._print:
            self.total.passed += count.passed
            self.total.failed += count.failed
            self.total.skipped += count.skipped
            if code or not count.passed:
                self.broken.append(suite.name)
            if not self.alone:
                print(_log(suite).read_text(errors="replace"), flush=True)
            _say(f"{suite.name}: {count.passed} passed, {count.failed} failed in {seconds:.0f} s")

    @contextmanager
    def _progress(self) -> Iterator[None]:
        """Says each minute what is on its way, and where."""
        over = threading.Event()

        def tell() -> None:
            while not over.wait(PROGRESS_SECONDS):
                now = time.monotonic()
                running = [
                    f"{n} for {now - t:.0f} s{self._where(n)}" for n, t in list(self._began.items())
                ]
                with self._print:
                    _say(f"running: {'; '.join(running)}")

        if self.alone:
            yield
            return
        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _where(self, name: str) -> str:
        """The last line that names a test, of the suites that name them."""
        lines = (BUILD / f"{name}.log").read_text(errors="replace").splitlines()
        tests = [line for line in lines if "::" in line]
        return f" ({tests[-1].split('::', 1)[1].strip()})" if tests else ""


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
    run = Run([suite for suite in SUITES if suite.name in (args.suite or [suite.name])], args.soak)
    BUILD.mkdir(exist_ok=True)
    if not args.suite and not _lint():
        run.broken.append("lint")
    if _tools(sorted({tool for suite in run.suites for tool in suite.needs})):
        run.all()
    else:
        run.broken.append("tools")
    if run.broken:
        _say(f"failed: {', '.join(run.broken)}")
    total = run.total
    print(
        f"{total.passed} passed, {max(total.failed, len(run.broken))} failed, {total.skipped} skipped",
        flush=True,
    )
    return 1 if run.broken else 0


def _lint() -> bool:
    return subprocess.run([sys.executable, "-m", "ci.lint"], cwd=ROOT, check=False).returncode == 0


def _tools(needed: list[str]) -> bool:
    """Build what is missing. Without its tools no suite runs: a run of a part would look like a whole one."""
    if not needed:
        return True
    _say(f"tools: {', '.join(needed)}")
    command = [sys.executable, "-m", "ci.tools", "build", *needed]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def _report(suite: Suite) -> Path:
    return BUILD / f"{suite.name}.xml"


def _log(suite: Suite) -> Path:
    return BUILD / f"{suite.name}.log"


def _count(suite: Suite) -> Count:
    """What the suite's own JUnit XML says; nothing, when pytest did not get as far as writing it."""
    if not _report(suite).exists():
        return Count()
    count = Count()
    for case in ET.parse(_report(suite)).iter("testcase"):
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
