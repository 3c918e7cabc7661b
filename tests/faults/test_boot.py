"""Boot with a fault at every call: no member and no store ever starts otherwise than undisturbed, or sooner.

Each scene is played to its end by a kubelet that starts the init container again and again: once undisturbed, then
with each call to the API server and to PD broken in each way, then with two API calls broken. A scene may end later
for it, never otherwise: the same arguments (or none, where nobody may start), the same record.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hooks import kube, pd
from hooks.boot.apply import PodEvents
from hooks.boot.job import BootJob
from hooks.boot.model import Cluster
from hooks.boot.observe import Observer, Self
from hooks.boot.settings import LocationLabel, Settings
from hooks.engine import Engine, Exit
from tests.faults.faulty import CrashedError, Fault, Faulty
from tests.faults.memory import Memory
from tests.faults.small_pd import CLUSTER, PdFault, SmallPd
from tests.faults.stage import claim, config_map, impatient, node_object, stateful_set, volume

IP = "10.0.0.9"
FIRST = "basic-pd-0,basic-pd-1,basic-pd-2"
INITIAL = "--initial-cluster=" + ",".join(
    f"{name}=http://{name}.basic-pd-peer.db.svc:2380" for name in FIRST.split(",")
)
DOORS = [f"http://basic-pd-{i}.basic-pd-peer.db.svc:2379" for i in (0, 1)]
# Through whoever answered: any member lets it into the same cluster.
JOIN = tuple("--join=" + ",".join(some) for some in (DOORS, DOORS[:1], DOORS[1:]))
KNOWN = {"members": FIRST, "clusterId": str(CLUSTER), "since": "2026-07-01T12:30:00+00:00"}
OTHER = {**KNOWN, "clusterId": "7710175942970242681"}


class NobodyAnswers(SmallPd):
    def send(self, request: pd.Request) -> pd.Response:
        super().send(request)
        raise pd.TransportError("connection refused")


def members(*names: str) -> SmallPd:
    found = SmallPd(leader=1)
    found.members = {i: {"name": name, "alive": True} for i, name in enumerate(names, 1)}
    return found


def nobody() -> SmallPd:
    found = NobodyAnswers(leader=1)
    found.members = {1: {"name": "basic-pd-0", "alive": True}}
    return found


@dataclass(frozen=True)
class Scene:
    """Who starts, before which record, among whom; and how that has to end.

    `args`: those it may start with, first the undisturbed ones; none: it does not start.
    """

    pod: str
    record: dict[str, str] | None
    pd: Callable[[], SmallPd]
    exit: Exit
    args: tuple[str, ...]
    record_after: dict[str, str]


SCENES = {
    "the first member of all": Scene(
        "basic-pd-2", None, nobody, Exit.DONE, (INITIAL,), {"members": FIRST}
    ),
    "an empty disk, removed from the list": Scene(
        "basic-pd-2", KNOWN, lambda: members("basic-pd-0", "basic-pd-1"), Exit.DONE, JOIN, KNOWN
    ),
    "an empty disk, still in the list": Scene(
        "basic-pd-2", KNOWN, lambda: members(*FIRST.split(",")), Exit.WAITING, (), KNOWN
    ),
    "an empty disk, and nobody answers": Scene(
        "basic-pd-2", KNOWN, nobody, Exit.REFUSED, (), KNOWN
    ),
    "an empty disk, beside another cluster": Scene(
        "basic-pd-2", OTHER, lambda: members("basic-pd-0"), Exit.REFUSED, (), OTHER
    ),
    "the first store of all": Scene(
        "basic-tikv-2",
        {"members": FIRST},
        lambda: members(*FIRST.split(",")),
        Exit.DONE,
        ("--labels=host=n2",),
        {"members": FIRST, "clusterId": str(CLUSTER)},
    ),
    "a store beside another cluster": Scene(
        "basic-tikv-2", OTHER, lambda: members(*FIRST.split(",")), Exit.REFUSED, (), OTHER
    ),
}


@dataclass
class Play:
    scene: Scene
    folder: Path
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        self.component = self.scene.pod.split("-")[1]
        self.api, self.pd = Faulty(self.memory), self.scene.pd()
        self.memory.put(node_object("n2"))
        self.memory.put(stateful_set("pd"))
        self.memory.put(volume("pv-2", "n2", "Bound"))
        self.memory.put(claim(f"{self.component}-{self.scene.pod}", self.component, "pv-2"))
        if self.scene.record is not None:
            self.memory.put(config_map("basic-cluster", dict(self.scene.record)))
        self.folder.mkdir()
        self.args_file = self.folder / "args"

    def run(self) -> Exit | None:
        """One life of the init container; None when it crashed. As hooks/boot/job.py: it forgets an earlier life."""
        self.args_file.unlink(missing_ok=True)
        client = impatient(self.api, "boot")
        me = Self(
            Cluster("basic", ".db.svc"),
            *(self.scene.pod, "db", "uid", "n2", IP),
            *(self.folder, self.args_file),
        )
        settings = Settings(
            poll=timedelta(seconds=1),
            refuse_after=timedelta(minutes=2),
            allow_network=False,
            local_provisioners=(),
            location_labels=(LocationLabel("host", "kubernetes.io/hostname"),),
        )
        ages = iter((0.0, 3600.0))  # it has looked for longer than `refuse_after`
        observer = Observer(
            me, settings, lambda: client, transport=self.pd, clock=lambda: next(ages, 3600.0)
        )
        said: list[str] = []
        job = BootJob(self.component, me, observer, lambda: client)
        engine: Engine[Any, Any] = Engine(job, out=said.append, err=said.append)
        engine.reporter = PodEvents(me, kube.Recorder(client, "helm-tidb.io/boot", me.pod))
        try:
            return engine.run()
        except CrashedError:
            return None

    def to_the_end(self) -> Exit | None:
        """The kubelet starts it again until it starts, or says the same without a fault left to come."""
        found: Exit | None = None
        for _ in range(8):
            before = (len(self.api.calls), len(self.pd.calls))
            found = self.run()
            left = any(n >= before[0] for n in self.api.plan) or any(
                n >= before[1] for n in self.pd.faults
            )
            if found is Exit.DONE or (found is not None and not left):
                break
        return found

    @property
    def args(self) -> str | None:
        return self.args_file.read_text().strip() if self.args_file.exists() else None

    @property
    def record(self) -> dict[str, str]:
        found = self.memory.objects.get(("configmaps", "db", "basic-cluster"), {"data": {}})
        return {key: value for key, value in found["data"].items() if key != "since"}

    def check(self, what: str) -> None:
        ended, wanted = self.to_the_end(), self.scene.record_after
        assert self.args in (self.scene.args or (None,)), what
        assert ended is self.scene.exit, what
        assert self.record == {k: v for k, v in wanted.items() if k != "since"}, what


@pytest.fixture(params=SCENES)
def play(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Play]:
    """Makes the scene anew, in a folder of its own."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(0, 0, 0, "", (IP, 0))])
    numbers = itertools.count()
    return lambda: Play(SCENES[request.param], tmp_path / str(next(numbers)))


def test_undisturbed(play: Callable[[], Play]) -> None:
    whole = play()
    whole.check("undisturbed")
    assert whole.args == next(iter(whole.scene.args), None)
    assert whole.api.calls
    assert whole.pd.calls


@pytest.mark.parametrize("fault", Fault)
def test_every_api_call_broken(play: Callable[[], Play], fault: Fault) -> None:
    whole = play()
    whole.to_the_end()
    for number, call in enumerate(whole.api.calls):
        broken = play()
        broken.api.plan[number] = fault
        broken.check(f"{fault.value} at call {number}: {call}")


@pytest.mark.parametrize("fault", PdFault)
def test_every_pd_call_broken(play: Callable[[], Play], fault: PdFault) -> None:
    """A member that does not answer once is silence to whoever looks once; that starts nobody who may not start."""
    whole = play()
    whole.to_the_end()
    for number, call in enumerate(whole.pd.calls):
        broken = play()
        broken.pd.faults[number] = fault
        broken.check(f"{fault.value} at PD call {number}: {call}")


def test_two_api_calls_broken(play: Callable[[], Play]) -> None:
    whole = play()
    whole.to_the_end()
    kinds = (Fault.CRASH_AFTER, Fault.TIMEOUT_AFTER, Fault.CONFLICT)
    for pair in itertools.combinations(range(len(whole.api.calls) + 2), 2):
        for one, two in itertools.product(kinds, kinds):
            broken = play()
            broken.api.plan.update(dict(zip(pair, (one, two), strict=True)))
            broken.check(f"{one.value} at call {pair[0]}, {two.value} at call {pair[1]}")
