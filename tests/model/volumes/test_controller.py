"""The running controller, its threads and watches, on an API server in memory: how much it writes, that a restart
writes nothing, that an API server which goes away costs nothing, and that what is under way goes before what is new.

Left to others: what is decided (test_offers.py, test_wipes.py), every crash point (tests/faults), a real API server and
real agents (tests/cluster), how long it takes at full size (ci/bench/volumes.py).
"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

import hooks.kube.lease
from hooks.engine import Exit, Outcome
from hooks.kube import Recorder
from hooks.volumes import controller as module
from hooks.volumes import job, observe
from hooks.volumes.actions import VolumeAction
from hooks.volumes.controller import Controller
from schema import names
from tests.model.volumes.agents import FakeAgent, FakeDisk
from tests.model.volumes.stage import NAMESPACE, Stage
from tests.model.volumes.transports import SECONDS, Forbidding, Overtaken, Reachable

NODES, DISKS = 12, 4


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held back is held back until it is overtaken, however slow the machine."""
    monkeypatch.setattr(module, "_LAZY_SECONDS", SECONDS)
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", SECONDS)


@contextmanager
def running(stage: Stage, leads: Callable[[], bool] = lambda: True) -> Iterator[Controller]:
    """A controller in a thread, until the block ends."""
    stage.memory.changed.watched = True
    client = stage.client()
    recorder = Recorder(client, "helm-tidb.io/volumes", "pod-1")
    say = stage.said.append
    controller = Controller(
        client, stage.policy, NAMESPACE, recorder, workers=4, leads=leads, say=say
    )
    thread = threading.Thread(target=controller.run, daemon=True)
    thread.start()
    try:
        yield controller
    finally:
        controller.stop.set()
        thread.join(SECONDS)


def until(stage: Stage, condition: Callable[[], bool]) -> None:
    """Agents and Kubernetes work beside the controller until it is so."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, dict(stage.memory.writes)
        stage.agents_work()
        stage.kubernetes_works()
        stage.check()
        time.sleep(0.005)


def at_rest(stage: Stage, controller: Controller) -> None:
    """Until it has looked at everything it knew at its start, and nothing is left to do."""
    until(stage, lambda: "helm_tidb_volumes" in controller.metrics.text())
    until(stage, lambda: controller.queue.idle)


def phases(stage: Stage) -> list[str]:
    found = stage.memory.all("tidbvolumes")
    return sorted(str((volume.get("status") or {}).get("phase", "")) for volume in found)


def deeds(stage: Stage) -> dict[tuple[str, str], int]:
    """What the controller wrote, but for requests."""
    ours = ("persistentvolumes", "tidbvolumes")
    return {key: count for key, count in stage.memory.writes.items() if key[1] in ours}


def cluster() -> Stage:
    stage = Stage()
    for number in range(NODES):
        node = f"n{number:02}"
        stage.add_node(node, *(FakeDisk(f"wwn-{node}-{disk}") for disk in range(DISKS)))
    return stage


def all_noted(stage: Stage) -> bool:
    """Every disk's marker has its PV's UID: the last thing that a new volume leads to."""
    return all(disk.marker and disk.marker["pvUID"] for disk in stage.disks())


def started() -> Stage:
    stage = cluster()
    with running(stage) as controller:
        until(stage, lambda: phases(stage) == ["Available"] * NODES * DISKS and all_noted(stage))
        at_rest(stage, controller)
    return stage


def test_a_volume_costs_three_writes_and_a_node_two() -> None:
    """TidbVolume, PV, status; folders wanted, PVs' UIDs to note. Less there cannot be."""
    stage = started()
    writes = stage.memory.writes
    volumes = NODES * DISKS
    assert writes["create", "tidbvolumes"] == writes["update", "tidbvolumes"] == volumes
    assert writes["create", "persistentvolumes"] == volumes
    assert writes["create", "configmaps"] == NODES
    assert writes["update", "configmaps"] == NODES


def test_a_restart_writes_nothing() -> None:
    stage = started()
    stage.bind(names.folder_name(names.volume_name("wwn-n03-1"), 1))
    with running(stage) as controller:
        until(stage, lambda: "Bound" in phases(stage))
        at_rest(stage, controller)
    version = stage.memory.version
    with running(stage) as controller:
        at_rest(stage, controller)
    assert stage.memory.version == version


def test_an_api_server_that_was_away_is_caught_up_with_and_nothing_is_lost() -> None:
    """Meanwhile a disk was released, another pulled and replaced, a node deleted."""
    stage = started()
    away, gone = Reachable(stage.memory), names.volume_name("wwn-n05-0")
    stage.wrap = lambda _: away
    bound = names.folder_name(names.volume_name("wwn-n03-1"), 1)
    claim = stage.bind(bound)
    with running(stage) as controller:
        until(stage, lambda: "Bound" in phases(stage))
        away.cut()
        before = deeds(stage)
        stage.release(claim)
        stage.agents["n05"].disks["/mnt/disks/d0"] = FakeDisk("wwn-new")
        stage.delete_node("n07")
        for volume in ("wwn-n03-1", "wwn-n05-0", "wwn-n07-0"):
            controller.queue.add(("volume", names.volume_name(volume)))
        broken = controller.metrics.text
        until(stage, lambda: 'helm_tidb_watch_broken{job="volumes",kind="nodes"} 1' in broken())
        assert deeds(stage) == before
        away.away = False
        until(
            stage,
            lambda: (
                stage.phase("wwn-n03-1") == "Released"
                and stage.phase("wwn-n05-0") == "Failed"
                and names.volume_name("wwn-new") in _names(stage)
                and stage.phase("wwn-new") == "Available"
                and phases(stage).count("Lost") == DISKS
            ),
        )
    assert stage.disk_of(bound).folders[bound]
    assert not [
        pv for pv in stage.memory.all("persistentvolumes") if gone in pv["metadata"]["name"]
    ]


def test_an_answer_about_a_volume_that_comes_after_its_end_brings_it_not_back() -> None:
    stage = started()
    between = Overtaken(stage.memory)
    stage.wrap = lambda _: between
    volume = names.volume_name("wwn-n03-1")
    with running(stage) as controller:
        at_rest(stage, controller)
        between.told = lambda: not controller.world.view(volume, observe.now(controller.client)).pvs
        stage.memory.remove("persistentvolumes", names.folder_name(volume, 1))
        second = ("persistentvolumes", "", names.folder_name(volume, 2))
        until(stage, lambda: second in stage.memory.objects)
        until(stage, lambda: phases(stage) == ["Available"] * NODES * DISKS)
    assert between.late == 1


def test_nothing_is_done_while_the_lease_may_be_somebody_elses() -> None:
    """Cut off for longer than the Lease lasts, it comes back with an old view and another at work."""
    stage = started()
    leads, asked = threading.Event(), Counter[str]()

    def ours() -> bool:
        asked["whether"] += 1
        return leads.is_set()

    with running(stage, leads=ours) as controller:
        before = deeds(stage)
        stage.add_node("new", FakeDisk("wwn-new"))
        until(stage, lambda: "new" in controller.world.all_nodes())
        often = asked["whether"] + 8  # each worker, more than once
        until(stage, lambda: asked["whether"] > often)
        assert deeds(stage) == before
        leads.set()
        until(stage, lambda: names.volume_name("wwn-new") in _names(stage))


def test_what_is_under_way_goes_before_what_is_new() -> None:
    """A claim that is bound while a thousand disks wait to be listed."""
    stage = started()
    volume = names.volume_name("wwn-n03-1")
    with running(stage) as controller:
        at_rest(stage, controller)
        hold, held = threading.Event(), list[VolumeAction]()
        apply = controller._applier.apply

        def slow(action: VolumeAction) -> Outcome:
            held.append(action)
            hold.wait(SECONDS)
            return apply(action)

        controller._applier.apply = slow  # type: ignore[method-assign]
        more = FakeAgent("more", {f"/mnt/d{n}": FakeDisk(f"wwn-more-{n}") for n in range(1000)})
        stage.agents["more"] = more
        stage.register("more")
        stage.publish("more")
        until(stage, lambda: len(held) == controller.workers)
        stage.bind(names.folder_name(volume, 1))
        # Its claim and its PV are told by two watches; with all workers held, what is queued stays so.
        until(stage, lambda: controller.queue.any_of([("volume", volume)]))
        # The test is the next worker that has time.
        looked = controller.queue.get()
        while looked is not None and looked[0] == "node":
            controller.queue.done(looked)
            looked = controller.queue.get()
        assert looked == ("volume", volume)
        controller.queue.add(looked)
        controller.queue.done(looked)
        hold.set()
        until(stage, lambda: stage.phase("wwn-n03-1") == "Bound")


def test_an_inventory_edited_into_nonsense_is_told_once_and_the_last_good_one_counts() -> None:
    stage = started()
    with running(stage) as controller:
        at_rest(stage, controller)
        work, stage.agents_work = stage.agents_work, lambda: None  # type: ignore[method-assign]
        stage.publish("n03", '{"version": 1, "node": "n03"}')
        stage.publish("n04", '{"version": 1, "node": "n05"}')
        until(stage, lambda: len(controller.world.complaints) == 2)
        for _ in range(3):
            controller._tick()
        warnings = [e for e in stage.memory.all("events") if e["type"] == "Warning"]
        assert [(e["reason"], e["regarding"]["name"]) for e in warnings] == [
            ("InvalidContent", "tidb-disks-n03"),
            ("InvalidContent", "tidb-disks-n04"),
        ]
        assert "the last valid content counts: data must contain" in warnings[0]["note"]
        assert phases(stage) == ["Available"] * NODES * DISKS
        stage.agents_work = work  # type: ignore[method-assign]
        until(stage, lambda: not controller.world.complaints)


def test_what_it_did_and_refused_is_an_event_and_a_line() -> None:
    stage = started()
    claim = stage.bind(names.folder_name(names.volume_name("wwn-n03-1"), 1))
    with running(stage):
        until(stage, lambda: "Bound" in phases(stage))
        stage.release(claim)
        until(stage, lambda: "Released" in phases(stage))
        stage.disk_of(claim["spec"]["volumeName"]).foreign.add("photos")
        stage.annotate(names.volume_name("wwn-n03-1"), "now")
        until(stage, lambda: "Refused" in phases(stage))
        until(
            stage,
            lambda: any(
                "wipe-dirty" in str(e) or "WipeDirty" in str(e) for e in stage.memory.all("events")
            ),
        )
    told = [(e["type"], e["reason"]) for e in stage.memory.all("events")]
    assert sorted(told) == [
        ("Normal", "FencePv"),
        ("Normal", "PermitWipe"),
        ("Warning", "WipeDirty"),
    ]
    assert any(
        line.startswith("volumes: did permit to clear generation 1 (") for line in stage.said
    )
    assert any("to go on: move the files away; or, to delete" in line for line in stage.said)


def test_events_that_cannot_be_written_hold_up_nothing() -> None:
    stage = started()
    forbid = Forbidding(stage.memory)
    stage.wrap = lambda _: forbid
    claim = stage.bind(names.folder_name(names.volume_name("wwn-n03-1"), 1))
    with running(stage):
        until(stage, lambda: "Bound" in phases(stage))
        stage.release(claim)
        until(stage, lambda: "Released" in phases(stage))
        stage.annotate(names.volume_name("wwn-n03-1"), "now")
        until(stage, lambda: "Wiping" not in phases(stage) and "Released" not in phases(stage))
    assert any("could not record an Event: POST" in line for line in stage.said)


def lease(stage: Stage, holder: str) -> None:
    """As another pod writes it."""
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": holder}
    metadata = {"name": "tidb-volumes", "namespace": NAMESPACE}
    kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    stage.memory.put({**kind, "metadata": metadata, "spec": spec})


def test_one_pod_works_and_one_that_lost_the_lease_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = started()
    stage.memory.changed.watched = True
    stage.add_node("new", FakeDisk("wwn-new"))
    lease(stage, "pod-2")
    monkeypatch.setattr(hooks.kube.lease, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(job, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(job, "_say", stage.said.append)

    def others() -> None:
        until(stage, lambda: "standing by: pod-2 leads" in stage.said)
        assert names.volume_name("wwn-new") not in _names(stage)
        lease(stage, "")
        until(stage, lambda: phases(stage).count("Available") == NODES * DISKS + 1)
        lease(stage, "pod-3")

    args = argparse.Namespace(namespace=NAMESPACE, release="tidb", address="127.0.0.1", port=0)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(others)
        try:
            assert job.control(stage.client(), stage.policy, args) is Exit.ERROR
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        told.result()
    assert stage.said[-1] == (
        "error: the Lease was lost; ending, so that its new holder works alone"
    )


def _names(stage: Stage) -> list[str]:
    return [volume["metadata"]["name"] for volume in stage.memory.all("tidbvolumes")]
