"""`kubectl tidb disks` and `wipe` against a real API server: what is refused leaves the object as it was.

A control plane alone, and TidbVolumes written by hand: what becomes of the annotation is the volume controller's
part, whose own tests clear real disks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ci.cluster import Cluster
from hooks import kube
from hooks.doctor import command
from hooks.engine import Exit
from schema import crd, names
from tests.cluster.conftest import WaitFor

BOUND, RELEASED = "tv-0000000000000001", "tv-0000000000000002"


@pytest.fixture(scope="module")
def plane() -> Iterator[Cluster]:
    cluster = Cluster.up(f"wipe-{os.getpid()}", nodes=0)
    yield cluster
    cluster.down()


def run(plane: Cluster, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = command.main([*words, "--kubeconfig", str(plane.kubeconfig)])
    said = capsys.readouterr()
    return code, said.out, said.err


def volume(name: str, phase: str) -> kube.Obj:
    status = {
        "phase": phase, "node": "n1", "path": f"/mnt/disks/{name[-1]}", "capacityBytes": 2**30, "size": "1Gi",
        "message": "released; ends when it is 12:00 UTC" if phase == "Released" else "",
        "claim": {"namespace": "tidb", "name": "tikv-demo-tikv-2", "uid": "x"},
    }  # fmt: skip
    return {
        "apiVersion": names.API_VERSION, "kind": "TidbVolume", "metadata": {"name": name},
        "spec": {"identity": f"serial-{name}", "generation": 1}, "status": status,
    }  # fmt: skip


def test_disks_and_wipe(
    plane: Cluster, wait_for: WaitFor, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(plane, capsys, "disks")
    assert (code, out) == (Exit.ERROR, "")
    assert (
        "the cluster does not know TidbVolumes: no release of the chart with disks.enabled is installed"
        in err
    )

    client = kube.Client.connect("test", kubeconfig=str(plane.kubeconfig))
    client.create(crd.crd(crd.load()))
    served = kube.TIDB_VOLUME.path()
    wait_for(lambda: plane.api.request("GET", served)[0] == 200, 30, "TidbVolumes are served")
    for name, phase in ((BOUND, "Bound"), (RELEASED, "Released")):
        made = volume(name, phase)
        client.create(made)
        client.merge_patch(kube.TIDB_VOLUME, name, {"status": made["status"]}, subresource="status")

    def word(name: str) -> str | None:
        annotations = client.get(kube.TIDB_VOLUME, name)["metadata"].get("annotations") or {}
        found: str | None = annotations.get(names.WIPE_ANNOTATION)
        return found

    code, out, _ = run(plane, capsys, "disks")
    assert code == Exit.DONE
    assert "2 disks on 1 node: 1 Bound, 1 Released" in out

    code, out, err = run(plane, capsys, "wipe")
    assert RELEASED in out
    assert BOUND not in out

    # One that is in use, and one whose name was not said again: neither is touched, also not the good one beside it.
    code, _, err = run(
        plane, capsys, "wipe", RELEASED, BOUND, "--confirm", RELEASED, "--confirm", BOUND
    )
    assert code == Exit.ERROR
    assert f"{BOUND} (n1:/mnt/disks/1) is Bound: it is in use by claim tidb/tikv-demo-tikv-2" in err
    code, _, err = run(plane, capsys, "wipe", "n1:/mnt/disks/2")
    assert code == Exit.ERROR
    assert "this deletes the data of claim tidb/tikv-demo-tikv-2; it can't be undone" in err
    assert f"{RELEASED} is not confirmed: say --confirm {RELEASED}" in err
    assert (word(BOUND), word(RELEASED)) == (None, None)

    code, out, err = run(
        plane, capsys, "wipe", "n1:/mnt/disks/2", "--everything", "--confirm", RELEASED
    )
    assert code == Exit.DONE
    assert "this deletes ALL files on the disk" in err
    assert (word(BOUND), word(RELEASED)) == (None, "everything")
