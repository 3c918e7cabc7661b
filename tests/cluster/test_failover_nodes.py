"""Failover on four real nodes, under writes: each test breaks something, and ends with no row lost and
everything healthy.

The stand-ins take TiKV's place; PD's membership, claims, volumes, wiping and the job itself are real. One
database serves all tests, each of which begins when it is well. What the plan does in every other world is in
tests/model.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest

from ci.cluster import Cluster, faults
from schema.names import ALLOW_REPLICAS_ANNOTATION, WIPE_ANNOTATION
from tests.cluster.conftest import KUBE, WaitFor
from tests.cluster.database import AFTER, NEVER, Database, deployed
from tests.cluster.kube import Object
from tests.cluster.release import NAME

# The five minutes in the long version.
API_AWAY = 300 if os.environ.get("HELM_TIDB_SOAK") == "1" else 20


@pytest.fixture(scope="module")
def running(
    session_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    session_cluster.load_image("prometheus")
    also = {"monitor": {"enabled": True}, "cleanup": {"enabled": True, "schedule": NEVER}}
    with deployed(session_cluster, tmp_path_factory.mktemp("helm"), "failover-test", also) as made:
        yield made


@pytest.fixture
def database(
    running: Database, wait_for: WaitFor, request: pytest.FixtureRequest
) -> Iterator[Database]:
    """The database, well; with every fault undone after the test."""
    request.node.stash[KUBE] = running.kube
    running.wait_for = wait_for
    wait_for(running.well, 150, "everything well at the start", running.seen, pause=0.5)
    yield running
    faults.mend(running.cluster)


def test_cleanup_takes_what_a_scale_in_leaves(database: Database) -> None:
    """The claim, not before its time; the Tombstone, not before its disk is cleared; and the runs' own pods.

    The first test: the disks that others throw away would hold Tombstones up for good. On the way out, the new pod is
    put on its node without a volume.
    """
    name, spare = f"{NAME}-tikv-3", database.spare_node()
    database.kube.run("cordon", spare)
    database.release.upgrade({"tikv": {"replicas": 4}})
    a_pod_without_a_volume_is_deleted(database, name, spare)
    database.kube.run("uncordon", spare)
    database.wait_for(
        lambda: database.stores().get(name, {}).get("state_name") == "Up",
        120,
        "a fourth store",
        database.seen,
        pause=0.5,
    )
    store = database.stores()[name]["id"]
    database.pd(f"/pd/api/v1/store/{store}", method="DELETE")
    database.wait_for(lambda: store in tombstones(database), 90, "it is drained", database.seen)
    kube, claim = database.kube, f"tikv-{name}"
    kube.run("annotate", "statefulset", f"{NAME}-tikv", f"{ALLOW_REPLICAS_ANNOTATION}=3")
    database.release.upgrade({})
    database.wait_for(lambda: kube.find("pod", name) is None, 60, "its pod gone", database.seen)
    disk = database.disk_of(claim)["metadata"]["name"]

    said = database.run_job("cleanup")
    assert (
        f"did note when it was first seen unused (PersistentVolumeClaim {kube.namespace}/{claim})"
        in said
    )
    assert "beyond 3 replicas and no pod uses it since" in said, said
    said = database.run_job("cleanup", "--claims-after=0s", "--pods-after=0s")
    assert "did delete the claim on volume" in said, said
    database.wait_for(lambda: kube.find("pvc", claim) is None, 30, "the claim gone", database.seen)
    # The runs before this one have ended; this one cannot take its own pod.
    assert len(kube.all("pods", "-l", "app.kubernetes.io/component=cleanup")) == 1
    said = database.run_job("cleanup")
    assert f"Tombstones {store}" in said, said
    assert "guard against disks that are not cleared" in said, said
    assert store in tombstones(database)

    kube.run("annotate", "tidbvolume", disk, f"{WIPE_ANNOTATION}=now")
    database.wait_for(
        lambda: database.phase(disk) == "Available", 60, "its disk cleared", database.seen
    )
    said = database.run_job("cleanup")
    assert f"did forget Tombstones {store}" in said, said
    assert not tombstones(database)
    assert {one["metadata"]["name"] for one in kube.all("pvc")} >= {
        f"{what}-{NAME}-{what}-{i}" for what in ("pd", "tikv") for i in range(3)
    }


def a_pod_without_a_volume_is_deleted(database: Database, name: str, node: str) -> None:
    """The scheduler's own Binding, made by hand: it does this when it chose by a claim that went in that moment."""
    kube = database.kube
    database.wait_for(lambda: kube.find("pod", name), 60, f"pod {name}", database.seen)
    before = kube.get("pod", name)["metadata"]["uid"]
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
    where = f"/api/v1/namespaces/{kube.namespace}/pods/{name}/binding"
    kube.run("create", "--raw", where, "-f", "-", stdin=json.dumps(binding))
    said = database.run_failover()
    assert f"was scheduled to Node {node} without a volume" in said, said
    database.wait_for(
        lambda: (
            (kube.find("pod", name) or {"metadata": {"uid": before}})["metadata"]["uid"] != before
        ),
        60,
        "the pod made anew",
        database.seen,
    )


def tombstones(database: Database) -> set[int]:
    found = database.pd("/pd/api/v1/stores/check?state=tombstone") or {"stores": []}
    return {one["store"]["id"] for one in found["stores"] or []}


def test_a_killed_node_is_replaced_elsewhere_and_its_disk_cleared_when_it_returns(
    database: Database,
) -> None:
    """Also the three of three without a spare store: the old one is forced. The CronJob does it by itself, in
    time.
    """
    before = database.stores()
    lost = database.node_of(f"{NAME}-tikv-2")
    old = disks_in_use(database, lost)
    database.release.upgrade({"failover": {"schedule": "* * * * *"}})
    with database.written():
        faults.kill_node(database.cluster, lost)
        killed = time.monotonic()
        database.wait_for(
            lambda: (
                database.stores().get(f"{NAME}-tikv-2", {}).get("id")
                not in (None, before[f"{NAME}-tikv-2"]["id"])
                and database.stores()[f"{NAME}-tikv-2"]["state_name"] == "Up"
            ),
            240,
            "the store Up under a new id",
            database.seen,
            pause=0.5,
        )
        healed = time.monotonic() - killed
        database.wait_for(database.well, 120, "everything well", database.seen, pause=0.5)
    print(
        f"node killed -> new store Up: {healed:.0f} s, of which {AFTER:.0f} s are the waiting time"
    )
    assert database.stores()[f"{NAME}-tikv-0"]["id"] == before[f"{NAME}-tikv-0"]["id"]
    database.release.upgrade({})
    faults.start_node(database.cluster, lost)
    cleared(database, old)


def disks_in_use(database: Database, node: str) -> list[Object]:
    """The TidbVolumes of this node that a store or member lives on."""
    claims = [f"{what}-{NAME}-{what}-{i}" for what in ("tikv", "pd") for i in range(3)]
    return [disk for claim in claims if (disk := database.disk_of(claim))["status"]["node"] == node]


def cleared(database: Database, disks: list[Object]) -> None:
    """Each of them comes back as another generation: emptied, and offered again."""
    for disk in disks:
        name = disk["metadata"]["name"]
        database.wait_for(
            lambda name=name: database.phase(name) == "Available",
            120,
            f"{name} cleared and offered again",
            database.seen,
            pause=0.5,
        )
        again = database.kube.get("tidbvolume", name)
        assert again["spec"]["generation"] == disk["spec"]["generation"] + 1


def test_a_deleted_node_is_not_waited_for(database: Database) -> None:
    lost = database.node_of(f"{NAME}-tikv-1")
    with database.written():
        faults.kill_node(database.cluster, lost)
        database.await_not_ready(lost)
        database.kube.run("delete", "node", lost)
        database.heal()
    faults.start_node(database.cluster, lost)


def test_a_node_that_is_cut_off_and_heals_in_time_is_left_alone(database: Database) -> None:
    before, members = database.stores(), database.members()
    lost = database.node_of(f"{NAME}-tikv-0")
    with database.written():
        faults.cut_node(database.cluster, lost)
        database.await_not_ready(lost)
        said = database.run_failover("--tikv-after=10m", "--pd-after=10m")
        assert f"Node {lost} has been NotReady since" in said, said
        faults.heal_node(database.cluster, lost)
        database.wait_for(database.well, 90, "everything well", database.seen, pause=0.5)
        database.run_failover()  # may note homes that are new to it
        assert "failover: nothing to do" in database.run_failover()
    assert {name: s["id"] for name, s in database.stores().items()} == {
        n: s["id"] for n, s in before.items()
    }
    assert database.members() == members


def test_a_node_that_is_cut_off_for_longer_comes_back_to_places_that_are_taken(
    database: Database,
) -> None:
    """All that ran there goes on running while nobody sees it; back, it is stopped and its disks are cleared."""
    before = database.stores()[f"{NAME}-tikv-0"]["id"]
    lost = database.node_of(f"{NAME}-tikv-0")
    old = disks_in_use(database, lost)
    with database.written():
        faults.cut_node(database.cluster, lost)
        database.await_not_ready(lost)
        database.heal()
        after = database.stores()[f"{NAME}-tikv-0"]["id"]
        assert after != before
        faults.heal_node(database.cluster, lost)
        cleared(database, old)
        database.wait_for(database.well, 90, "everything well", database.seen, pause=0.5)
    assert database.stores()[f"{NAME}-tikv-0"]["id"] == after


def test_a_pulled_disk_moves_its_store_to_another(database: Database) -> None:
    before = database.stores()[f"{NAME}-tikv-0"]["id"]
    node, slot = database.node_of(f"{NAME}-tikv-0"), database.slot_of(f"tikv-{NAME}-tikv-0")
    with database.written():
        faults.pull_disk(database.cluster, node, slot)
        database.heal()
        faults.insert_disk(database.cluster, node, slot, blank=True)
    assert database.stores()[f"{NAME}-tikv-0"]["id"] != before


def test_a_members_lost_disk_is_replaced_and_it_joins_anew(database: Database) -> None:
    before = database.members()
    name = f"{NAME}-pd-1"
    node, slot = database.node_of(name), database.slot_of(f"pd-{name}")
    with database.written():
        faults.pull_disk(database.cluster, node, slot)
        database.heal()
        faults.insert_disk(database.cluster, node, slot, blank=True)
    after = database.members()
    assert after[name] != before[name]
    assert {n: i for n, i in after.items() if n != name} == {
        n: i for n, i in before.items() if n != name
    }


def test_two_lost_stores_are_refused_and_nothing_is_touched(database: Database) -> None:
    before = database.stores()
    lost = [f"{NAME}-tikv-0", f"{NAME}-tikv-1"]
    places = [(database.node_of(pod), database.slot_of(f"tikv-{pod}")) for pod in lost]
    claims = {c["metadata"]["name"]: c["metadata"]["uid"] for c in database.kube.all("pvc")}
    with database.written():
        for node, slot in places:
            faults.pull_disk(database.cluster, node, slot)
        database.wait_for(
            lambda: all(
                database.stores().get(pod, {}).get("state_name") == "Disconnected" for pod in lost
            ),
            90,
            "both Disconnected",
            database.seen,
        )
        said = ""
        for _ in range(3):
            # The disks' failure is known a moment later than PD's silence.
            said += database.run_failover()
        assert "2 stores are lost at once" in said, said
        assert {
            c["metadata"]["name"]: c["metadata"]["uid"] for c in database.kube.all("pvc")
        } == claims
        database.wait_for(
            lambda: refusals(database) == {"stores-lost": 1.0},
            60,
            "Prometheus told of the refusal",
            lambda: refusals(database),
            pause=0.5,
        )
        for node, slot in places:
            faults.insert_disk(database.cluster, node, slot)
        # What a person does once the disks are back: the pods start anew on them.
        database.kube.run("delete", "pod", *lost, "--wait=false")
        # The kubelet tries a mount that failed again after up to two minutes.
        database.wait_for(database.well, 300, "everything well", database.seen, pause=0.5)
    assert {n: s["id"] for n, s in database.stores().items()} == {
        n: s["id"] for n, s in before.items()
    }


def refusals(database: Database) -> dict[str, float]:
    """What Prometheus says that failover refuses now, by reason; {} also while it does not answer."""
    query = 'helm_tidb_refusals{exported_job="failover"}'
    try:
        found = database.release.prometheus("query", query=query)["result"]
    except (IndexError, OSError):
        return {}
    return {one["metric"]["code"]: float(one["value"][1]) for one in found}


def test_no_free_disk_is_said_node_by_node_and_it_starts_when_one_appears(
    database: Database,
) -> None:
    spare = database.spare_node()
    slots = [disk.slot for disk in database.cluster.memory.node(spare).disks]
    used = {
        database.slot_of(f"pd-{NAME}-pd-{i}")
        for i in range(3)
        if database.node_of(f"{NAME}-pd-{i}") == spare
    }
    free = [slot for slot in slots if slot not in used]
    node, slot = database.node_of(f"{NAME}-tikv-2"), database.slot_of(f"tikv-{NAME}-tikv-2")
    # Free disks of the store's own node would do as well.
    here = [
        disk.slot
        for disk in database.cluster.memory.node(node).disks
        if disk.slot != slot
        and not any(
            database.slot_of(f"pd-{NAME}-pd-{i}") == disk.slot
            and database.node_of(f"{NAME}-pd-{i}") == node
            for i in range(3)
        )
    ]
    taken = [(spare, s) for s in free] + [(node, s) for s in here]
    with database.written():
        for where, which in [*taken, (node, slot)]:
            faults.pull_disk(database.cluster, where, which)
        database.wait_for(
            lambda: (
                f"no node has a free disk for it: {database.cluster.nodes[0]}: "
                in database.run_failover()
            ),
            120,
            "the reasons, node by node",
            database.seen,
        )
        assert f"{NAME}-tikv-2" in database.stores(), "nothing is given up before there is a place"
        where, which = taken[0]
        faults.insert_disk(database.cluster, where, which, blank=True)
        database.heal()
    for where, which in [*taken[1:], (node, slot)]:
        faults.insert_disk(database.cluster, where, which, blank=True)


def test_a_job_killed_in_the_middle_and_an_api_server_that_goes_away(database: Database) -> None:
    """The next run goes on where the killed one stood; while the API server is away nothing happens, and then
    it goes on.
    """
    node, slot = database.node_of(f"{NAME}-tikv-1"), database.slot_of(f"tikv-{NAME}-tikv-1")
    with database.written():
        faults.pull_disk(database.cluster, node, slot)
        database.wait_for(
            lambda: database.stores().get(f"{NAME}-tikv-1", {}).get("state_name") == "Disconnected",
            90,
            "the store Disconnected",
            database.seen,
        )
        database.start_job("killed", "failover", "--wait=120s")
        database.wait_for(
            lambda: "did note that store" in database.log_so_far("killed"),
            120,
            "the job at work",
            database.seen,
        )
        database.kube.run("delete", "pod", "-l", "job-name=killed", "--grace-period=0", "--force")
        faults.stop_api(database.cluster)
        time.sleep(API_AWAY)
        faults.start_api(database.cluster)
        database.heal()
        faults.insert_disk(database.cluster, node, slot, blank=True)
