"""`kubectl tidb wipe`, as far as it needs no cluster: which disks, by whose word, and how it is followed."""

from __future__ import annotations

import json

import pytest

from hooks.doctor.disks import Disk, rows
from hooks.doctor.wipe import WipeError, choose, confirm, follow, listed
from hooks.engine import Exit
from tests.unit.doctor import worlds as w


def test_only_disks_that_nobody_uses_can_be_wiped() -> None:
    disks = rows(w.world(
        w.disk(1, "n1", phase="Bound", held="c"), w.disk(2, "n1"), w.disk(3, "n1", phase="Released", held="old"),
        w.disk(4, "n1", phase="Wiping"),
    ))  # fmt: skip
    assert choose("tv-0000000000000003", disks).phase == "Released"
    assert choose("n1:/mnt/disks/d3", disks).volume == "tv-0000000000000003"
    for word, said in (
        (
            "tv-0000000000000001",
            "is Bound: it is in use by claim db/c: delete that claim and its pod first",
        ),
        ("tv-0000000000000002", "is Available: it is free and clean already"),
        ("tv-0000000000000004", "is Wiping: it is being wiped already"),
        ("tv-9", "there is no disk tv-9: expected a TidbVolume or NODE:PATH"),
    ):
        with pytest.raises(WipeError) as refused:
            choose(word, disks)
        assert said in str(refused.value)


def test_a_name_that_is_not_said_again_wipes_nothing() -> None:
    (disk,) = rows(w.world(w.disk(3, "n1", phase="Released")))
    confirm(disk, ["tv-0000000000000003"])
    with pytest.raises(
        WipeError, match="tv-0000000000000003 is not confirmed: say --confirm tv-0000000000000003"
    ):
        confirm(disk, ["tv-0000000000000004"])


def test_a_wipe_is_followed_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    name = "tv-0000000000000003"
    phases = iter([("Released", ""), ("Wiping", "half"), ("Wiping", "half"), ("Available", "")])

    def now() -> list[Disk]:
        phase, why = next(phases)
        return rows(w.world(w.disk(3, "n1", phase=phase, why=why)))

    assert follow([name], now, pause=lambda _: None) == Exit.DONE
    assert capsys.readouterr().out.splitlines() == [
        f"{name}: Released", f"{name}: Wiping: half", f"{name}: Available",
    ]  # fmt: skip
    with pytest.raises(
        WipeError, match=f"{name} is not there any more: its TidbVolume was deleted"
    ):
        follow([name], list, pause=lambda _: None)


def test_what_could_be_wiped_is_listed_for_people_and_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    disks = rows(
        w.world(
            w.disk(1, "n1", phase="Bound", held="c"), w.disk(2, "n1", phase="Refused", why="dirty")
        )
    )
    assert [one["volume"] for one in json.loads(listed(disks, "json"))["disks"]] == [
        "tv-0000000000000002"
    ]
    assert listed(disks, "table").splitlines()[1].endswith("dirty")
    assert capsys.readouterr().err == "to wipe one: kubectl tidb wipe tv-0000000000000002\n"
    assert listed(disks[:1], "table") == "no disk is Released or Refused: there is nothing to wipe"


def test_a_disk_is_of_the_release_whose_claim_has_or_had_it() -> None:
    disks = rows(w.world(
        w.disk(1, "n1", phase="Bound", held="tikv-shop-tikv-0"), w.disk(2, "n1"),
        w.disk(3, "n1", phase="Released", held="tikv-shop-tikv-12"), w.disk(4, "n1", held="tikv-workshop-tikv-0"),
        w.disk(5, "n1", held="tikv-shop-tikv-old"),
    ))  # fmt: skip
    assert [disk.volume[-1] for disk in disks if disk.is_of("db", "shop")] == ["1", "3"]
    assert not any(disk.is_of("other", "shop") for disk in disks)
