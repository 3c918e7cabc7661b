"""What the test cluster refuses before anything starts: one sentence each, with the remedy, exit code 1."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import pytest

from ci import debian
from ci.cluster import Cluster, ClusterError, checks, disks, layout, limits, pki, state
from ci.cluster.__main__ import main
from ci.cluster.errors import MachineUnfitError
from ci.cluster.run import run
from ci.cluster.state import Disk, Node, State


@pytest.fixture(autouse=True)
def clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test here sees, or leaves, a real cluster's state."""
    monkeypatch.setenv("HELM_TIDB_CLUSTERS", str(tmp_path / "clusters"))
    return tmp_path / "clusters"


def _as_nobody(words: list[str], out: str) -> None:
    sys.stderr = open(out, "w")  # noqa: SIM115 - the process ends with it
    os.setuid(65534)
    sys.exit(main(words))


def test_not_root(tmp_path: Path) -> None:
    out = tmp_path / "said"
    child = multiprocessing.get_context("fork").Process(target=_as_nobody, args=(["up"], str(out)))
    child.start()
    child.join(20)
    assert child.exitcode == 1
    assert out.read_text() == (
        "cluster up: a test cluster makes network namespaces, mounts and loop devices: run it as root (sudo)\n"
    )


def test_no_loop_device(tmp_path: Path) -> None:
    with pytest.raises(
        MachineUnfitError, match=r"no .*/loop-control, so nodes can get no disks; load the kernel"
    ):
        disks.check(tmp_path / "loop-control")
    disks.check()


def test_a_kernel_without_overlayfs(tmp_path: Path) -> None:
    listed = tmp_path / "filesystems"
    listed.write_text("nodev\ttmpfs\n\txfs\n\text4\nnodev\toverlay\n")
    checks.check_file_systems(listed)
    listed.write_text("nodev\ttmpfs\n\txfs\nnodev\tno-overlay\n")
    with pytest.raises(MachineUnfitError, match="this kernel has no file system 'overlay'"):
        checks.check_file_systems(listed, load=("false",))


def test_no_room(tmp_path: Path) -> None:
    with pytest.raises(
        MachineUnfitError,
        match=r"has .* GiB free, this cluster needs 1048576; free some, or point HELM_",
    ):
        checks.check_room(tmp_path, 2**50)
    checks.check_room(tmp_path, 1)


def test_a_missing_debian_package_is_named_to_who_may_not_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(debian.PURPOSES, "cluster", {"no-such-package": "/no/such/file"})
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(
        debian.DebianPackagesMissingError, match=r"run as root: apt-get install .*no-such-package"
    ):
        debian.ensure("cluster")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["up", "--name", "Bad_Name"], "cluster name 'Bad_Name': at most 32 of a-z, 0-9 and '-'"),
        (["up", "--nodes", "31"], "--nodes 31: from 0 (control plane only) to 30"),
        (["up", "--disks", "25"], "--disks 25: from 0 to 24 a node"),
        (["up", "--disk-size", "100Mi"], "--disk-size 104857600 bytes: xfs wants at least 300Mi"),
        (["up", "--disk-fs", "zfs"], "--disk-fs zfs: choose xfs, ext4 or none"),
        (["up", "--kwok", "-1"], "--kwok -1: from 0 to 5000"),
        (
            ["status", "--name", "nobody"],
            "no cluster 'nobody' on this machine (there are: none); start it with `up`",
        ),
        (["kill-node", "n1"], "no cluster 'default' on this machine"),
        (["load-image", "busybox"], "no cluster 'default' on this machine"),
    ],
)
def test_what_a_person_may_get_wrong(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    assert said in capsys.readouterr().err


def test_a_size_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["up", "--disk-size", "5GB"])
    assert "'5GB' is no size; write it like 1Gi or 512Mi" in capsys.readouterr().err


def test_down_of_nothing_is_done_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down", "--name", "nobody"]) == 0
    assert "there is none, nothing to do" in capsys.readouterr().err


def test_a_cluster_that_is_under_way_is_not_found() -> None:
    State("half", 3).save()
    with pytest.raises(
        ClusterError, match="cluster 'half' is starting; wait, or remove it with `down`"
    ):
        Cluster.find("half")


def test_an_unreadable_state_says_which_file(clusters: Path) -> None:
    (clusters / "odd").mkdir(parents=True)
    (clusters / "odd" / "state.json").write_text("{")
    with pytest.raises(
        ClusterError, match=r"odd/state.json is not readable .*remove .*odd by hand"
    ):
        state.load("odd")


def test_state_comes_back_as_it_was_saved() -> None:
    made = State("kept", 5, phase="up", disk_size=7)
    made.nodes["n1"] = Node(1, [Disk("d0", "TC1", "/x.img", "xfs")], machine_id="abc", disks_made=1)
    made.save()
    assert state.load("kept") == made
    assert state.names() == ["kept"]


def test_addresses_of_slots_never_overlap() -> None:
    seen: set[str] = set()
    for slot in range(layout.MAX_SLOTS):
        place = layout.Layout("any", slot)
        mine = {place.rack, place.pods, place.services}
        assert not mine & seen
        seen |= mine


def test_certificates_carry_the_names_that_rbac_expects(clusters: Path) -> None:
    authority = pki.Authority(layout.Layout("pki", 0))
    pair = authority.issue("n1", "system:node:n1", "system:nodes", ("DNS:n1", "IP:10.250.0.11"))
    text = run(
        "openssl",
        "x509",
        "-in",
        pair.crt,
        "-noout",
        "-subject",
        "-issuer",
        "-ext",
        "subjectAltName",
    )
    assert "O = system:nodes, CN = system:node:n1" in text
    assert "issuer=CN = helm-tidb-test-ca" in text
    assert "DNS:n1, IP Address:10.250.0.11" in text
    assert run("openssl", "verify", "-CAfile", authority.ca.crt, pair.crt).strip().endswith("OK")
    config = authority.kubeconfig(clusters / "config", pair)
    assert config.stat().st_mode & 0o077 == 0, "a kubeconfig holds a private key"


def test_inotify_instances_are_raised_and_put_back(clusters: Path, tmp_path: Path) -> None:
    clusters.mkdir()
    setting = tmp_path / "max_user_instances"
    setting.write_text("128\n")
    limits.raise_inotify(setting)
    limits.raise_inotify(setting)  # a second cluster beside the first changes nothing more
    assert setting.read_text() == "8192"
    limits.restore_inotify(setting)
    limits.restore_inotify(setting)
    assert setting.read_text() == "128"
    setting.write_text("20000\n")
    limits.raise_inotify(setting)
    limits.restore_inotify(setting)
    assert setting.read_text() == "20000\n"
