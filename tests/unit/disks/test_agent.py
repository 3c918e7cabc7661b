"""The agent's rounds: what it publishes and when, what it does on whose word, and what must not hold it up.

The disks are real folders and all work on them is the product's; the cluster is an `Exchange` in memory that refuses
whatever breaks the inventory's schema.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hooks.disks import marker
from hooks.disks.agent import Agent
from hooks.disks.config import ConfigFile
from hooks.disks.observe import Candidate, Snapshot
from hooks.kube.backoff import CEILING_SECONDS
from tests.unit.disks import worlds
from tests.unit.disks.node import NODE, World, in_use
from tests.unit.disks.worlds import (
    IDENTITY,
    PV,
    candidate,
    folder,
    mark,
    opened,
    request,
)


def test_a_disk_is_offered_once_it_was_seen_unchanged_for_a_while(world: World) -> None:
    """Elsewhere capacity was published before the mount was complete."""
    assert world.round() == pytest.approx(2.0)
    assert world.disk()["steady"] is False
    world.round(1.0)
    assert len(world.cluster.published) == 1
    assert world.round(1.0) == 30.0
    assert world.disk()["steady"] is True


def test_nothing_is_said_while_nothing_changes(world: World) -> None:
    world.settle()
    said = len(world.cluster.published)
    for _ in range(50):
        assert world.round(30.0) == 30.0
    assert len(world.cluster.published) == said == 2


def test_a_folder_is_made_on_request_and_its_volume_noted(world: World) -> None:
    world.settle()
    world.cluster.ask(request(make=True, pv=""))
    disk = world.settle()
    assert disk["folders"] == disk["empty"] == [folder()]
    assert disk["marker"]["pvUID"] == ""
    world.cluster.ask(request())
    assert world.settle()["marker"] == {
        "volume": worlds.volume(),
        "identity": IDENTITY,
        "generation": 1,
        "folder": folder(),
        "pvUID": PV,
    }


def test_no_folder_before_the_disk_is_steady(world: World) -> None:
    world.cluster.ask(request(make=True, pv=""))
    world.round()
    assert list(world.root.iterdir()) == []
    world.round(2.0)
    assert (world.root / folder()).is_dir()


def test_wipe_to_the_next_generation(world: World) -> None:
    in_use(world)
    world.cluster.ask(request(wipe=True))
    disk = world.settle()
    assert disk["wipe"]["state"] == "Done"
    assert disk["wipe"]["removedBytes"] == disk["wipe"]["totalBytes"] > 20000
    assert "folders" not in disk
    said = len(world.cluster.published)
    world.settle()
    assert len(world.cluster.published) == said
    world.cluster.ask(request(2, make=True, pv=""))
    disk = world.settle()
    assert disk["folders"] == [folder(2)]
    assert (disk["wipe"]["generation"], disk["wipe"]["state"]) == (1, "Done")
    # The old request, come late: nothing of the new generation is touched.
    (world.root / folder(2) / "data").write_text("keep")
    world.cluster.ask(request(wipe=True))
    assert world.settle()["wipe"]["state"] == "Done"
    assert (world.root / folder(2) / "data").read_text() == "keep"


def test_a_disk_exchanged_between_request_and_wipe_is_left_alone(world: World) -> None:
    in_use(world)
    world.cluster.ask(request(wipe=True))
    other = "wwn-0x5000c500deadbeef"
    real = world.see
    looks = 0

    def exchanged() -> list[Candidate]:
        nonlocal looks
        looks += 1
        return real() if looks == 1 else [candidate(world.root, other)]

    world.see = exchanged
    world.round()
    assert looks == 2  # the round's, and the one just before the wipe
    assert (world.root / folder() / "db" / "LOCK").exists()
    world.see = real
    world.round()
    wipe = world.disk()["wipe"]
    assert (wipe["state"], wipe["reason"]) == ("Refused", "identity")
    assert f"the disk there is {other}, not {IDENTITY}" in wipe["message"]


def test_another_mount_just_before_the_wipe_refuses_it(world: World) -> None:
    in_use(world)
    world.cluster.ask(request(wipe=True))
    real = world.see
    looks = 0

    def mounted_anew() -> list[Candidate]:
        nonlocal looks
        looks += 1
        (found,) = real()
        assert found.mount
        return [found if looks == 1 else replace(found, mount=replace(found.mount, id=1))]

    world.see = mounted_anew
    world.round()
    world.see = real
    world.round()
    wipe = world.disk()["wipe"]
    assert (wipe["state"], wipe["reason"]) == ("Refused", "identity")
    assert "another mount is there now than the one that was looked at" in wipe["message"]
    assert (world.root / folder() / "db" / "LOCK").exists()


def test_a_refused_wipe_is_tried_again_but_not_at_once(world: World) -> None:
    in_use(world)
    (world.root / "mine.txt").write_text("a person's")
    world.cluster.ask(request(wipe=True))
    disk = world.settle()
    assert (disk["wipe"]["state"], disk["wipe"]["reason"]) == ("Refused", "dirty")
    assert "mine.txt" in disk["wipe"]["message"]
    assert disk["foreign"] == {"count": 1, "names": ["mine.txt"]}
    (world.root / "mine.txt").unlink()
    world.round()
    world.round()
    world.round()
    assert world.disk()["wipe"]["state"] == "Done"


def test_what_is_newer_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A worker's refusal of before does not hide why the plan refuses now."""
    in_use(world)
    caplog.set_level("INFO", logger="disks")
    child = os.fork()
    if child == 0:
        os.open(world.root / folder() / "db" / "LOCK", os.O_RDONLY)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    try:
        world.cluster.ask(request(wipe=True))
        assert world.settle()["wipe"]["reason"] == "in-use"
        began = len(world.cluster.published)
        for _ in range(3):
            world.round(1.0)
        assert len(world.cluster.published) == began
        # Each end of an attempt wakes the agent: without a pause it would try for ever.
        tried = [r for r in caplog.records if r.getMessage().endswith(f": wiping {folder()}")]
        assert len(tried) == 1
        (world.root / "mine.txt").touch()
        assert world.settle()["wipe"]["reason"] == "dirty"
        (world.root / "mine.txt").unlink()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    # Withdrawn and given again, it is tried at once.
    world.cluster.ask(request())
    world.settle()
    world.cluster.ask(request(wipe=True))
    assert world.settle()["wipe"]["state"] == "Done"


def test_a_wipe_that_takes_long_holds_up_nothing(world: World, tmp_path: Path) -> None:
    """Elsewhere one loop deleted and discovered by turns, every 10 s."""
    in_use(world)
    world.cluster.hold = threading.Event()
    world.cluster.ask(request(wipe=True))
    world.moment += 3
    assert world.agent.round() <= 2.0
    second = tmp_path / "second"
    second.mkdir()
    real = world.see
    world.see = lambda: [*real(), candidate(second, "serial-new", unit="sdz")]
    for _ in range(2):
        world.moment += 3
        world.agent.round()
    identities = {disk["identity"]: disk for disk in world.cluster.published[-1]["disks"]}
    assert identities["serial-new"]["steady"] is True
    world.cluster.hold.set()
    world.finish()
    world.round()
    assert world.disk()["wipe"]["state"] == "Done"


def test_two_agents_never_work_on_one_disk(world: World) -> None:
    """While one is being replaced; flock tells two openings apart, as it tells two containers."""
    in_use(world)
    with opened(world.root) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        world.cluster.ask(request(wipe=True))
        wipe = world.settle()["wipe"]
        assert (wipe["state"], wipe["reason"]) == ("Failed", "io-error")
        assert "another agent is at work on it" in wipe["message"]
        assert (world.root / folder() / "db" / "LOCK").exists()
    for _ in range(8):
        world.round()
    assert world.disk()["wipe"]["state"] == "Done"


def test_a_folder_that_cannot_be_made_is_told(world: World) -> None:
    world.settle()
    with opened(world.root) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        world.cluster.ask(request(make=True, pv=""))
        world.settle()
        (complaint,) = world.cluster.published[-1]["complaints"]
        assert complaint == (
            f"{world.root}: {folder()} was not made: another agent is at work on it"
        )
    for _ in range(8):
        world.round()
    assert world.disk()["folders"] == [folder()]
    assert "complaints" not in world.cluster.published[-1]


def test_a_wipe_that_is_withdrawn_stops(world: World) -> None:
    in_use(world)
    world.cluster.hold = threading.Event()
    world.cluster.ask(request(wipe=True))
    world.moment += 3
    world.agent.round()
    world.cluster.ask(request())
    world.cluster.hold.set()
    world.finish()
    assert (world.root / folder() / "db" / "LOCK").exists()


def test_an_agent_that_was_restarted_says_nothing_new(world: World) -> None:
    world.settle()
    said = len(world.cluster.published)
    world.agent = world.start()
    assert world.round() == 30.0
    assert len(world.cluster.published) == said
    assert world.agent.entries[0].steady


def test_a_restart_goes_on_with_a_wipe(world: World) -> None:
    in_use(world)
    record = marker.WipeRecord(1, PV, done=False)
    mark(world.root, record=record)
    (world.root / folder()).rename(world.root / f"{folder()}.wiping")
    world.cluster.ask(request(wipe=True))
    world.agent = world.start()
    assert world.settle()["wipe"]["state"] == "Done"
    assert [path.name for path in world.root.iterdir()] == [marker.NAME]


@pytest.mark.parametrize("edited", ["", "{}", "nonsense", '{"disks": [{"path": 1}]}'])
def test_an_inventory_that_was_edited_or_deleted_is_written_again(
    world: World, edited: str
) -> None:
    world.settle()
    good = world.cluster.published[-1]
    world.cluster.said = replace(world.cluster.said, inventory=edited)
    world.round()
    again = world.cluster.published[-1]
    assert {**again, "writtenAt": ""} == {**good, "writtenAt": ""}
    said = len(world.cluster.published)
    world.settle()
    assert len(world.cluster.published) == said
    # Edited while no agent ran.
    world.cluster.said = replace(world.cluster.said, inventory=edited)
    world.agent = world.start()
    assert world.settle()["steady"] is True


def test_requests_that_cannot_be_read_are_told_and_not_acted_upon(world: World) -> None:
    in_use(world)
    world.cluster.ask(request(wipe=True))
    text = world.cluster.said.requests or ""
    world.cluster.said = replace(world.cluster.said, requests=text.replace('"keep"', '"maybe"'))
    world.settle()
    (complaint,) = world.cluster.published[-1]["complaints"]
    assert complaint.startswith("requests for this node cannot be used, nothing in them is done: ")
    assert "volumes[0].wipe.foreign is 'maybe'" in complaint
    assert (world.root / folder() / "db" / "LOCK").exists()
    # The same text meant for another node.
    world.cluster.said = replace(world.cluster.said, requests=text.replace('"n1"', '"n2"'))
    world.settle()
    assert "node is 'n2'; this is node 'n1'" in world.cluster.published[-1]["complaints"][0]
    assert (world.root / folder() / "db" / "LOCK").exists()


def test_a_bad_configuration_is_told_and_the_last_one_counts(world: World, tmp_path: Path) -> None:
    path = tmp_path / "disks.json"
    path.write_text('{"minSize": "1Mi"}')
    world.config = ConfigFile(path)
    world.agent = world.start()
    world.settle()
    path.write_text('{"minSize": "ten"}')
    disk = world.settle()
    assert disk["problems"] == []
    assert "minSize is 'ten'" in world.cluster.published[-1]["complaints"][0]
    path.write_text('{"minSize": "8Pi"}')
    assert [problem["code"] for problem in world.settle()["problems"]] == ["too-small"]
    assert "complaints" not in world.cluster.published[-1]


def test_a_missing_discovery_directory_is_told(world: World) -> None:
    agent = Agent(
        NODE,
        world.cluster,
        lambda: Snapshot("/mnt/disks", missing=True),
        ConfigFile(None),
        clock=lambda: 0.0,
        now=lambda: "",
    )
    agent.round()
    assert world.cluster.published[-1]["complaints"] == [
        "the discovery directory /mnt/disks is not there: no disk of this node can be offered"
    ]


@pytest.mark.parametrize("attempt", range(5))
def test_an_api_server_that_was_away_for_ten_minutes_hears_the_news_soon(
    world: World, attempt: int
) -> None:
    world.settle()
    world.cluster.away = True
    (world.root / f"new-{attempt}").touch()
    back = world.moment + 600.0
    waits = [world.round()]
    while world.moment + waits[-1] < back:
        waits.append(world.round(waits[-1]))
    assert len(set(waits)) == len(waits) >= 20  # jitter: a fleet must not come back in step
    world.cluster.away = False
    world.round(waits[-1])
    assert world.disk()["foreign"]["names"] == [f"new-{attempt}"]
    assert back <= world.moment <= back + CEILING_SECONDS


def test_a_nonce_is_answered_by_a_scan_that_began_after_it(world: World) -> None:
    world.settle()
    world.cluster.said = replace(world.cluster.said, nonce="r-1")
    real = world.see

    def late() -> list[Candidate]:
        world.cluster.said = replace(world.cluster.said, nonce="r-2")  # comes while the scan runs
        return real()

    world.see = late
    world.round()
    assert world.cluster.published[-1]["nonce"] == "r-1"
    world.see = real
    world.round()
    assert world.cluster.published[-1]["nonce"] == "r-2"


def test_progress_alone_is_written_every_five_seconds_at_most(world: World) -> None:
    mark(world.root, record=marker.WipeRecord(1, PV, done=False, removed_bytes=10, total_bytes=100))
    world.settle()
    said = len(world.cluster.published)
    for removed in range(20, 60, 10):
        mark(world.root, record=marker.WipeRecord(1, PV, False, removed, 100))
        world.round(2.0)
    assert len(world.cluster.published) - said <= 2
    world.round(5.0)
    assert world.disk()["wipe"]["removedBytes"] == 50
