"""PD, TiKV and TiDB as processes on loopback: started by their real flags, killed, frozen, wiped.

PD_SERVER, TIKV_SERVER and TIDB_SERVER name the commands (with arguments, as a shell would read them); without them the
stand-ins of this repository are started. Every program leads its own process group: what PD keeps inside its process,
the stand-in has in a child, and a signal to the group reaches both.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FIRST_PORT, LAST_PORT, PORTS_A_WORLD = 21000, 21999, 40
START_SECONDS = 30.0
_blocks = count()


def command(name: str) -> list[str]:
    """The command line of `pd-server`, `tikv-server` or `tidb-server`."""
    given = os.environ.get(name.upper().replace("-", "_"))
    if given:
        return shlex.split(given)
    return [sys.executable, "-m", f"tests.standin.{name.replace('-', '_')}"]


def _die_with_us() -> list[str]:
    """A prefix that ends the program when the tests are killed, where util-linux has it (Linux)."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def group(leader: int) -> list[int]:
    """The processes that live in the group that a program leads (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # gone meanwhile
        if fields[0] != "Z" and int(fields[2]) == leader:
            found.append(int(stat.parent.name))
    return found


def free_ports() -> int:
    """The first of PORTS_A_WORLD ports that nobody listens on."""
    blocks = (LAST_PORT - FIRST_PORT + 1) // PORTS_A_WORLD
    for _ in range(blocks):
        first = FIRST_PORT + (next(_blocks) + os.getpid()) % blocks * PORTS_A_WORLD
        if all(_is_free(first + i) for i in range(PORTS_A_WORLD)):
            return first
    raise RuntimeError(f"no {PORTS_A_WORLD} free ports in a row from {FIRST_PORT} to {LAST_PORT}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `status` 0 means that none came within the time-out."""

    status: int
    text: str
    content_type: str
    seconds: float

    @property
    def body(self) -> Any:
        """Parsed if it is JSON, else the text: as the captures have it."""
        try:
            return json.loads(self.text)
        except ValueError:
            return self.text


def ask(url: str, method: str = "GET", body: Any = None, seconds: float = 15.0) -> Answer:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    request.add_header("Content-Type", "application/json")
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            status, text, kind = answer.status, answer.read(), answer.headers.get("Content-Type")
    except urllib.error.HTTPError as error:
        status, text, kind = error.code, error.read(), error.headers.get("Content-Type")
    except OSError:
        status, text, kind = 0, b"", ""
    return Answer(status, text.decode(), kind or "", time.monotonic() - began)


def wait_until(
    what: str, condition: Callable[[], Any], seconds: float = START_SECONDS, pause: float = 0.05
) -> Any:
    """What `condition` returned once it was true; AssertionError that says what did not happen."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"after {seconds:.0f} s still not: {what}")
        time.sleep(pause)
    return found


class Program:
    """One process, its folder and its log; started anew under the same flags after its end."""

    def __init__(self, name: str, arguments: list[str], folder: Path, environment: dict[str, str]):
        self.name = name
        self.arguments = arguments
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> Program:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_die_with_us(), *command(self.name), *self.arguments, *more],
                cwd=ROOT,
                env=os.environ | self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.folder.name} was never started"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: int) -> None:
        """To the whole group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone with its children: their ports are free then."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            wait_until(f"{self.folder.name} gone", lambda: not group(self.pid), pause=0.02)

    def terminate(self, seconds: float = 30.0) -> int:
        """SIGTERM to the program alone, as a kubelet does; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=seconds)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def wait(self, seconds: float = 15.0) -> int:
        """The exit code of a program that is expected to end."""
        assert self._process is not None
        return self._process.wait(timeout=seconds)

    def wipe(self) -> None:
        """Its disk is gone (the program must be)."""
        assert not self.running, f"{self.folder.name} still runs"
        shutil.rmtree(self.folder, ignore_errors=True)

    def output(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class World:
    """A cluster below `folder`; members are pd-0.., stores tikv-0.., each at fixed ports of its own."""

    folder: Path
    scale: float = 1.0
    regions: int | None = None
    tikv_config: str = ""
    pd_config: str = ""
    first_port: int = field(default_factory=free_ports)
    pds: dict[str, Program] = field(default_factory=dict)
    tikvs: dict[str, Program] = field(default_factory=dict)
    tidbs: dict[str, Program] = field(default_factory=dict)

    # -- addresses -----------------------------------------------------------

    def pd_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.first_port + 2 * int(name[3:])}"

    def peer_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.first_port + 2 * int(name[3:]) + 1}"

    def tikv_address(self, name: str) -> str:
        return f"127.0.0.1:{self.first_port + 12 + 2 * int(name[5:])}"

    def tikv_status(self, name: str) -> str:
        return f"127.0.0.1:{self.first_port + 13 + 2 * int(name[5:])}"

    def tidb_port(self, name: str) -> int:
        return self.first_port + 32 + 2 * int(name[5:])

    # -- programs ------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        values = {"STANDIN_TIME_SCALE": str(self.scale), "PYTHONDONTWRITEBYTECODE": "1"}
        return values | ({"STANDIN_REGIONS": str(self.regions)} if self.regions else {})

    def pd(self, name: str, *, join: bool = False, members: int = 3) -> Program:
        """The member's program, not started: with --join of the other running members, or --initial-cluster."""
        if join:
            others = [self.pd_url(n) for n, p in self.pds.items() if n != name and p.running]
            how = f"--join={','.join(others)}"
        else:
            names = [f"pd-{i}" for i in range(members)]
            how = "--initial-cluster=" + ",".join(f"{n}={self.peer_url(n)}" for n in names)
        arguments = [
            f"--name={name}",
            f"--data-dir={self.folder / name}",
            f"--client-urls={self.pd_url(name)}",
            f"--advertise-client-urls={self.pd_url(name)}",
            f"--peer-urls={self.peer_url(name)}",
            f"--advertise-peer-urls={self.peer_url(name)}",
            how,
            f"--config={self._config('pd.toml', self.pd_config)}",
        ]
        return Program("pd-server", arguments, self.folder / name, self.environment)

    def _config(self, name: str, text: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)
        return self.folder / name

    def start_pds(self, members: int = 3) -> None:
        """A new cluster of that many members; returns when all of them answer and one leads."""
        for i in range(members):
            self.pds[f"pd-{i}"] = self.pd(f"pd-{i}", members=members).start()
        self.wait_for_leader()
        wait_until(f"{members} healthy members", lambda: self.healthy_members() == members)

    def start_pd(self, name: str, *, join: bool = False) -> Program:
        self.pds[name] = self.pd(name, join=join).start()
        return self.pds[name]

    def tikv(self, name: str, labels: str = "", address_of: str = "") -> Program:
        """The store's program, not started; `address_of` lets it present itself under another's address."""
        arguments = [
            f"--addr={self.tikv_address(name)}",
            f"--advertise-addr={self.tikv_address(address_of or name)}",
            f"--status-addr={self.tikv_status(name)}",
            f"--data-dir={self.folder / name}",
            f"--pd={','.join(url.removeprefix('http://') for url in map(self.pd_url, self.pds))}",
            "--capacity=10GiB",
            f"--config={self._config('tikv.toml', self.tikv_config)}",
        ]
        arguments += [f"--labels={labels}"] if labels else []
        return Program("tikv-server", arguments, self.folder / name, self.environment)

    def start_tikv(self, name: str, labels: str = "") -> Program:
        self.tikvs[name] = self.tikv(name, labels).start()
        return self.tikvs[name]

    def start_tidb(self, name: str = "tidb-0") -> Program:
        arguments = [
            "--store=tikv",
            f"--path={','.join(url.removeprefix('http://') for url in map(self.pd_url, self.pds))}",
            "--host=127.0.0.1",
            f"-P={self.tidb_port(name)}",
            "--status-host=127.0.0.1",
            f"--status={self.tidb_port(name) + 1}",
        ]
        program = Program("tidb-server", arguments, self.folder / name, self.environment)
        self.tidbs[name] = program.start()
        return program

    def programs(self) -> Iterator[Program]:
        yield from (*self.tidbs.values(), *self.tikvs.values(), *self.pds.values())

    def stop(self) -> None:
        for program in self.programs():
            program.kill()

    # -- what PD says --------------------------------------------------------

    def ask(
        self, path: str, method: str = "GET", body: Any = None, *, of: str = "", seconds: float = 15
    ) -> Answer:
        """One request to the member `of`, or to the first that runs."""
        name = of or next(n for n, p in self.pds.items() if p.running)
        return ask(self.pd_url(name) + path, method, body, seconds)

    def leader(self) -> str:
        """The leader's name by the word of any running member that answers 200; "" if none does."""
        for name, program in self.pds.items():
            if program.running:
                answer = self.ask("/pd/api/v1/leader", of=name, seconds=5)
                if answer.status == 200:
                    return str(answer.body["name"])
        return ""

    def wait_for_leader(self, other_than: str = "") -> str:
        def found() -> str:
            name = self.leader()
            return name if name != other_than else ""

        return str(wait_until("a PD leader", found, 60))

    def follower(self) -> str:
        leader = self.leader()
        return next(n for n, p in self.pds.items() if n != leader and p.running)

    def healthy_members(self) -> int:
        answer = self.ask("/pd/api/v1/health")
        return sum(m["health"] for m in answer.body) if answer.status == 200 else 0

    def stores(self) -> list[dict[str, Any]]:
        """Every store, Tombstones too."""
        answer = self.ask("/pd/api/v1/stores/check")
        return list(answer.body["stores"]) if answer.status == 200 else []

    def store_of(self, name: str) -> dict[str, Any]:
        """The newest store at the address of `tikv-N`."""
        address = self.tikv_address(name)
        return max(
            (s for s in self.stores() if s["store"]["address"] == address),
            key=lambda s: int(s["store"]["id"]),
        )

    def id_of(self, name: str) -> int:
        return int(self.store_of(name)["store"]["id"])

    def states(self) -> dict[int, str]:
        return {s["store"]["id"]: s["store"]["state_name"] for s in self.stores()}

    def wait_for_state(self, store_id: int, state: str, seconds: float = 60) -> None:
        wait_until(
            f"store {store_id} {state}", lambda: self.states().get(store_id) == state, seconds
        )

    def region_count(self, check: str) -> int:
        answer = self.ask(f"/pd/api/v1/regions/check/{check}")
        return int(answer.body["count"]) if answer.status == 200 else -1

    def wait_until_whole(self, seconds: float = 60) -> None:
        """No region misses a peer, none has a peer too many, none is moving."""
        checks = ("miss-peer", "extra-peer", "down-peer", "pending-peer", "learner-peer")
        wait_until(
            "every region whole", lambda: all(self.region_count(c) == 0 for c in checks), seconds
        )
