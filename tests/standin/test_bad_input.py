"""What a person can get wrong: every program ends with a code other than 0 and one sentence that names it."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest

from tests.contract.programs import ROOT, command, free_ports, wait_until
from tests.standin.conftest import MakeWorld

PROGRAMS = ("pd-server", "tikv-server", "tidb-server")


def run(program: str, *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a start that must end by itself."""
    done = subprocess.run(
        [*command(program), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    first = done.stdout.splitlines()[0] if done.stdout else ""
    assert first.startswith(f"{program} stand-in for tests and the demo")
    return done.returncode, done.stderr.strip()


def refused(program: str, *arguments: str, code: int = 1) -> str:
    """The one sentence."""
    found, said = run(program, *arguments)
    assert found == code, said
    assert said.count("\n") == 0, said
    assert said.startswith(f"[FATAL] {program}: ")
    return said.removeprefix(f"[FATAL] {program}: ")


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_unknown_flag(program: str) -> None:
    said = refused(program, "--no-such-flag=1", code=2)
    assert said == f"unrecognized arguments: --no-such-flag=1; see {program} --help"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_bad_time_scale(program: str) -> None:
    said = refused(program, "--standin-time-scale=fast", code=2)
    assert (
        "the time scale 'fast' (--standin-time-scale or STANDIN_TIME_SCALE) is no number above 0"
        in said
    )


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("text", [None, "not = [toml"])
def test_an_unreadable_configuration(program: str, text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    if text is not None:
        path.write_text(text)
    assert refused(program, f"--config={path}").startswith(
        f"cannot read the configuration file {path}: "
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_version_is_told_without_a_start(program: str) -> None:
    assert run(program, "-V") == (0, "")


def test_a_bad_value_in_pd_toml(tmp_path: Path) -> None:
    path = tmp_path / "pd.toml"
    path.write_text('[schedule]\nmax-store-down-time = "soon"\n')
    said = refused("pd-server", f"--config={path}")
    assert said == f'--config {path}: time: invalid duration "soon"'


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for program in ("pd-server", "tikv-server"):
        said = refused(
            program,
            "--pd=127.0.0.1:1" if program == "tikv-server" else "--name=pd-0",
            f"--data-dir={tmp_path / 'file' / 'data'}",
        )
        assert said.startswith(f"--data-dir {tmp_path}/file/data: cannot write there: ")


def test_join_and_initial_cluster_exclude_each_other(tmp_path: Path) -> None:
    said = refused(
        "pd-server",
        f"--data-dir={tmp_path / 'pd'}",
        "--join=http://127.0.0.1:1",
        "--initial-cluster=a=b",
    )
    assert said == "-initial-cluster and -join can not be provided at the same time"


def test_joining_oneself_or_nobody(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1"
    said = refused(
        "pd-server", f"--data-dir={tmp_path / 'pd'}", f"--client-urls={url}", f"--join={url}"
    )
    assert said == 'join meet error: "join self is forbidden"'
    said = refused("pd-server", f"--data-dir={tmp_path / 'pd'}", f"--join={url}")
    assert said.startswith(f'join meet error: "{url} does not answer (')


def test_values_that_tikv_cannot_use(tmp_path: Path) -> None:
    data = f"--data-dir={tmp_path}"
    assert refused("tikv-server", data, "--capacity=much") == (
        "raftstore.capacity (--capacity): 'much' is no size: write it like 100GiB"
    )
    assert (
        refused("tikv-server", data, "--labels=zone") == "--labels 'zone': 'zone' is not key=value"
    )
    assert refused("tikv-server", data, "--addr=nowhere") == (
        "--addr 'nowhere' is no address: write it like 0.0.0.0:2379"
    )
    assert refused("tikv-server", data).startswith("no address of PD is given (--pd")


def test_values_that_tidb_cannot_use() -> None:
    assert refused("tidb-server", "-P=mysql") == "-P 'mysql' is no port"
    assert refused("tidb-server", "--store=unistore") == (
        "--store 'unistore': this stand-in knows tikv only"
    )


def test_ports_in_use(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world()
    world.start_pds(1)
    world.start_tikv("tikv-0")
    wait_until("a store", world.stores)
    port = free_ports()
    with socket.create_server(("127.0.0.1", port)):
        taken = f"127.0.0.1:{port}"
        pd = world.pd_url("pd-0").removeprefix("http://")
        said = refused("pd-server", f"--data-dir={tmp_path / 'a'}", f"--client-urls=http://{taken}")
        assert said == f"--client-urls http://{taken}: cannot listen: Address already in use"
        code, said = run(
            "pd-server",
            f"--data-dir={tmp_path / 'b'}",
            f"--client-urls=http://127.0.0.1:{port + 1}",
            f"--peer-urls=http://{taken}",
        )
        # etcd's own words, after its warnings.
        last = said.splitlines()[-1]
        assert (code, last.startswith("[FATAL] pd-server: etcd has ended with 1: ")) == (1, True), (
            said
        )
        assert "address already in use" in last
        for flag in ("--addr", "--status-addr"):
            other = "--status-addr" if flag == "--addr" else "--addr"
            arguments = [
                f"--data-dir={tmp_path / flag}",
                f"--pd={pd}",
                f"{other}=127.0.0.1:{port + 2}",
            ]
            said = refused("tikv-server", *arguments, f"{flag}={taken}")
            assert said == f"{flag} {taken}: cannot listen: Address already in use"
        said = refused("tidb-server", f"--path={pd}", "--host=127.0.0.1", f"-P={port}")
        assert said == f"-P {port}: cannot listen: Address already in use"


def test_a_data_folder_of_another_cluster(make_world: MakeWorld) -> None:
    one, two = make_world(), make_world()
    one.start_pds(1)
    two.start_pds(1)
    store = one.start_tikv("tikv-0")
    wait_until("a store", one.stores)
    store.kill()
    ids = [w.ask("/pd/api/v1/cluster").body["id"] for w in (one, two)]
    other = two.tikv("tikv-0")
    other.arguments = [
        f"--data-dir={store.folder}" if a.startswith("--data-dir") else a for a in other.arguments
    ]
    other.start()
    assert other.wait() == 1
    assert (
        f"cluster ID mismatch, local {ids[0]} != remote {ids[1]}, you are trying to connect to another cluster"
        in other.output()
    )
    assert json.loads((store.folder / "standin-identity.json").read_text())["cluster_id"] == ids[0]
