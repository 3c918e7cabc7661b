"""The cache's promises: a key follows every input, and a lock keeps other processes out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ci import cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HELM_TIDB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.root() == tmp_path / "cache"
    monkeypatch.delenv("HELM_TIDB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.root() == tmp_path / "xdg" / "helm-tidb"
    assert cache.root().is_dir()


def test_a_key_tells_inputs_apart_that_join_to_the_same_bytes() -> None:
    assert cache.key(b"ab", b"c") != cache.key(b"a", b"bc")
    assert cache.key(b"ab", b"c") == cache.key(b"ab", b"c")


def test_a_folders_key_follows_names_and_contents_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a").write_text("1")
    first = cache.folder_key(folder)

    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("x")
    (folder / "sub" / "a").touch()
    assert cache.folder_key(folder) == first

    (folder / "sub" / "a").write_text("2")
    second = cache.folder_key(folder)
    (folder / "sub" / "a").rename(folder / "sub" / "b")
    assert len({first, second, cache.folder_key(folder), cache.folder_key(folder, b"more")}) == 4


def test_a_lock_keeps_other_processes_out_until_it_is_given_back() -> None:
    probe = (
        "import fcntl, sys\n"
        "try: fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError: print('held')\n"
        "else: print('free')\n"
    )

    def state() -> str:
        command = [sys.executable, "-c", probe, str(cache.root() / "locks" / "thing")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with cache.lock("thing"):
        assert state() == "held"
    assert state() == "free"
