"""Run a host command; its failure is an error that shows the command and what it said."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ci.cluster.errors import ClusterError


def run(*command: str | Path, stdin: str | None = None, timeout: float = 60.0) -> str:
    """The command's standard output. Raises ClusterError with its last words when it fails or hangs."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, input=stdin, timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise ClusterError(
            f"`{words[0]}` is not installed; it should come from ci/debian.py"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{' '.join(words)}` did not end within {timeout:.0f} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-600:]
        raise ClusterError(f"`{' '.join(words)}` failed ({done.returncode}): {said}")
    return done.stdout


def attempt(*command: str | Path) -> bool:
    """Run a command whose failure means "was not there": for clean-up that must work twice."""
    try:
        run(*command)
    except ClusterError:
        return False
    return True
