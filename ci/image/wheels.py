"""Python distributions for images: the closure of one extra or group of pyproject.toml, in the versions of
ci/requirements.txt, hashes checked."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

from ci.env import REQUIREMENTS, ROOT
from ci.image.errors import ImagePackagesError

PYTHON = "3.11"  # Debian 12's
_ENV = f"in {sys.executable}; run `make env`, then use .venv/bin/python"


def closure(group: str, without: tuple[str, ...]) -> list[str]:
    """Names of all that `group` needs, sorted; less `without` and what only those need.

    Reads the metadata of what is installed: the environment has exactly the pinned versions.
    """
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:
        raise ImagePackagesError(f"packaging is not installed {_ENV}") from None

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["project"]["optional-dependencies"] | project["dependency-groups"]
    if group not in groups:
        raise ImagePackagesError(
            f"pyproject.toml has no extra and no group {group!r}; it has: {', '.join(groups)}"
        )
    target = {
        "python_version": PYTHON,
        "python_full_version": f"{PYTHON}.2",
        "sys_platform": "linux",
        "extra": "",
    }
    found: set[str] = set()
    waiting = [Requirement(line) for line in groups[group]]
    while waiting:
        requirement = waiting.pop()
        name = canonical(requirement.name)
        if name in found or name in without:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate(dict(target)):
            continue
        found.add(name)
        try:
            there, needs = metadata.version(name), metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            raise ImagePackagesError(
                f"{name}, which the {group} image needs, is not installed {_ENV}"
            ) from None
        if pins([name]).split()[0] != f"{name}=={there}":
            raise ImagePackagesError(
                f"{name} is installed in {there}, which is not the pinned version {_ENV}"
            )
        waiting += [Requirement(line) for line in needs]
    return sorted(found)


def pins(names: list[str]) -> str:
    """The lines of ci/requirements.txt for these names, hashes included."""
    lines = _all_pins(REQUIREMENTS.read_text())
    lost = [name for name in names if name not in lines]
    if lost:
        raise ImagePackagesError(f"{REQUIREMENTS} pins no {', '.join(lost)}; run `make pins`")
    return "".join(lines[name] for name in names)


@cache
def _all_pins(text: str) -> dict[str, str]:
    found = re.finditer(r"^([\w.-]+)==(?:.*\\\n)*.*\n", text, re.M)
    return {canonical(item[1]): item[0] for item in found}


def install(requirements: str, target: Path) -> None:
    """Install these pinned wheels below `target`, for the image's Python. No code of theirs runs."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        command = [
            str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet", "--no-deps", "--require-hashes",
            "--only-binary", ":all:", "--python-version", PYTHON,
            "--python-platform", f"{platform.machine()}-manylinux_2_28",
            "--link-mode", "copy", "--target", str(target), "-r", file.name,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ImagePackagesError(f"`{' '.join(command)}` failed: {done.stderr.strip()[-800:]}")


def canonical(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
