"""hooks/Dockerfile and `python -m ci.image build hooks` make the same image: what one names, the other names."""

from __future__ import annotations

import json
import re

import pytest

from ci.env import ROOT
from ci.image import debs, wheels
from ci.image.builder import working_directory
from ci.image.recipes import RECIPES

HOOKS = RECIPES["hooks"]
DOCKERFILE = ROOT / "hooks" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) with continued lines joined and comments gone."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.M).replace("\\\n", " ")
    return [
        (line.split(None, 1)[0], line.split(None, 1)[1])
        for line in text.splitlines()
        if line.strip()
    ]


def words(name: str) -> list[str]:
    """The words of `ARG name="..."`."""
    for instruction, rest in instructions():
        if instruction == "ARG" and rest.startswith(f"{name}="):
            return rest.split("=", 1)[1].strip('"').split()
    raise AssertionError(f"{DOCKERFILE} has no ARG {name}")


def last(instruction: str) -> str:
    return [rest for name, rest in instructions() if name == instruction][-1]


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("DEBIAN_PACKAGES", HOOKS.debian),
        ("PYTHON_PACKAGES", tuple(wheels.closure(HOOKS.python, HOOKS.python_without))),
        ("LEFT_OUT", debs.LEFT_OUT),
        ("WITHOUT", HOOKS.without),
    ],
)
def test_packages_and_omissions_are_those_of_the_recipe(
    argument: str, wanted: tuple[str, ...]
) -> None:
    found = words(argument)
    assert sorted(found) == sorted(wanted), (
        f'write in hooks/Dockerfile: ARG {argument}="{" ".join(wanted)}"'
    )


def test_entry_point_user_and_working_directory_are_those_of_the_recipe() -> None:
    assert tuple(json.loads(last("ENTRYPOINT"))) == HOOKS.entrypoint
    assert last("USER") == f"{HOOKS.user}:{HOOKS.user}"
    assert last("WORKDIR") == working_directory(HOOKS)


def test_nobody_becomes_root_and_no_shell_is_the_entry_point() -> None:
    assert HOOKS.user == 65532
    assert HOOKS.entrypoint == ("python", "-m", "hooks")


def test_the_environment_is_that_of_the_recipe() -> None:
    found = dict(word.split("=", 1) for word in last("ENV").split())
    assert found.pop("PATH") == "/usr/local/bin:/usr/bin:/usr/sbin"
    assert found == HOOKS.environment


def test_code_and_links_are_those_of_the_recipe() -> None:
    copied = [
        rest.split() for name, rest in instructions() if name == "COPY" and "--from" not in rest
    ]
    assert [source for source, target in copied if target == f"app/{source}"] == list(HOOKS.code)
    script = " ".join(rest for name, rest in instructions() if name == "RUN")
    for place, target in HOOKS.links.items():
        assert f"ln -s {target} {place}" in script


def test_the_debian_release_is_the_one_whose_python_the_wheels_are_for() -> None:
    assert instructions()[0] == ("FROM", "debian:12-slim AS image")
    assert f"python{wheels.PYTHON}-minimal" in HOOKS.debian
