"""The volume controller's pieces: what is read, what is built, what is queued, what is shown."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hooks.volumes import builders, inventory, parse, status, table
from hooks.volumes.actions import CreatePv, CreateVolume
from hooks.volumes.inventory import InventoryError
from hooks.volumes.model import Disk, Node, Now, Policy, View, Volume
from hooks.volumes.plan import plan as decide
from hooks.volumes.workqueue import Queue
from schema import crd, names
from tests.model.volumes.agents import FakeDisk
from tests.model.volumes.stage import Stage

SCHEMAS = Path(__file__).resolve().parents[3] / "schema"


def example(contract: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((SCHEMAS / f"{contract}.schema.yaml").read_text())
    found: dict[str, Any] = document["examples"][0]
    return found


@pytest.mark.parametrize("contract", ["inventory", "requests", "finished"])
def test_the_examples_of_the_contracts_are_valid(contract: str) -> None:
    assert inventory.check(contract, json.dumps(example(contract)))


def test_an_inventory_is_read() -> None:
    found = inventory.read("tidb-disks-n1", json.dumps(example("inventory")))
    raw, disk = found.disks
    assert (raw.path, raw.problems[0].code) == ("", "no-file-system")
    assert (disk.node, disk.path, disk.steady) == ("n1", "/mnt/disks/nvme0", True)
    assert disk.marker is not None
    assert disk.marker.generation == 2
    assert disk.wipe is not None
    assert (disk.wipe.state, disk.wipe.generation) == ("Done", 1)
    assert found.nonce == "r-7d41c2"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "data.version must be same as const definition: 1 (found 2)"),
        ({"disks": {}}, "data.disks must be array (found {})"),
        ({"surprise": 1}, "data must not contain {'surprise'} properties"),
        ({"node": "n2"}, "node is 'n2', but the ConfigMap is named tidb-disks-n1"),
    ],
)
def test_nonsense_is_refused_with_the_key(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InventoryError) as caught:
        inventory.read("tidb-disks-n1", json.dumps({**example("inventory"), **change}))
    assert says in str(caught.value)


def test_text_that_is_no_json_is_named() -> None:
    with pytest.raises(InventoryError, match="it is not JSON: Expecting"):
        inventory.read("tidb-disks-n1", "{")


def test_a_broken_word_about_an_owner_counts_as_retiring() -> None:
    entry = example("finished")
    uid = entry["pvUID"]
    good, wrong = inventory.read_finished("shop", uid, json.dumps(entry))
    assert (good.final, wrong) == (True, "")
    for text in (
        "",
        "{}",
        json.dumps({**entry, "state": "Gone"}),
        json.dumps({**entry, "pvUID": "x"}),
    ):
        bad, wrong = inventory.read_finished("shop", uid, text)
        assert (bad.final, bad.state) == (False, "Retiring")
        assert wrong


def test_the_requests_that_are_written_keep_their_schema() -> None:
    stage = Stage()
    stage.add_node("n1", FakeDisk("wwn-a1"), FakeDisk("wwn-a2"))
    stage.settle()
    name = names.folder_name(names.volume_name("wwn-a1"), 1)
    stage.release(stage.bind(name))
    stage.finish(name, "Tombstone")
    schema = yaml.safe_load((SCHEMAS / "requests.schema.yaml").read_text())
    seen = 0
    for _ in range(6):
        stage.run()
        (found,) = [
            o
            for o in stage.memory.all("configmaps")
            if o["metadata"]["name"] == "tidb-disk-requests-n1"
        ]
        document = json.loads(found["data"][names.REQUESTS_KEY])
        jsonschema.Draft7Validator(schema).validate(document)
        seen += sum("wipe" in volume for volume in document["volumes"])
        stage.agents_work()
    assert seen, "a wipe was among them"


def test_statuses_keep_the_schema_of_the_crd() -> None:
    stage = Stage()
    stage.add_node("n1", FakeDisk("wwn-a1"), FakeDisk("wwn-a2", foreign={"x"}))
    stage.settle()
    name = names.folder_name(names.volume_name("wwn-a1"), 1)
    stage.release(stage.bind(name))
    stage.settle()
    stage.finish(name, "Tombstone")
    stage.settle()
    validator = jsonschema.Draft7Validator(_closed(crd.load()["schema"]))
    for volume in stage.memory.all("tidbvolumes"):
        validator.validate({"spec": volume["spec"], "status": volume["status"]})


def _closed(schema: Any) -> Any:
    """The API server prunes what the schema doesn't know: here it is an error."""
    if isinstance(schema, dict):
        closed = {key: _closed(value) for key, value in schema.items()}
        return {**closed, "additionalProperties": False} if "properties" in schema else closed
    return schema


def test_identities_make_names_that_kubernetes_takes() -> None:
    name = names.volume_name("nvme-eui.0025388b710116a1")
    assert name == "tv-5abe18987402550c"
    assert parse.volume_of(names.folder_name(name, 12)) == name
    assert parse.generation(f"{name}-g12") == 12
    for other in ("tv-1-g1", f"{name}-g0", f"{name}-g01", f"x{name}-g1", name):
        assert (parse.generation(other), parse.volume_of(other)) == (0, "")


def test_a_pv_says_one_disk_and_nothing_that_deletes() -> None:
    action = CreatePv(
        code="c",
        subject=None,  # type: ignore[arg-type]
        does="",
        why="",
        volume="tv-5abe18987402550c",
        volume_uid="u",
        identity="wwn-1",
        generation=3,
        hostname="rack-1",
        path="/mnt/disks/a/tv-5abe18987402550c-g3",
        fs_type="xfs",
        capacity_bytes=(5 << 30) + 123,
        storage_class="tidb-local",
    )
    pv = builders.persistent_volume(action, Policy(manager="infra.tidb", labels={"a": "b"}))
    assert pv["spec"]["capacity"] == {"storage": "5120Mi"}
    assert pv["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert pv["metadata"]["labels"]["a"] == "b"
    assert pv["metadata"]["labels"]["helm-tidb.io/managed-by"] == "infra.tidb"
    read = parse.pv({**pv, "status": {"phase": "Available"}})
    assert (read.generation, read.hostname, read.path) == (3, "rack-1", action.path)


def test_a_new_volume_has_its_finalizer_from_the_first_moment() -> None:
    action = CreateVolume(
        code="c",
        subject=None,  # type: ignore[arg-type]
        does="",
        why="",
        volume="tv-5abe18987402550c",
        identity="wwn-1",
        generation=1,
    )
    obj = builders.tidb_volume(action, Policy())
    assert obj["metadata"]["finalizers"] == ["helm-tidb.io/volume"]
    assert obj["spec"] == {"identity": "wwn-1", "generation": 1}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (1 << 20, "1Mi"),
        (3 << 30, "3Gi"),
        (3838879105024, "3.5Ti"),
        ((1 << 40) - 1, "1024Gi"),
    ],
)
def test_sizes(number: int, text: str) -> None:
    assert status.size(number) == text


def test_a_patch_is_the_difference_and_no_more() -> None:
    old = {"a": 1, "b": {"c": 2, "d": 3}, "e": [1]}
    new = {"a": 1, "b": {"c": 2}, "e": [1, 2], "f": {}}
    assert status.merge_diff(old, new) == {"b": {"d": None}, "e": [1, 2], "f": {}}
    assert status.merge_diff(new, new) == {}


def test_the_table_is_aligned_and_summed_up() -> None:
    stage = Stage()
    stage.add_node("n1", FakeDisk("wwn-a1"), FakeDisk("wwn-a2", foreign={"photos"}))
    stage.settle()
    from hooks.volumes import observe
    from tests.model.volumes.stage import NAMESPACE

    client = stage.client()
    rows = table.rows(observe.read(client, NAMESPACE).views(observe.now(client)))
    assert table.summary(rows, 1) == "2 disks on 1 node: 1 Available, 1 Refused"
    lines = table.lines(rows)
    assert lines[0].split() == ["NODE", "DISK", "SIZE", "PHASE", "CLAIM", "VOLUME", "WHY"]
    assert lines[2].endswith("/mnt/disks/d1 holds ['photos']")
    assert lines[1].index("Available") == lines[2].index("Refused")


def test_two_disks_of_one_short_name_are_refused_by_name() -> None:
    """64 bits of a hash may meet; then the second disk is told, and the first one goes on."""
    moment = datetime(2026, 11, 20, tzinfo=UTC)
    mine = Disk(node="n1", identity="wwn-1", path="/mnt/disks/a", capacity_bytes=1 << 30)
    other = replace(mine, identity="wwn-2", path="/mnt/disks/b")
    view = View(
        name="tv-1",
        now=Now(moment, moment),
        disks=(mine, other),
        nodes={"n1": Node("n1", "u", "n1")},
        known=frozenset({"n1"}),
        volume=Volume("tv-1", "u", "1", "wwn-1", 1),
    )
    plan = decide(view, Policy())
    (refusal,) = plan.refusals
    assert refusal.why == "disk wwn-2 has the same short name as wwn-1"
    assert refusal.remedy == "if wwn-1 is gone for good: kubectl delete tv tv-1"
    assert [wait.code for wait in plan.waits] == ["folder"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_name_is_queued_once_and_never_given_to_two() -> None:
    queue = Queue()
    item = ("volume", "a")
    queue.add(item)
    queue.add(item)
    assert queue.get() == item
    queue.add(item)
    queue.add(("volume", "b"))
    assert queue.get() == ("volume", "b"), "a is being worked on"
    queue.done(item)
    assert queue.get() == item
    queue.done(item)
    queue.done(("volume", "b"))
    assert queue.idle


def test_the_backlog_waits_for_what_is_ready_and_a_touched_name_leaves_it() -> None:
    queue = Queue()
    for name in ("new-1", "new-2", "known"):
        queue.add_last(("volume", name))
    queue.add(("volume", "known"))
    queue.add_last(("volume", "known"))
    order = []
    while not queue.idle:
        item = queue.get()
        assert item is not None
        order.append(item[1])
        queue.done(item)
    assert order == ["known", "new-1", "new-2"]


def test_a_delay_ends_in_time_and_the_earliest_counts() -> None:
    clock = Clock()
    queue = Queue(clock)
    queue.add_after(("volume", "a"), 10)
    queue.add_after(("volume", "a"), 5)
    queue.add_after(("volume", "a"), 20)
    clock.now = 6
    assert queue.get() == ("volume", "a")
    clock.now = 60
    queue.close()
    assert queue.get() is None


def test_a_delayed_name_is_not_forgotten_when_its_watcher_is_busy() -> None:
    """Two workers: the one that slept until the delay's end takes another name meanwhile."""
    queue = Queue()
    got: list[object] = []
    enough = threading.Event()

    def work() -> None:
        while (item := queue.get()) is not None:
            got.append(item)
            if len(got) == 2:
                enough.set()
            if item == ("volume", "long"):
                enough.wait(5)
            queue.done(item)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    queue.add_after(("volume", "later"), 0.1)
    queue.add(("volume", "long"))
    assert enough.wait(2), got
    queue.close()
    for thread in threads:
        thread.join(5)
