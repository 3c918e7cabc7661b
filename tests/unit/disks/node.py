"""One node with an agent, for tests: real folders as disks, an `Exchange` in memory, a clock that the test moves."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from hooks.disks.agent import Agent, Mail
from hooks.disks.config import ConfigFile
from hooks.disks.inventory import Node
from hooks.disks.observe import Candidate, Snapshot
from hooks.disks.requests import Request
from tests.unit.disks.worlds import candidate, fill, folder, mark

SCHEMAS = Path(__file__).resolve().parents[3] / "schema"
INVENTORY = jsonschema.Draft7Validator(
    yaml.safe_load((SCHEMAS / "inventory.schema.yaml").read_text())
)
REQUESTS = jsonschema.Draft7Validator(
    yaml.safe_load((SCHEMAS / "requests.schema.yaml").read_text())
)
NODE = Node("n1", "10.0.0.11", "3f7c9d1e-5a0b-4f0e-9a57-2f1d0c6b8e11", "0.1.0", "/mnt/disks")


class Cluster:
    """An `Exchange` without a cluster; it refuses whatever breaks the contract's schemas."""

    def __init__(self) -> None:
        self.said = Mail(inventory="")
        self.published: list[dict[str, Any]] = []
        self.away = False
        self.hold: threading.Event | None = None

    def mail(self) -> Mail:
        if self.hold and threading.current_thread() is not threading.main_thread():
            self.hold.wait(20)
        return self.said

    def publish(self, text: str) -> bool:
        if self.away:
            return False
        document = json.loads(text)
        INVENTORY.validate(document)
        self.published.append(document)
        self.said = replace(self.said, inventory=text)
        return True

    def ask(self, *asked: Request) -> None:
        volumes = []
        for one in asked:
            entry = {
                "identity": one.identity,
                "volume": one.volume,
                "generation": one.generation,
                "folder": one.folder,
                "make": one.make,
                "pvUID": one.pv_uid,
            }
            if one.wipe:
                entry["wipe"] = {
                    "generation": one.wipe.generation,
                    "pvUID": one.wipe.pv_uid,
                    "folder": one.wipe.folder,
                    "foreign": "remove" if one.wipe.foreign else "keep",
                }
            volumes.append(entry)
        document = {"version": 1, "node": "n1", "volumes": volumes}
        REQUESTS.validate(document)
        self.said = replace(self.said, requests=json.dumps(document))


class World:
    """One node with an agent whose clock the test moves."""

    def __init__(self, tmp_path: Path) -> None:
        self.cluster = Cluster()
        self.root = tmp_path / "disk"
        self.root.mkdir()
        self.moment = 1000.0
        self.see: Callable[[], list[Candidate]] = lambda: [candidate(self.root)]
        self.config = ConfigFile(None)
        self.agent = self.start()

    def start(self) -> Agent:
        return Agent(
            NODE,
            self.cluster,
            lambda: Snapshot("/mnt/disks", tuple(self.see())),
            self.config,
            clock=lambda: self.moment,
            now=lambda: f"at {self.moment}",
        )

    def round(self, after: float = 3.0) -> float:
        """A round `after` seconds later, and then all that it began."""
        self.moment += after
        seconds = self.agent.round()
        self.finish()
        return seconds

    def finish(self) -> None:
        for thread in threading.enumerate():
            if thread.name.startswith("disk "):
                thread.join(20)

    def settle(self) -> dict[str, Any]:
        for _ in range(4):
            self.round()
        return self.disk()

    def disk(self, index: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.published[-1]["disks"][index]
        return found


def in_use(world: World) -> None:
    """Its disk holds a generation with a database's files, and the agent has seen it."""
    mark(world.root)
    (world.root / folder()).mkdir()
    fill(world.root / folder())
    world.settle()
