"""What the stand-ins need as plain processes: 3 PD, 4 TiKV, 1 TiDB on this machine.

Goals (issue 4): all of them under 400 MiB, ready in 15 s, 200 writes a second through the SQL port with 3 replicas.
Memory is the proportional set size: pages that processes share (etcd's and Python's code) count once, as in a node's
sum. The rate of writes is compared with that of plain appends with fsync on the same disk, measured just before: an
acknowledged write needs two of them to be on the disk, one after the other's answer, and many writes share one.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

from tests.clients import connect, wait_ready
from tests.contract.programs import World, group

REGIONS, CLIENTS, SECONDS = 20, 16, 15.0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "world", scale=10.0, regions=REGIONS)
        try:
            _measure(world, Path(folder))
        finally:
            world.stop()


def _measure(world: World, folder: Path) -> None:
    began = time.monotonic()
    world.start_pds(3)
    for i in range(4):
        world.start_tikv(f"tikv-{i}")
    world.start_tidb()
    wait_ready(world)
    print(f"3 PD + 4 TiKV + 1 TiDB ready: {time.monotonic() - began:.1f} s (goal 15)")
    world.ask("/pd/api/v1/stores/limit", "POST", {"rate": 2000}, of=world.leader())
    world.wait_until_whole()
    plain = _fsyncs(folder / "plain")
    rates = [_writes(world, clients) for clients in (1, CLIENTS)]
    print(
        f"writes a second, {REGIONS} regions, 3 replicas: {rates[0]:.0f} by 1 client, {rates[1]:.0f} by {CLIENTS} "
        f"(goal 200); plain appends with fsync: {plain:.0f}; ratio {rates[1] / plain:.2f}"
    )
    memory = sum(_proportional(pid) for program in world.programs() for pid in group(program.pid))
    print(f"memory after the writes: {memory / 1024:.0f} MiB proportional set size (goal 400)")


def _fsyncs(path: Path) -> float:
    with path.open("ab") as file:
        began, count = time.monotonic(), 0
        while time.monotonic() - began < 3:
            file.write(b"x" * 100)
            file.flush()
            os.fsync(file.fileno())
            count += 1
    return count / 3


def _writes(world: World, clients: int) -> float:
    counts = [0] * clients
    until = time.monotonic() + SECONDS

    def write(number: int) -> None:
        cursor = connect(world)
        while time.monotonic() < until:
            cursor.execute(
                "REPLACE INTO kv VALUES (%s, %s)", (f"{number}-{counts[number]}", "v" * 64)
            )
            counts[number] += 1

    threads = [threading.Thread(target=write, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def _proportional(pid: int) -> int:
    """KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
