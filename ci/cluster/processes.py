"""Start processes that outlive this program, know them again, and end them: by pid, never by name.

A pid alone may have been given to somebody else since; a process is the pair of pid and start time (`/proc/PID/stat`,
field 22). A zombie counts as dead: after its parent went, the machine's init may take a while to reap it. But only once
its last thread is gone: until then its files are open and its ports taken, though SIGKILL has been heard (seen with
etcd: started again at once, it found its own port in use).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.cluster.errors import ClusterError

KILL_SECONDS = 5.0


@dataclass(frozen=True)
class Process:
    """A process that we started; `started` is in clock ticks since boot."""

    name: str
    pid: int
    started: int


def spawn(
    name: str,
    command: Iterable[str | Path],
    log: Path,
    *,
    netns: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start a command in its own session, its output appended to `log`, in a network namespace if named.

    `nsenter --net` alone is used rather than `ip netns exec`: that one would also hide the host's mounts.
    """
    words = [str(word) for word in command]
    if netns is not None:
        words = ["nsenter", f"--net=/run/netns/{netns}", *words]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=dict(os.environ, **(environment or {})),
        )
    # Popen's own bookkeeping would warn about a child that still runs when the object goes.
    child.returncode = 0
    started = start_time(child.pid)
    if started is None:
        raise ClusterError(f"{name} ended at once; its log is {log}: {tail(log)}")
    return Process(name, child.pid, started)


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when it and all its threads are gone."""
    _reap(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, threads, started = fields[0], int(fields[17]), int(fields[19])
    # A zombie is counted as a thread itself.
    return None if state in "ZX" and threads <= 1 else started


def alive(process: Process) -> bool:
    return start_time(process.pid) == process.started


def end(processes: Iterable[Process], *, first: signal.Signals = signal.SIGTERM) -> None:
    """End these processes: `first` to all, and SIGKILL to whoever is still there after KILL_SECONDS."""
    left = [process for process in processes if alive(process)]
    for sign in (first, signal.SIGKILL):
        for process in left:
            _signal(process, sign)
        deadline = time.monotonic() + KILL_SECONDS
        while left and time.monotonic() < deadline:
            left = [process for process in left if alive(process)]
            if left:
                time.sleep(0.01)
        if not left:
            return
    names = ", ".join(f"{process.name} (pid {process.pid})" for process in left)
    raise ClusterError(
        f"{names} did not end {KILL_SECONDS:.0f} s after SIGKILL: it hangs in the kernel"
    )


def children(pid: int) -> list[int]:
    """The direct children of a process, oldest first."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def tail(log: Path, lines: int = 3) -> str:
    """The last lines of a log, for an error message."""
    try:
        return (
            " | ".join(log.read_text(errors="replace").strip().splitlines()[-lines:]) or "(empty)"
        )
    except FileNotFoundError:
        return "(no log)"


def _signal(process: Process, sign: signal.Signals) -> None:
    if alive(process):
        try:
            os.kill(process.pid, sign)
        except ProcessLookupError:
            return


def _reap(pid: int) -> None:
    """Collect the exit status if it is our own child, so that it does not stay a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
