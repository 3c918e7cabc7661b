"""Where things that are built once live: outside the work tree, keyed by all that went into them.

`$HELM_TIDB_CACHE`, or `~/.cache/helm-tidb` (XDG_CACHE_HOME is kept). Nothing in it is ever changed
after it was completed: another input is another key. Deleting the folder costs time, never anything else.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def root() -> Path:
    """The cache's folder; made if it is not there."""
    named = os.environ.get("HELM_TIDB_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "helm-tidb"
    folder = Path(named) if named else base
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def key(*inputs: bytes) -> str:
    """A name for what these inputs make: 16 hex digits. The lengths count, so ("ab", "c") is not ("a", "bc")."""
    digest = hashlib.sha256()
    for part in inputs:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:16]


def folder_key(folder: Path, *inputs: bytes) -> str:
    """`key` of every file below `folder` (names and contents, sorted) and of further inputs."""
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    parts = [
        item
        for path in files
        for item in (str(path.relative_to(folder)).encode(), path.read_bytes())
    ]
    return key(*parts, *inputs)


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold a lock that other processes of this machine respect; the kernel drops it when the holder dies."""
    path = root() / "locks" / name
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
