"""Every rule of this house that can be checked: ruff, its formatter, mypy strict, the import contract, stale files.

All of them run even if one fails, so that one run tells everything.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

# name, command, what to do when it fails
CHECKS: tuple[tuple[str, list[str], str], ...] = (
    (
        "ruff",
        [str(BIN / "ruff"), "check", "-q", "."],
        "`.venv/bin/ruff check --fix .` mends most of it",
    ),
    (
        "format",
        [str(BIN / "ruff"), "format", "-q", "--check", "."],
        "run `.venv/bin/ruff format .`",
    ),
    (
        "mypy",
        [str(BIN / "mypy"), "--no-error-summary"],
        "every function is typed; see pyproject.toml",
    ),
    (
        "imports",
        [str(BIN / "lint-imports"), "--no-logo"],
        "who may import whom is in design.md and pyproject.toml [tool.importlinter]",
    ),
    (
        "generated",
        [sys.executable, "-m", "schema", "--check"],
        "run `make generate`; what follows from schema/ is written from there",
    ),
)


def main() -> int:
    failed = []
    for name, command, remedy in CHECKS:
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        if done.returncode:
            failed.append(name)
            print(f"lint: {name} failed ({remedy})\n{done.stdout}{done.stderr}", flush=True)
    names = ", ".join(name for name, _, _ in CHECKS)
    print(
        f"lint: {', '.join(failed)} failed of {names}" if failed else f"lint: {names} passed",
        flush=True,
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
