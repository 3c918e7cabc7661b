"""From disks to volumes and back, on four real nodes: the disk agents and the volume controller as the chart
renders them.

Covered: the fresh scan's answer; a StatefulSet that binds; use shown in time; pulled, unmounted, moved-away disks
and nodes; release, permission, wipe, next generation; inventories edited by hand; an API server that goes away;
rights. Left to test_disks_agent.py: what an agent alone does. Left to tests/model and tests/faults: every order and
every crash.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from functools import partial

import pytest

from ci.cluster import Cluster, faults
from schema import names
from tests.chart.helm import template
from tests.cluster.conftest import KUBE, WaitFor
from tests.cluster.kube import Kubectl
from tests.cluster.volumes import (
    VALUES,
    Disks,
    cleared,
    component,
    gone,
    remove,
    shown_as,
    started,
    stateful_set,
    stopped_agent,
    volume_of,
)

# The real thing is in the long version: ten minutes (issue 6).
AWAY_SECONDS = 600.0 if os.environ.get("HELM_TIDB_SOAK") else 10.0
PARTS = ("disk-agent", "volumes", "disk-scan")


@pytest.fixture(scope="module")
def disks(session_cluster: Cluster) -> Iterator[Disks]:
    cluster = session_cluster
    faults.renew_disks(cluster)
    kube = Kubectl(cluster, f"volumes-{int(time.time())}")
    kube.run("create", "namespace", kube.namespace)
    rendered = template(release="d", namespace=kube.namespace, values=VALUES).objects
    objects = [o for o in rendered if component(o) in PARTS]
    kube.apply(*(o for o in objects if o["kind"] == "CustomResourceDefinition"))
    kube.run("wait", "--for=condition=Established", "crd/tidbvolumes.helm-tidb.io")
    kube.apply(*(o for o in objects if o["kind"] != "CustomResourceDefinition"))
    yield Disks(cluster, kube)
    faults.mend(cluster)
    remove(kube, objects)


@pytest.fixture(autouse=True)
def evidence(disks: Disks, request: pytest.FixtureRequest) -> None:
    request.node.stash[KUBE] = disks.kube


@pytest.fixture(autouse=True)
def all_free(disks: Disks, wait_for: WaitFor) -> Iterator[None]:
    """Each test begins with every disk on offer, and ends with nothing of its own."""
    wait_for(disks.all_available, 120, "every disk on offer", disks.shown, pause=0.3)
    yield
    faults.mend(disks.cluster)


def test_every_disk_is_a_volume_and_the_scan_says_so(disks: Disks, wait_for: WaitFor) -> None:
    kube = disks.kube
    (job,) = kube.all("job", "-l", "app.kubernetes.io/component=disk-scan")
    name = job["metadata"]["name"]
    wait_for(lambda: kube.get("job", name).get("status", {}).get("succeeded"), 60, "the scan's end")
    said = kube.run("logs", f"job/{name}")
    lines = [line for line in said.splitlines() if "waiting" not in line]
    assert (
        lines[0] == "volumes: 8 disks on 4 nodes: 8 Available; kubectl get tv shows them any time"
    )
    assert lines[1].split() == ["NODE", "DISK", "SIZE", "PHASE", "CLAIM", "VOLUME", "WHY"]
    assert len(lines) == 10
    for volume in disks.volumes():
        (pv,) = disks.pvs(volume["metadata"]["name"])
        spec = kube.get("pv", pv)["spec"]
        assert spec["local"]["path"] == f"{volume['status']['path']}/{pv}"
        assert disks.cluster.enter(volume["status"]["node"], "ls", "-d", spec["local"]["path"])


def test_a_stateful_set_binds_and_use_is_shown(disks: Disks, wait_for: WaitFor) -> None:
    kube = disks.kube
    kube.apply(stateful_set("db", 3))
    bound_at: dict[str, float] = {}
    shown_at: dict[str, float] = {}

    def all_shown() -> bool:
        for claim in kube.all("pvc", "-l", "app=db"):
            if claim["status"].get("phase") == "Bound":
                bound_at.setdefault(claim["metadata"]["name"], time.monotonic())
        for volume in disks.volumes():
            if volume["status"]["phase"] == "Bound":
                shown_at.setdefault(volume["status"]["claim"]["name"], time.monotonic())
        return len(shown_at) == 3

    wait_for(all_shown, 60, "three volumes shown as Bound", disks.shown)
    delays = [shown_at[claim] - bound_at.get(claim, shown_at[claim]) for claim in shown_at]
    print(f"claim bound -> shown as Bound: at most {max(delays):.2f} s, as kubectl sees it")
    wait_for(lambda: len(kube.running("app=db")) == 3, 60, "three pods", disks.shown)
    for ordinal in range(3):
        status = kube.get("tidbvolume", volume_of(kube, f"data-db-{ordinal}"))["status"]
        claim = status["claim"]
        assert (claim["component"], claim["ordinal"]) == ("tikv", ordinal)
        pod = kube.get("pod", f"db-{ordinal}")
        assert pod["spec"]["nodeName"] == status["node"]
        folder = f"{status['path']}/{status['pv']['name']}"
        who = disks.cluster.enter(status["node"], "cat", f"{folder}/who")
        assert who.strip() == f"db-{ordinal}"
    volumes = [volume_of(kube, f"data-db-{n}") for n in range(3)]
    gone(disks, wait_for, "db")
    cleared(disks, wait_for, *volumes)


def test_released_kept_then_cleared_by_pds_word_and_offered_again(
    disks: Disks, wait_for: WaitFor
) -> None:
    kube = disks.kube
    (volume,) = started(disks, wait_for, "word")
    before = kube.get("tidbvolume", volume)
    status, generation = before["status"], before["spec"]["generation"]
    machine, path, old = status["node"], status["path"], status["pv"]
    gone(disks, wait_for, "word")
    wait_for(partial(shown_as, disks, volume, "Released"), 30, "released", disks.shown)
    # Deleting the PV by hand is no permission: the controller has seen it, and says so.
    kube.run("delete", "pv", old["name"], "--wait=false")
    wait_for(lambda: "pv-deleting" in disks.codes(volume), 30, "the deletion is shown", disks.shown)
    assert disks.cluster.enter(machine, "cat", f"{path}/{old['name']}/who").strip() == "word-0"
    entry = {"pv": old["name"], "pvUID": old["uid"], "claim": "data-word-0"}
    word = {**entry, "owner": "store 5", "state": "Tombstone"}
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": names.FINISHED_VOLUMES, "namespace": kube.namespace},
            "data": {old["uid"]: json.dumps(word)},
        }
    )
    wait_for(partial(shown_as, disks, volume, "Available"), 60, "offered again", disks.shown)
    now = kube.get("tidbvolume", volume)
    assert now["spec"]["generation"] == generation + 1
    assert now["status"]["lastWipe"]["cause"] == "finished"
    assert now["status"]["pv"]["uid"] != old["uid"]
    assert disks.cluster.enter(machine, "find", path, "-name", "who") == ""
    assert disks.pvs(volume) == [names.folder_name(volume, generation + 1)]


def test_a_disk_pulled_while_bound(disks: Disks, wait_for: WaitFor) -> None:
    kube = disks.kube
    (volume,) = started(disks, wait_for, "pulled")
    status = kube.get("tidbvolume", volume)["status"]
    machine, slot = status["node"], status["path"].rsplit("/", 1)[1]
    faults.pull_disk(disks.cluster, machine, slot)
    wait_for(partial(shown_as, disks, volume, "Failed"), 30, "shown as Failed", disks.shown)
    assert "deletionTimestamp" not in kube.get("pv", status["pv"]["name"])["metadata"]
    # A pod that still holds the dead file system keeps its UUID, and the kernel mounts no second one.
    kube.run("scale", "statefulset", "pulled", "--replicas=0")
    wait_for(lambda: not kube.all("pods", "-l", "app=pulled"), 60, "the pod is gone")
    faults.insert_disk(disks.cluster, machine, slot)
    wait_for(
        lambda: (disks.phase(volume), disks.codes(volume)) == ("Bound", []),
        60,
        "back as Bound",
        disks.shown,
    )
    kube.run("scale", "statefulset", "pulled", "--replicas=1")
    wait_for(lambda: kube.running("app=pulled"), 90, "the pod runs again", disks.shown)
    gone(disks, wait_for, "pulled")
    cleared(disks, wait_for, volume)


def test_a_free_disk_pulled_is_withdrawn_and_a_new_one_is_offered_in_time(
    disks: Disks, wait_for: WaitFor
) -> None:
    volume = disks.at("n2")["metadata"]["name"]
    faults.pull_disk(disks.cluster, "n2", "d0")
    wait_for(lambda: disks.pvs(volume) == [], 30, "its PV is withdrawn", disks.shown)
    faults.insert_disk(disks.cluster, "n2", "d0", blank=True)
    began = time.monotonic()
    wait_for(lambda: disks.at("n2"), 30, "a new TidbVolume", disks.shown)
    new = disks.at("n2")["metadata"]["name"]
    assert new != volume
    wait_for(lambda: disks.pvs(new), 30, "its PV", disks.shown)
    print(f"disk inserted -> PV: {time.monotonic() - began:.1f} s")
    assert disks.phase(volume) == "Failed"
    disks.kube.run("delete", "tidbvolume", volume, "--timeout=30s")


def test_two_folders_of_one_disk_are_not_offered(disks: Disks, wait_for: WaitFor) -> None:
    volume = disks.at("n3")["metadata"]["name"]
    try:
        disks.cluster.enter("n3", "mkdir", "-p", "/mnt/disks/d0/part", "/mnt/disks/other")
        disks.cluster.enter("n3", "mount", "--bind", "/mnt/disks/d0/part", "/mnt/disks/other")
        wait_for(partial(shown_as, disks, volume, "Refused"), 30, "refused", disks.shown)
        assert disks.pvs(volume) == []
        assert disks.at("n3", "other") == {}
        assert "part" in disks.kube.get("tidbvolume", volume)["status"]["message"]
    finally:
        disks.cluster.enter("n3", "umount", "/mnt/disks/other")
        disks.cluster.enter("n3", "rmdir", "/mnt/disks/other", "/mnt/disks/d0/part")


def test_an_unmounted_disks_pod_waits_and_nothing_is_written_to_the_root_disk(
    disks: Disks, wait_for: WaitFor
) -> None:
    kube = disks.kube
    (volume,) = started(disks, wait_for, "unmounted")
    status = kube.get("tidbvolume", volume)["status"]
    machine, path = status["node"], status["path"]
    device = disks.cluster.enter(machine, "findmnt", "-n", "-o", "SOURCE", path).strip()
    kube.run("delete", "pod", "unmounted-0", "--grace-period=1", "--wait=true")
    disks.cluster.enter(machine, "umount", "-l", path)
    try:
        wait_for(partial(shown_as, disks, volume, "Failed"), 30, "shown as Failed", disks.shown)
        kube.run("delete", "pod", "unmounted-0", "--grace-period=1", "--wait=true")
        wait_for(
            lambda: "does not exist" in kube.run("get", "events", "-o", "json"),
            60,
            "the kubelet says that the folder is not there",
        )
        assert kube.running("app=unmounted") == []
        assert disks.cluster.enter(machine, "ls", "-A", path) == ""
    finally:
        disks.cluster.enter(machine, "mount", "-t", "xfs", device, path)
    wait_for(partial(shown_as, disks, volume, "Bound"), 30, "back as Bound", disks.shown)
    gone(disks, wait_for, "unmounted")
    cleared(disks, wait_for, volume)


def test_an_inventory_edited_by_hand_changes_nothing_and_an_event_says_so(
    disks: Disks, wait_for: WaitFor
) -> None:
    kube = disks.kube
    volume = disks.at("n1")["metadata"]["name"]
    (pv,) = disks.pvs(volume)
    patch = json.dumps({"data": {names.INVENTORY_KEY: '{"version": 1, "node": "n1"}'}})
    # Its own agent would mend it at once: hold it still for as long as it takes to be seen.
    with stopped_agent(disks, wait_for, "n1"):
        kube.run("patch", "configmap", "tidb-disks-n1", "--type=merge", "-p", patch)
        wait_for(
            lambda: any(
                e.get("reason") == "InvalidContent" and "must contain" in str(e["message"])
                for e in kube.all("events")
                if e["involvedObject"]["name"] == "tidb-disks-n1"
            ),
            30,
            "an Event on the ConfigMap",
            lambda: kube.run("get", "events"),
        )
        assert (disks.phase(volume), disks.pvs(volume)) == ("Available", [pv])
    wait_for(
        lambda: (
            "disks" in json.loads(kube.get("configmap", "tidb-disks-n1")["data"]["inventory.json"])
        ),
        60,
        "mended by its agent",
    )


def test_an_api_server_that_goes_away(disks: Disks, wait_for: WaitFor) -> None:
    """One disk is in use; a free one is pulled and put back, which nobody can be told meanwhile."""
    kube = disks.kube
    (volume,) = started(disks, wait_for, "away")
    status = kube.get("tidbvolume", volume)["status"]
    before = {v["metadata"]["name"]: disks.pvs(v["metadata"]["name"]) for v in disks.volumes()}
    free = next(v["status"] for v in disks.volumes() if v["status"]["phase"] == "Available")
    machine, slot = free["node"], free["path"].rsplit("/", 1)[1]
    faults.stop_api(disks.cluster)
    faults.pull_disk(disks.cluster, machine, slot)
    time.sleep(AWAY_SECONDS)  # agents and controller have this long to do something rash
    faults.insert_disk(disks.cluster, machine, slot)
    faults.start_api(disks.cluster)
    began = time.monotonic()
    phases = ["Available"] * (len(before) - 1) + ["Bound"]
    wait_for(
        lambda: (
            sorted(v["status"]["phase"] for v in disks.volumes()) == phases
            and all(not v["status"]["reasons"] for v in disks.volumes())
        ),
        60,
        "everything as before",
        disks.shown,
    )
    print(f"API away for {AWAY_SECONDS:.0f} s -> as before: {time.monotonic() - began:.1f} s")
    after = {v["metadata"]["name"]: disks.pvs(v["metadata"]["name"]) for v in disks.volumes()}
    assert after == before
    folder = f"{status['path']}/{status['pv']['name']}"
    assert disks.cluster.enter(status["node"], "cat", f"{folder}/who").strip() == "away-0"
    # Agents and controller hear the news again: a disk that goes now is told.
    faults.pull_disk(disks.cluster, machine, slot)
    wait_for(lambda: disks.at(machine, slot) == {}, 60, "the pulled disk is told", disks.shown)
    print(f"API back -> the next news is shown: {time.monotonic() - began:.1f} s")
    faults.insert_disk(disks.cluster, machine, slot)
    gone(disks, wait_for, "away")
    cleared(disks, wait_for, volume)


def test_a_node_that_dies_and_comes_back(disks: Disks, wait_for: WaitFor) -> None:
    kube = disks.kube
    # Not the controller's own: who replaces a pod of a deleted Node is Kubernetes, and that takes it a minute. Not only
    # where it is Ready: a while after an API server that was away, Kubernetes may call a pod that runs not Ready.
    label = "app.kubernetes.io/component=volumes"
    used = {pod["spec"]["nodeName"] for pod in kube.all("pods", "-l", label)}
    machine = next(name for name in disks.cluster.nodes if name not in used)
    volume = disks.at(machine)["metadata"]["name"]
    faults.kill_node(disks.cluster, machine)
    kube.run("delete", "node", machine)
    wait_for(partial(shown_as, disks, volume, "Lost"), 30, "shown as Lost", disks.shown)
    wait_for(lambda: disks.pvs(volume) == [], 30, "its unused PV is withdrawn", disks.shown)
    faults.start_node(disks.cluster, machine)
    wait_for(partial(shown_as, disks, volume, "Available"), 90, "offered again", disks.shown)


def test_without_a_controller_a_cronjob_does_its_work(disks: Disks, wait_for: WaitFor) -> None:
    kube = disks.kube
    values = {**VALUES, "disks": {**VALUES["disks"], "controller": {"enabled": False}}}
    rendered = template(release="d", namespace=kube.namespace, values=values)
    kube.apply(rendered.find("CronJob", "d-volumes"))
    kube.run("scale", "deploy/d-volumes", "--replicas=0")
    controllers = (
        "-l",
        "app.kubernetes.io/component=volumes",
        "--field-selector=status.phase=Running",
    )
    wait_for(lambda: not kube.all("pods", *controllers), 60, "the controller is gone")
    volume = disks.at("n1", "d1")["metadata"]["name"]
    (pv,) = disks.pvs(volume)
    kube.run("delete", "pv", pv, "--wait=false")
    kube.run("create", "job", "once", "--from=cronjob/d-volumes")
    wait_for(lambda: kube.get("job", "once")["status"].get("succeeded"), 60, "the Job's end")
    lines = kube.run("logs", "job/once").splitlines()
    assert any("did let it go (PersistentVolume" in line for line in lines), lines
    kube.run("delete", "cronjob", "d-volumes")
    kube.run("scale", "deploy/d-volumes", "--replicas=1")
    wait_for(lambda: disks.pvs(volume) not in ([pv], []), 60, "the next generation", disks.shown)


def test_a_second_release_that_manages_disks_touches_nothing(
    disks: Disks, wait_for: WaitFor
) -> None:
    other = Kubectl(disks.cluster, f"{disks.kube.namespace}-two")
    other.run("create", "namespace", other.namespace)
    rendered = template(release="two", namespace=other.namespace, values=VALUES).objects
    # What is cluster-scoped under a name of its own; the rest of it Helm itself refuses.
    objects = [
        o for o in rendered if component(o) == "volumes" and o["kind"] != "CustomResourceDefinition"
    ]
    before = {v["metadata"]["name"]: v["metadata"]["resourceVersion"] for v in disks.volumes()}
    try:
        other.apply(*objects)
        said = f"{disks.kube.namespace}.d manages this cluster's disks, not {other.namespace}.two"
        wait_for(lambda: said in _log(other), 60, "it says who manages them", lambda: _log(other))
        after = {v["metadata"]["name"]: v["metadata"]["resourceVersion"] for v in disks.volumes()}
        assert after == before
    finally:
        other.run("delete", "namespace", other.namespace, "--wait=false")
        for kind in ("clusterrolebinding", "clusterrole"):
            other.run("delete", kind, f"{other.namespace}.two-volumes")


def _log(kube: Kubectl) -> str:
    pods = kube.running("app.kubernetes.io/component=volumes")
    return kube.run("logs", pods[0]["metadata"]["name"]) if pods else ""


@pytest.mark.parametrize(
    ("account", "verb", "what", "allowed"),
    [
        ("d-volumes", "create", "persistentvolumes", "yes"),
        ("d-volumes", "list", "persistentvolumeclaims", "yes"),
        ("d-volumes", "get", "configmaps/tidb-finished-volumes", "yes"),
        ("d-volumes", "get", "configmaps", "no"),
        ("d-volumes", "get", "secrets", "no"),
        ("d-volumes", "delete", "tidbvolumes", "no"),
        ("d-volumes", "delete", "persistentvolumeclaims", "no"),
        ("d-volumes", "list", "pods", "no"),
        ("d-volumes", "get", "nodes", "no"),
        ("d-volumes", "patch", "nodes", "no"),
        ("d-disk-agent", "create", "persistentvolumes", "no"),
        ("d-disk-agent", "patch", "tidbvolumes", "no"),
        ("d-disk-agent", "get", "nodes", "no"),
    ],
)
def test_rights_in_the_whole_cluster(
    disks: Disks, account: str, verb: str, what: str, allowed: str
) -> None:
    who = f"system:serviceaccount:{disks.kube.namespace}:{account}"
    asked = ("-n", "kube-system", "auth", "can-i", verb, what, f"--as={who}", "-A")
    if allowed == "yes":
        assert disks.kube.run(*asked).split()[-1] == "yes"
    else:
        assert "no" in disks.kube.refused(*asked).split()
