"""Make the Python environment that every target of the Makefile uses: `.venv`, a link into the cache.

The environment lies outside the work tree and is keyed by `ci/requirements.txt` and the interpreter, so that a second
checkout, or a second run, installs nothing. It never contains the project itself: everything runs from the
checkout's root, so that two checkouts can share one environment without seeing each other's code.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ci import cache, debian

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "ci" / "requirements.txt"


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what says so to an older Python
        print(
            f"env: Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}",
            file=sys.stderr,
        )
        return 1
    key = cache.key(REQUIREMENTS.read_bytes(), sys.version.encode(), sys.base_prefix.encode())
    target = cache.root() / "venv" / key
    with cache.lock(f"venv-{key}"):
        if not (target / "complete").exists():
            _create(target)
    link = ROOT / ".venv"
    if link.is_symlink() or not link.exists():
        if not link.is_symlink() or link.resolve() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
        return 0
    print(f"env: {link} is a real folder, not this project's link; move it away", file=sys.stderr)
    return 1


def _create(target: Path) -> None:
    print(
        f"env: installing {_count()} Python packages (once, about 20 s)",
        file=sys.stderr,
        flush=True,
    )
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _venv(target)
    except subprocess.CalledProcessError:
        # Debian ships venv's ensurepip apart from Python.
        debian.ensure("python")
        _venv(target)
    # uv comes from the same list of pins as all the rest, then installs that list, hashes checked.
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as uv_only:
        uv_only.write(_requirement("uv"))
        uv_only.flush()
        _run(
            target / "bin" / "python",
            "-m",
            "pip",
            "install",
            "-q",
            "--require-hashes",
            "-r",
            uv_only.name,
        )
    _run(
        target / "bin" / "uv",
        "pip",
        "sync",
        "-q",
        "--require-hashes",
        "--python",
        target / "bin" / "python",
        REQUIREMENTS,
    )
    (target / "complete").touch()


def _venv(target: Path) -> None:
    _run(sys.executable, "-m", "venv", "--clear", target)


def _run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True)


def _requirement(name: str) -> str:
    """One requirement with its hashes, cut from the list of pins."""
    match = re.search(rf"^{name}==(?:.*\\\n)*.*\n", REQUIREMENTS.read_text(), re.MULTILINE)
    if match is None:
        raise SystemExit(f"env: {REQUIREMENTS} pins no {name}; run `make pins`")
    return match.group(0)


def _count() -> int:
    return len(re.findall(r"^[\w.-]+==", REQUIREMENTS.read_text(), re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main())
