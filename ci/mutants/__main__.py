"""`python -m ci.mutants [--list] [--only TEXT]`: mutate the plans, run the named cases against each mutant,
print who survived.

Each mutant runs in a forked child that has pytest loaded and none of the modules under test, so a run costs
about a second. A mutant that no test can kill because it changes nothing stands in EQUIVALENT, with the reason.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.abc
import importlib.machinery
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType

from ci.mutants.equivalent import EQUIVALENT
from ci.mutants.operators import Mutation, mutated, mutations

ROOT = Path(__file__).resolve().parents[2]
# The files that decide, and the tests that must notice.
SUBJECTS = (
    "hooks/failover/plan.py",
    "hooks/failover/members.py",
    "hooks/failover/places.py",
    "hooks/failover/gates.py",
    "hooks/failover/evidence.py",
    "hooks/failover/room.py",
    "hooks/failover/quorum.py",
    "hooks/cleanup/plan.py",
)
TESTS = (
    "tests/model/test_corners.py",
    "tests/model/test_evidence.py",
    "tests/model/test_gates.py",
    "tests/model/test_members.py",
    "tests/model/test_steps.py",
    "tests/model/test_cleanup.py",
)
# Of all mutations the quick run takes every fifth, from the fixed list; `--all` takes each.
STRIDE = 5
FEWEST = 50
KILLED_SHARE = 0.95


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ci.mutants", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print them, run none")
    parser.add_argument("--all", action="store_true", help="each, not every fifth")
    parser.add_argument("--only", default="", help="those whose line contains this text")
    args = parser.parse_args(argv)
    every = [m for m in listed() if args.only in str(m)]
    if not args.all and not args.only:
        every = every[::STRIDE]
    if args.list:
        print("\n".join(str(m) for m in every))
        return 0
    began = time.monotonic()
    survivors = []
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for mutation, killed in zip(every, pool.map(is_killed, every), strict=True):
            print(f"{'killed  ' if killed else 'SURVIVED'} {mutation}", flush=True)
            if not killed:
                survivors.append(mutation)
    share = 1 - len(survivors) / len(every)
    print(
        f"mutants: {len(every)}, {len(every) - len(survivors)} killed ({share:.1%}), in "
        f"{time.monotonic() - began:.0f} s; {len(EQUIVALENT)} that change nothing are left out"
    )
    enough = bool(args.only) or len(every) >= FEWEST
    return 0 if share >= KILLED_SHARE and enough else 1


def listed() -> list[Mutation]:
    """All mutations of the subjects but the equivalent ones."""
    every = [m for file in SUBJECTS for m in mutations(file, (ROOT / file).read_text())]
    return [m for m in every if (m.file, m.what) not in EQUIVALENT]


def is_killed(mutation: Mutation) -> bool:
    """Whether a test fails under it. A mutant that hangs counts as killed."""
    child = os.fork()
    if child == 0:
        os._exit(_run(mutation))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) != 0


def _run(mutation: Mutation) -> int:
    """In the child: 0 when every test passes."""
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    for name in [n for n in sys.modules if n.split(".")[0] in ("hooks", "tests")]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Mutant(mutation))
    import pytest

    return int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *(str(ROOT / t) for t in TESTS)]))


class _Mutant(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the mutated source when its module is imported."""

    def __init__(self, mutation: Mutation) -> None:
        self._name = mutation.file.removesuffix(".py").replace("/", ".")
        self._source = mutated(mutation, (ROOT / mutation.file).read_text())
        self._file = mutation.file

    def find_spec(
        self, fullname: str, path: object, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        return spec_from_loader(fullname, self) if fullname == self._name else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        del spec
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, self._file, "exec"), module.__dict__)


if __name__ == "__main__":
    importlib.import_module("pytest")  # once, for every child

    sys.exit(main())
