"""A volume at the points of its life where the cases begin: on offer, and released with its data."""

from __future__ import annotations

from datetime import timedelta

from hooks.engine import Exit
from hooks.volumes.model import Policy
from schema import names
from tests.model.volumes.agents import FakeDisk
from tests.model.volumes.stage import Stage

A = "wwn-a1"
VOLUME = names.volume_name(A)
G1, G2 = names.folder_name(VOLUME, 1), names.folder_name(VOLUME, 2)
HOUR = timedelta(hours=1)


def one_disk(**policy: object) -> Stage:
    stage = Stage(policy=Policy(manager="infra.tidb", **policy))  # type: ignore[arg-type]
    stage.add_node("n1", FakeDisk(A))
    assert stage.settle() is Exit.DONE
    assert stage.phase(A) == "Available"
    return stage


def released(**policy: object) -> Stage:
    stage = one_disk(**policy)
    claim = stage.bind(G1)
    stage.settle()
    stage.release(claim)
    assert stage.settle() is Exit.WAITING
    assert stage.phase(A) == "Released"
    return stage


def kept(stage: Stage) -> bool:
    """Whether the data of generation 1 is still there."""
    return any(disk.folders.get(G1) for disk in stage.disks())
