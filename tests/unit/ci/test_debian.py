"""What is missing is named in one message, with the command that brings it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ci import debian


@pytest.fixture
def two_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    present = tmp_path / "there"
    present.touch()
    gone = str(tmp_path / "gone")
    packages = {"zsh-not-there": gone, "libfoo": gone, "there": str(present)}
    monkeypatch.setitem(debian.PURPOSES, "trial", packages)


@pytest.mark.usefixtures("two_missing")
def test_without_root_the_missing_packages_are_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(debian.DebianPackagesMissingError) as caught:
        debian.ensure("trial")
    assert str(caught.value) == (
        "Debian packages are missing for trial: run as root: "
        "apt-get install --yes --no-install-recommends libfoo zsh-not-there"
    )


@pytest.mark.usefixtures("two_missing")
def test_a_machine_without_apt_gets_the_same_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(debian.DebianPackagesMissingError, match=r"libfoo zsh-not-there$"):
        debian.ensure("trial")


def test_nothing_is_asked_of_apt_when_all_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(debian.PURPOSES, "trial", {"there": str(tmp_path)})
    monkeypatch.setenv("PATH", str(tmp_path))
    debian.ensure("trial")


def test_every_proof_is_an_absolute_path_of_a_package_named_once() -> None:
    proofs: dict[str, str] = {}
    for packages in debian.PURPOSES.values():
        for package, proof in packages.items():
            assert proof.startswith("/"), package
            assert proofs.setdefault(package, proof) == proof, f"{package} has two proofs"
