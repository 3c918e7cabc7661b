"""`python -m hooks disks` by hand: what it prints, and how it fails."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hooks.cli import main
from hooks.disks.inventory import Entry, Problem
from hooks.disks.job import Health, table


def test_dry_run_prints_the_disks_and_needs_no_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "forgotten").mkdir()
    assert main(["disks", "--dry-run", "--root", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    first, *rest = said.out.splitlines()
    assert first.startswith("disks: 0 of ")
    assert any(line.strip().startswith(f"{tmp_path}/forgotten  -  0 B") for line in rest)
    assert f"not-mounted: {tmp_path}/forgotten is a plain folder" in said.out
    assert main(["disks", "--dry-run", "-o", "json", "--root", str(tmp_path)]) == 0
    as_json = json.loads(capsys.readouterr().out)
    assert as_json["root"] == str(tmp_path)
    assert f"{tmp_path}/forgotten" in [disk["path"] for disk in as_json["disks"]]


def test_the_table_shows_usable_disks_first_and_why_others_are_not() -> None:
    usable = Entry(
        "nvme-eui.1", "/mnt/disks/a", "nvme0n1", capacity_bytes=3838879105024, fs_type="xfs"
    )
    small = Entry(
        "wwn-0x1",
        "/mnt/disks/0",
        "sda",
        capacity_bytes=1 << 20,
        fs_type="ext4",
        rotational=True,
        problems=(Problem("too-small", "it is too small"),),
    )
    raw = Entry("", "", "sdb", size_bytes=1 << 40, problems=(Problem("no-file-system", "mkfs …"),))
    assert table((small, raw, usable)) == [
        "disks: 1 of 3 could be offered as volumes",
        "  /mnt/disks/a  nvme0n1  3.49 TiB  xfs  solid-state  nvme-eui.1",
        "  (not mounted)  sdb  1 TiB  -  solid-state  no identity",
        "      no-file-system: mkfs …",
        "  /mnt/disks/0  sda  1 MiB  ext4  rotational  wwn-0x1",
        "      too-small: it is too small",
    ]


def test_a_bad_configuration_at_the_start_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "disks.json"
    path.write_text('{"minSize": "much"}')
    assert main(["disks", "--dry-run", "--root", str(tmp_path), "--config", str(path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"disks: error: configuration {path}: minSize is 'much': ")


def test_an_agent_must_know_its_node(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NODE_NAME", raising=False)
    assert main(["disks", "--root", "/nowhere"]) == 1
    said = capsys.readouterr().err
    assert (
        "which node this is, is not known: set NODE_NAME from spec.nodeName or say --node" in said
    )


def test_health_tells_a_loop_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health()
    assert health.wrong() == ""
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 300)
    assert health.wrong() == "no round has ended for 300 s"
    health.beat()
    assert health.wrong() == ""
