"""Leases and Events, on an API server in memory."""

from __future__ import annotations

import threading

import pytest

from hooks import kube
from tests.faults.memory import Memory


def client(memory: Memory) -> kube.Client:
    return kube.Client(memory, manager="test")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_one_holder_at_a_time_and_the_next_after_silence() -> None:
    memory, clock = Memory(), Clock()
    one = kube.Lease(client(memory), "n", "l", "one", clock=clock)
    two = kube.Lease(client(memory), "n", "l", "two", clock=clock)
    assert one.try_acquire() == ""
    assert two.try_acquire() == "one"
    clock.now += 14
    assert one.try_acquire() == "", "renewed"
    clock.now += 14
    assert two.try_acquire() == "one", "28 s after it was first seen, but it was renewed meanwhile"
    clock.now += 16
    assert two.try_acquire() == "", "silent for 16 s"
    assert one.try_acquire() == "two"
    assert not one.held
    (lease,) = memory.all("leases")
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("two", 1)


def test_a_clock_of_another_machine_counts_for_nothing() -> None:
    memory, clock = Memory(), Clock()
    one = kube.Lease(client(memory), "n", "l", "one", clock=clock)
    one.try_acquire()
    (lease,) = memory.all("leases")
    lease["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
    two = kube.Lease(client(memory), "n", "l", "two", clock=clock)
    assert two.try_acquire() == "one"


def test_released_it_is_free_at_once() -> None:
    memory = Memory()
    two = kube.Lease(client(memory), "n", "l", "two")
    with (
        kube.hold(kube.Lease(client(memory), "n", "l", "one")),
        pytest.raises(kube.HeldError, match="Lease n/l is held by one"),
    ):
        kube.acquire(two, stop=threading.Event(), seconds=0)
    assert kube.Lease(client(memory), "n", "l", "two").try_acquire() == ""


def test_the_same_event_is_written_once() -> None:
    memory = Memory()
    recorder = kube.Recorder(client(memory), "helm-tidb.io/test", "pod-1")
    about = kube.Regarding("helm-tidb.io/v1", "TidbVolume", "tv-1")
    for _ in range(3):
        recorder.record(about, reason="Refused", note="x" * 3000, action="Refuse", type_="Warning")
    recorder.record(about, reason="Refused", note="another", action="Refuse")
    events = memory.all("events")
    assert len(events) == 2
    assert {event["metadata"]["namespace"] for event in events} == {"default"}
    assert max(len(event["note"]) for event in events) == 1024
