"""The named cases notice when a plan is broken: of the seeded mutations at least 95 in 100 fail a test
(ci/mutants).
"""

from __future__ import annotations

import subprocess
import sys

from ci.mutants.__main__ import FEWEST, ROOT, STRIDE, listed
from tests.model.quick import SOAK


def test_there_are_enough_of_them_and_always_the_same() -> None:
    every = listed()
    assert len(every[::STRIDE]) >= FEWEST
    assert every == listed()
    assert len(set(every)) == len(every)


def test_nearly_all_mutants_are_killed() -> None:
    command = [sys.executable, "-m", "ci.mutants", *(["--all"] if SOAK else [])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout)
    survivors = [line for line in done.stdout.splitlines() if line.startswith("SURVIVED")]
    assert done.returncode == 0, "\n".join(survivors) + done.stderr
