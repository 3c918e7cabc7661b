"""A process is over when nothing of it holds a file or a port any more."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import pytest

from ci.cluster import processes
from ci.cluster.api import wait_until

# What any program of several threads is for a moment after SIGKILL, made to last: the first thread is a zombie, and
# another still holds the port.
LISTENER = """
import ctypes, socket, threading
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=threading.Event().wait).start()
print(server.getsockname()[1], flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_zombie_whose_threads_still_run_is_alive_and_ends_with_its_port_free(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    process = processes.spawn("listener", [sys.executable, "-c", LISTENER], log)
    stat = Path(f"/proc/{process.pid}/stat")
    try:
        wait_until(
            lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z",
            "first thread over",
            10,
            seen=log.read_text,
        )
        assert processes.alive(process)
        port = int(log.read_text())
        socket.create_connection(("127.0.0.1", port)).close()
    finally:
        processes.end([process], first=signal.SIGKILL)
    assert not processes.alive(process)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
