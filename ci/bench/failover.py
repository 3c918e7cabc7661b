"""Failover's plan for a thousand stores, and what one run costs: time to its first request, and memory.

Bounds of the issue: 100 ms for the plan, 0.6 s to the first request, 64 MB.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from hooks import pd
from hooks.failover.model import Component, Snapshot
from hooks.failover.plan import plan
from tests.model.scene import LOST, POLICY, scene, see, see_more_stores
from tests.model.sight import NOW_NS

STORES = 1000
PODS = 3000


def main() -> None:
    seen = large()
    spent = []
    for _ in range(9):
        began = time.process_time()
        made = plan(seen, POLICY)
        spent.append(time.process_time() - began)
    codes = [action.code for action in made.actions]
    print(
        f"plan, {STORES} stores, {PODS} pods: {min(spent) * 1000:.1f} ms CPU (at most 100), wants {codes}"
    )
    first, peak = one_run()
    print(f"one run: first request after {first:.2f} s (at most 0.6), peak {peak} MB (at most 64)")


def large() -> Snapshot:
    """One lost store among a thousand, on a thousand nodes that are all taken but one."""
    numbers = range(100, 100 + STORES - 3)
    stores = (
        pd.Store(n, f"basic-tikv-{n}.x:20160", pd.StoreState.UP, "Up", False, NOW_NS, True, 9, 3)
        for n in numbers
    )
    seen = see_more_stores(scene(*LOST), *stores)
    assert seen.earlier is not None
    beats = {**seen.earlier.beats, **dict.fromkeys(numbers, 1)}
    busy = {**seen.busy, **{(Component.TIKV, f"m{n}"): f"basic-tikv-{n}" for n in range(PODS)}}
    return see(seen, busy=busy, earlier=dataclasses.replace(seen.earlier, beats=beats))


def one_run() -> tuple[float, int]:
    """Seconds from the start of the process to its first request, and its peak memory in MB; the answers are
    all 404.
    """
    arrived = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            arrived.set()
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """The benchmark says what it has to say."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "kubeconfig"
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        user = {"name": "u", "user": {}}
        document = {
            "clusters": [cluster],
            "contexts": [context],
            "users": [user],
            "current-context": "c",
        }
        config.write_text(json.dumps(document))
        command = [
            sys.executable,
            "-m",
            "hooks",
            "failover",
            "--release=x",
            "--namespace=x",
            "--dry-run",
        ]
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, f"--kubeconfig={config}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        arrived.wait(60)
        first = time.monotonic() - began
        _, _, usage = os.wait4(process.pid, 0)
    server.shutdown()
    return first, usage.ru_maxrss // 1024


if __name__ == "__main__":
    main()
