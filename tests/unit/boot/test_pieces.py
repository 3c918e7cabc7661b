"""The record as a ConfigMap, volumes, settings, the data folder and the arguments file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.boot import record, settings, volume
from hooks.boot.apply import write_args
from hooks.boot.model import Folder, Record
from hooks.boot.observe import dns_problem, folder, labels
from hooks.boot.settings import LocationLabel
from hooks.engine import JobError, Outcome
from tests.unit.boot.worlds import FIRST, GIVEN_UP, ID, KNOWN, SINCE

LOCAL = ("helm-tidb.io/disks", "topolvm.io")


@given(
    st.builds(
        Record,
        members=st.lists(st.from_regex(r"[a-z]-pd-[0-9]", fullmatch=True)).map(tuple),
        cluster_id=st.none() | st.integers(1, 2**64 - 1),
        since=st.none() | st.just(SINCE),
        rebootstrap=st.none() | st.integers(1, 2**64 - 1),
        version=st.sampled_from(("", "17")),
    )
)
def test_a_record_reads_back_as_it_was_written(given_: Record) -> None:
    assert record.parse(record.document(given_, "db", "shop")) == given_


def test_the_record_looks_like_this() -> None:
    document = record.document(KNOWN, "db", "shop")
    assert document["metadata"]["name"] == "shop-cluster"
    assert document["data"] == {
        "members": ",".join(FIRST),
        "clusterId": str(ID),
        "since": "2026-07-01T12:30:00+00:00",
    }
    # Helm and Argo CD take away what carries their marks.
    assert "app.kubernetes.io/managed-by" not in document["metadata"]["labels"]
    assert record.document(GIVEN_UP, "db", "shop")["data"]["rebootstrap"] == str(ID)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"clusterId": "7710x"}, "clusterId is '7710x', expected a number"),
        ({"rebootstrap": "yes"}, "rebootstrap is 'yes', expected a number"),
        ({"since": "yesterday"}, "Invalid isoformat string: 'yesterday'"),
    ],
)
def test_a_record_that_a_person_broke_stops_everything(data: dict[str, str], said: str) -> None:
    with pytest.raises(JobError) as caught:
        record.parse({"metadata": {"name": "shop-cluster"}, "data": data})
    assert str(caught.value) == (
        f"ConfigMap shop-cluster: {said}; it is the cluster's durable record: kubectl edit configmap shop-cluster"
    )


def pv(spec: dict[str, object], provisioned_by: str = "") -> dict[str, object]:
    annotations = {"pv.kubernetes.io/provisioned-by": provisioned_by} if provisioned_by else None
    return {
        "metadata": {"name": "pv-1", "annotations": annotations},
        "spec": {"storageClassName": "fast", **spec},
    }


@pytest.mark.parametrize(
    "found",
    [
        pv({"local": {"path": "/mnt/disks/a"}}),
        pv({"hostPath": {"path": "/var"}}),
        pv({"csi": {"driver": "topolvm.io"}}),
        pv({"csi": {"driver": "topolvm.io"}}, "another.example"),
        pv({"flexVolume": {}}, "helm-tidb.io/disks"),
    ],
)
def test_local_volumes(found: dict[str, object]) -> None:
    assert volume.problem("tikv-shop-tikv-0", found, LOCAL) == ""


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (pv({"csi": {"driver": "ebs.csi.aws.com"}}), "driver ebs.csi.aws.com"),
        (pv({"nfs": {"server": "n"}}), "a volume source without a driver (nfs)"),
        (pv({"iscsi": {}}, "example.com/iscsi"), "driver example.com/iscsi"),
        (pv({}), "a volume source without a driver (none)"),
    ],
)
def test_anything_else_counts_as_network(found: dict[str, object], what: str) -> None:
    assert volume.problem("tikv-shop-tikv-0", found, LOCAL) == (
        f"claim tikv-shop-tikv-0 is bound to volume pv-1 of class fast, {what}, "
        "which is not known to be a disk of the pod's own node"
    )


def test_folders(tmp_path: Path) -> None:
    assert folder(tmp_path) == Folder()
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "member").mkdir()
    assert folder(tmp_path) == Folder()
    (tmp_path / "member" / "snap").mkdir()
    assert folder(tmp_path) == Folder(leftovers=True)
    (tmp_path / "join").write_text("a=http://a:2380\n")
    assert folder(tmp_path) == Folder(join="a=http://a:2380")
    (tmp_path / "member" / "wal").mkdir()
    assert folder(tmp_path) == Folder(join="a=http://a:2380")
    (tmp_path / "member" / "wal" / "0.wal").write_text("x")
    assert folder(tmp_path) == Folder(wal=True, join="a=http://a:2380")


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "join").mkdir()
    with pytest.raises(JobError) as caught:
        folder(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: cannot be read (Is a directory); look at the disk under the pod's claim"
    )


def test_the_arguments_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "args"
    assert write_args(path, "--labels=zone=a") is Outcome.DONE
    assert path.read_text() == "--labels=zone=a\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["args"]


WANTED = (
    LocationLabel("zone", "topology.kubernetes.io/zone"),
    LocationLabel("host", "kubernetes.io/hostname"),
)


def test_labels_come_from_the_node_in_the_order_of_the_values() -> None:
    node = {
        "metadata": {
            "name": "n1",
            "labels": {"kubernetes.io/hostname": "host-1", "topology.kubernetes.io/zone": "a"},
        }
    }
    assert labels(node, WANTED) == (("zone", "a"), ("host", "host-1"))
    assert labels({"metadata": {"name": "n1"}}, WANTED) == (("host", "n1"),)


def test_a_name_without_this_pods_address() -> None:
    assert dns_problem("localhost", "127.0.0.1") == ""
    assert dns_problem("localhost", "10.0.0.9").endswith(", this pod has 10.0.0.9")
    assert dns_problem("name.invalid", "10.0.0.9").startswith("name.invalid has no address yet (")


GOOD = """\
poll: 2s
refuseAfter: 2m
allowNetwork: false
localProvisioners: [helm-tidb.io/disks]
locationLabels: [{name: host, nodeLabel: kubernetes.io/hostname}]
"""


def test_settings(tmp_path: Path) -> None:
    path = tmp_path / "boot.yaml"
    path.write_text(GOOD)
    given_ = settings.load(path)
    assert (given_.poll.total_seconds(), given_.refuse_after.total_seconds()) == (2, 120)
    assert given_.location_labels == (LocationLabel("host", "kubernetes.io/hostname"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("2s", "soon"), "poll is 'soon'"),
        (GOOD.replace("poll: 2s\n", ""), "poll is None"),
        (
            GOOD.replace("nodeLabel", "label"),
            "locationLabels is [{'name': 'host', 'label': 'kubernetes.io/hostname'}]",
        ),
        ("[]", "is no map but list"),
        ("a: [", "cannot be read ("),
    ],
)
def test_wrong_settings_name_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "boot.yaml"
    path.write_text(text)
    with pytest.raises(JobError) as caught:
        settings.load(path)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert str(caught.value).endswith("the chart renders it, run helm upgrade")
