"""A process is over when nothing of it holds a file or a port any more."""

from __future__ import annotations

import platform
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from ci.cluster import processes

# What any program of several threads is for a moment after SIGKILL, made to last: the first thread is a zombie, and
# another still holds the port. exit(2) ends a thread; the process ends by exit_group(2).
EXIT = {"x86_64": 60, "aarch64": 93}
LISTENER = """
import ctypes, socket, sys, threading
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=threading.Event().wait).start()
print(server.getsockname()[1], flush=True)
ctypes.CDLL(None).syscall(int(sys.argv[1]), 0)
"""


@pytest.mark.skipif(
    platform.machine() not in EXIT, reason="the number of exit(2) is not known here"
)
def test_a_zombie_whose_threads_still_run_is_alive_and_ends_with_its_port_free(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    number = str(EXIT[platform.machine()])
    process = processes.spawn("listener", [sys.executable, "-c", LISTENER, number], log)
    try:
        stat, deadline = Path(f"/proc/{process.pid}/stat"), time.monotonic() + 10
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.005)
        assert processes.alive(process)
        port = int(log.read_text())
        socket.create_connection(("127.0.0.1", port)).close()
    finally:
        processes.end([process], first=signal.SIGKILL)
    assert not processes.alive(process)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
