"""A disk that does not answer holds up neither the scan nor the other disks."""

from __future__ import annotations

import threading
import time

from hooks.disks.filesystem import Contents, Looker
from hooks.disks.mountinfo import Mount


def mount(number: int) -> Mount:
    return Mount(number, 1, f"8:{number}", "/", f"/mnt/disks/{number}", "xfs", "/dev/sdx", False)


def test_a_hanging_disk_costs_one_deadline_and_one_thread() -> None:
    release = threading.Event()
    asked: list[int] = []

    def look(which: Mount) -> Contents:
        asked.append(which.id)
        if which.id == 1:
            release.wait(20)
        return Contents(size_bytes=which.id)

    looker = Looker(look)
    both = [mount(1), mount(2)]
    first = looker.look(both, 0.2)
    assert first[mount(1)].error == "no answer within 0.2 s"
    assert first[mount(1)].broken
    assert first[mount(2)] == Contents(size_bytes=2)
    # While it hangs it is not asked again, and nobody waits for it a second time.
    began = time.monotonic()
    for _ in range(3):
        assert looker.look(both, 10.0)[mount(1)].broken
    assert time.monotonic() - began < 5.0
    assert asked.count(1) == 1
    assert asked.count(2) == 4
    release.set()
    while looker.look([mount(1)], 5.0)[mount(1)].broken:
        time.sleep(0.001)
    assert looker.look(both, 5.0)[mount(1)] == Contents(size_bytes=1)
