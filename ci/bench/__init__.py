"""Benchmarks: they measure and print, and never pass or fail. `python -m ci.bench [NAME …]`.

Each module here has `main() -> None` and prints its sizes and what it compares with; `machine()` heads every run.
Machines are shared and noisy: what is compared is measured in turn within one run and printed as a ratio.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path


def machine() -> str:
    """One line on where the numbers come from: processor, cores, memory, kernel, load."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


def spread(seconds: Sequence[float]) -> str:
    """`median (least to most) of N` of some timings in seconds."""
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}) of {len(seconds)}"
