"""A PD in memory as far as failover's calls reach, and faults on any of them.

Not a stand-in: it knows stores, members, one set of regions, and nothing by itself; what a real PD answers
where is held by tests/contract and tests/unit/pd. Time is the test's: heartbeats are as fresh as the clock says.
"""

from __future__ import annotations

import enum
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hooks.pd import Request, Response, TransportError
from tests.faults.faulty import CrashedError

CLUSTER = 7710175945323556207
BEAT = 10.0
MISSED = 600.0  # max-peer-down-duration: seconds until a region lists a peer that does not answer


class PdFault(enum.Enum):
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after it was done"
    SILENCE = "no answer"
    SILENCE_AFTER = "done, and no answer"
    NO_LEADER = "500 redirect failed"
    PAGE = "200 with a page of HTML"
    NONSENSE = "200 with a field of another type"


@dataclass
class SmallPd:
    """`now` is the test's clock, in seconds. `stores`: id → {address, alive, kind, last, regions}."""

    now: float = 1795176000.0
    stores: dict[int, dict[str, Any]] = field(default_factory=dict)
    members: dict[int, dict[str, Any]] = field(default_factory=dict)
    leader: int = 0
    max_replicas: int = 3
    writes: Counter[str] = field(default_factory=Counter)
    faults: dict[int, PdFault] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    evicting: set[int] = field(default_factory=set)
    """Stores whose leaders are kept away."""

    def send(self, request: Request) -> Response:
        number = len(self.calls)
        path = "/" + request.url.split("/", 3)[3]
        self.calls.append(f"{request.method} {path}")
        fault = self.faults.get(number)
        if fault is PdFault.CRASH_BEFORE:
            raise CrashedError(f"before PD call {number}: {path}")
        if fault is PdFault.SILENCE:
            raise TransportError("timed out")
        if fault is PdFault.NO_LEADER:
            return text(500, "[PD:apiutil:ErrRedirect]redirect failed\n")
        if fault is PdFault.PAGE:
            return text(200, "<html>Please sign in</html>")
        status, body = self.answer(request.method, path)
        if fault is PdFault.CRASH_AFTER:
            raise CrashedError(f"after PD call {number}: {path}")
        if fault is PdFault.SILENCE_AFTER:
            raise TransportError("timed out")
        if fault is PdFault.NONSENSE:
            body = {"stores": "many", "members": 3, "count": "x", "leader": [], "header": None}
        return text(status, json.dumps(body))

    # --- The world's moves ------------------------------------------------------------------------

    def beat(self) -> None:
        """Every live process has just sent its heartbeat."""
        for store in self.stores.values():
            if store["alive"] and store["kind"] in ("live", "offline"):
                store["last"] = self.now

    def settle(self) -> None:
        """Regions move where they can; a retired store without any is a Tombstone."""
        up = [i for i, s in self.stores.items() if s["alive"] and s["kind"] == "live"]
        for store in self.stores.values():
            if store["kind"] in ("offline", "destroyed") and len(up) >= self.max_replicas:
                store["kind"] = "tombstone"

    # --- Answers ----------------------------------------------------------------------------------

    def answer(self, method: str, path: str) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        word = path.removeprefix("/pd/api/v1/").removeprefix("/pd/api/v2/")
        if method == "DELETE":
            return self.delete(word, force="force" in query)
        rows = [self.row(i) for i in sorted(self.stores)]
        answers: dict[str, Any] = {
            "members": self.membership(),
            "leader": self.member(self.leader),
            "health": [
                {"name": m["name"], "member_id": i, "health": m["alive"]}
                for i, m in self.members.items()
            ],
            "stores/check": {"count": len(rows), "stores": rows},
            "config/replicate": {"max-replicas": self.max_replicas},
        }
        if self.evicting:
            ranges: dict[str, Any] = {str(store): [] for store in self.evicting}
            answers["scheduler-config/evict-leader-scheduler/list"] = {"store-id-ranges": ranges}
        if word in answers:
            return 200, answers[word]
        if word.startswith(("regions/check/", "regions/store/")):
            dead = [
                i
                for i, s in self.stores.items()
                if not s["alive"] and s["kind"] != "tombstone" and self.now - s["last"] > MISSED
            ]
            region = {
                "id": 2,
                "peers": [
                    {"role_name": "Learner" if s["peer"] == "learner" else "Voter", "store_id": i}
                    for i, s in self.stores.items()
                    if s["peer"]
                ],
                "down_peers": [{"peer": {"store_id": i}, "down_seconds": 99} for i in dead],
            }
            on = [str(i) for i, s in self.stores.items() if s["peer"]]
            missed = dead and word.endswith("down-peer")
            listed = [region] if missed or word.removeprefix("regions/store/") in on else []
            return 200, {"count": len(listed), "regions": listed}
        return 404, "not found"

    def delete(self, word: str, *, force: bool) -> tuple[int, Any]:
        if word == "stores/remove-tombstone":
            self.writes["tombstones removed"] += 1
            self.stores = {i: s for i, s in self.stores.items() if s["kind"] != "tombstone"}
            return 200, "Remove tombstone successfully."
        if word.startswith("schedulers/evict-leader-scheduler-"):
            store_id = int(word.rpartition("-")[2])
            if store_id not in self.evicting:
                return 404, None
            self.evicting.remove(store_id)
            self.writes[f"store {store_id} may lead"] += 1
            return 200, None
        kind, _, number = word.rpartition("/")
        if kind == "store" and int(number) in self.stores:
            store = self.stores[int(number)]
            if store["kind"] == "tombstone":
                return 410, f"[PD:core:ErrStoreRemoved]store {number} has been removed"
            if (
                not force
                and sum(s["kind"] == "live" for s in self.stores.values()) - 1 < self.max_replicas
            ):
                return 400, f"[PD:core:ErrStoresNotEnough]can not remove store {number}"
            after = "destroyed" if force else "offline"
            if store["kind"] != after:
                self.writes[f"store {number} {after}"] += 1
            store["kind"] = after
            return 200, "The store is set as Offline."
        if kind == "members/id" and int(number) in self.members:
            self.members.pop(int(number))
            self.writes[f"member {number} removed"] += 1
            return 200, f"removed, pd: {number}"
        if kind == "members/id":
            return 500, "[PD:etcd:ErrEtcdMemberRemove]etcdserver: member not found"
        return 404, f"[PD:core:ErrStoreNotFound]store {number} not found"

    def row(self, store_id: int) -> dict[str, Any]:
        store = self.stores[store_id]
        silence = self.now - store["last"]
        state = "Down" if silence > 1800 else "Disconnected" if silence > 20 else "Up"
        state = {"live": state, "tombstone": "Tombstone"}.get(store["kind"], "Offline")
        meta = {"id": store_id, "address": store["address"], "state_name": state}
        if store["kind"] == "destroyed":
            meta["physically_destroyed"] = True
        status = {
            "capacity": "100GiB",
            "region_count": 3,
            "leader_count": 1,
            "last_heartbeat_ts": stamp(store["last"]),
        }
        return {"store": meta, "status": status}

    def membership(self) -> dict[str, Any]:
        return {
            "header": {"cluster_id": CLUSTER},
            "members": [self.member(i) for i in self.members],
            "leader": self.member(self.leader),
        }

    def member(self, member_id: int) -> dict[str, Any]:
        name = self.members[member_id]["name"]
        return {
            "name": name,
            "member_id": member_id,
            "peer_urls": [f"http://{name}.basic-pd-peer.db.svc:2380"],
            "client_urls": [f"http://{name}.basic-pd-peer.db.svc:2379"],
        }


def stamp(seconds: float) -> str:
    from datetime import UTC, datetime

    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )


def text(status: int, body: str) -> Response:
    return Response(status, iter([body.encode()]))
