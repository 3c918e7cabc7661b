"""What the demo waits for: each told once, when it has become so, with its time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ci.cluster.api import Api
from ci.demo.release import NAME, NAMESPACE
from ci.demo.teller import Teller

Object = dict[str, Any]
# A sentence once it is so; "" before.
Condition = Callable[[], str]
_PAUSE = 0.3
_SPACE = f"/namespaces/{NAMESPACE}"


class NotReachedError(Exception):
    """A milestone did not come in its time."""


@dataclass(frozen=True)
class Milestone:
    name: str
    reached: Condition


def reach(milestones: Sequence[Milestone], seconds: float, teller: Teller) -> None:
    """Tell each as it is reached, in whatever order they come, until all are so at once: on a loaded machine what was
    reached may be undone before the last one comes. Raises NotReachedError, which names what is missing.
    """
    told: set[str] = set()
    deadline = time.monotonic() + seconds
    left = list(milestones)
    while left:
        for one in list(left):
            said = one.reached()
            if said:
                left.remove(one)
                if one.name not in told:
                    told.add(one.name)
                    teller.happened(said)
        if not left:
            left = [one for one in milestones if not one.reached()]
        if left and time.monotonic() > deadline:
            names = ", ".join(one.name for one in left)
            raise NotReachedError(f"not within {seconds:.0f} s: {names}")
        if left:
            time.sleep(_PAUSE)


class World:
    """What the API server says now, by the questions that the demo asks."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def items(self, path: str) -> list[Object]:
        """The list at a path; empty while its kind, or the server, is not there."""
        try:
            status, body = self._api.request("GET", path)
        except OSError:
            return []
        found: list[Object] = body.get("items", []) if status == 200 else []
        return found

    def pods(self, component: str) -> list[Object]:
        selector = (
            f"app.kubernetes.io%2Finstance%3D{NAME},app.kubernetes.io%2Fcomponent%3D{component}"
        )
        return self.items(f"/api/v1{_SPACE}/pods?labelSelector={selector}")

    def ready(self, component: str) -> list[Object]:
        return [
            pod
            for pod in self.pods(component)
            if not pod["metadata"].get("deletionTimestamp")
            and any(
                one["type"] == "Ready" and one["status"] == "True"
                for one in pod["status"].get("conditions", [])
            )
        ]

    def inventories(self) -> list[Object]:
        return [
            json.loads(config["data"]["inventory.json"])
            for config in self.items(
                f"/api/v1{_SPACE}/configmaps?labelSelector=helm-tidb.io%2Fdisk-exchange%3Dinventory"
            )
            if "inventory.json" in config.get("data", {})
        ]

    def disks(self) -> list[Object]:
        """TidbVolumes."""
        return self.items("/apis/helm-tidb.io/v1/tidbvolumes")

    def volumes(self) -> list[Object]:
        return [
            pv
            for pv in self.items("/api/v1/persistentvolumes")
            if pv["metadata"]["name"].startswith("tv-")
        ]

    def claims(self) -> list[Object]:
        return self.items(f"/api/v1{_SPACE}/persistentvolumeclaims")

    def node_ready(self, name: str) -> bool | None:
        return self._api.node_ready(name)

    def node_address(self, name: str) -> str:
        node = self._api.get(f"/api/v1/nodes/{name}")
        return next(
            str(one["address"])
            for one in node["status"]["addresses"]
            if one["type"] == "InternalIP"
        )

    def sql_port(self) -> int:
        """The Service's NodePort; 0 before it is there."""
        for service in self.items(f"/api/v1{_SPACE}/services"):
            if service["metadata"]["name"] == f"{NAME}-tidb":
                return next(
                    int(one["nodePort"]) for one in service["spec"]["ports"] if one["name"] == "sql"
                )
        return 0

    def from_pd(self, path: str) -> Any:
        """PD's answer through the API server's proxy; None when there is none."""
        service = f"/api/v1{_SPACE}/services/http:{NAME}-pd:2379/proxy"
        try:
            status, body = self._api.request("GET", service + path)
        except OSError:
            return None
        if status != 200:
            return None
        # PD calls its lists of regions plain text.
        return json.loads(body) if isinstance(body, str) else body
