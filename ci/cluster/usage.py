"""What a cluster costs this machine: memory as PSS, CPU over a stretch of time.

PSS counts shared pages once, split among who shares them, so that the sum is what the machine would get back; the RSS
of four kubelets counts the same program text four times.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from ci.cluster import cgroups
from ci.cluster.processes import alive
from ci.cluster.state import State


@dataclass(frozen=True)
class Usage:
    """Sums over all of a cluster's processes. `cpu` is in cores: 0.2 is a fifth of one."""

    processes: int
    pss_bytes: int
    cpu: float
    seconds: float


def measure(memory: State, seconds: float) -> Usage:
    """Watch the cluster for some seconds; a process that starts or ends meanwhile counts for what was seen."""
    pids = _pids(memory)
    before = {pid: _ticks(pid) for pid in pids}
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    ticks = sum(max(0, _ticks(pid) - before.get(pid, 0)) for pid in _pids(memory) if pid in before)
    return Usage(
        len(pids), sum(_pss(pid) for pid in pids), ticks / os.sysconf("SC_CLK_TCK") / passed, passed
    )


def _pids(memory: State) -> list[int]:
    pids = [process.pid for process in memory.processes.values() if alive(process)]
    for item in memory.nodes.values():
        pids.extend(cgroups.processes(memory.layout.node(item.number).netns))
    return pids


def _pss(pid: int) -> int:
    """A process that just ended holds nothing."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
