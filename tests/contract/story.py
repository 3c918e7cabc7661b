"""A story brings a cluster into the captured situations one after the other, and notes how each answer differs.

It notes, and does not assert, so that every capture is a test of its own (`test_captures.py`) although the situations
cannot be had one by one in a reasonable time.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.contract import captures, door
from tests.contract.compare import Names, compare, masked, without_stats
from tests.contract.programs import Program, World, wait_until

SCALE = 6.0  # how much faster than a real cluster; a PD that does not read STANDIN_TIME_SCALE takes its real time
NEVER = 0.01  # peers a minute: after the first one, none while a story lasts (1000 s at SCALE)
CHECKS = ("down-peer", "extra-peer", "learner-peer", "miss-peer", "offline-peer", "pending-peer")
# The lab's settings (README of the captures), so that the answers can be the same.
LAB_TIKV = '[raftstore]\nmax-peer-down-duration = "10s"\n'
LAB_PD = "[schedule]\nmerge-schedule-limit = 0\n"
# Whether PD knew sizes at that moment was the lab's chance, and not what these are about: in the first its leader had
# just changed, in the second the new store's first heartbeat was half taken in (sizes known, its time still 1970).
STATS_BY_CHANCE = {"quorum-just-lost-stores", "stores-new-id-beside-tombstone"}
LABELS = {
    "tikv-0": "zone=z1,host=node-1",
    "tikv-1": "zone=z2,host=node-2",
    "tikv-2": "zone=z3,host=node-3",
    "tikv-3": "zone=z3,host=node-4",
}


class Story:
    """Subclasses tell it in `tell`; `found` has the differences of every capture that was seen."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, scale=SCALE, tikv_config=LAB_TIKV, pd_config=LAB_PD)
        self.found: dict[str, list[str]] = {}
        self.names = Names()

    def tell(self) -> None:
        raise NotImplementedError

    # -- looking -------------------------------------------------------------

    def see(self, *names: str, of: str = "", until: float = 0.0) -> None:
        """Send each capture's request, note the differences; with `until`, ask anew for so many seconds."""
        for name in names:
            give_up = time.monotonic() + until
            while (found := self._ask(name, of)) and time.monotonic() < give_up:
                time.sleep(0.02)
            self.found[name] = found

    def see_at_once(self, *names: str, of: str = "") -> None:
        """The same for answers that wait: all requests at the same time."""
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(lambda name: self.see(name, of=of), names))

    def see_checks(self, prefix: str, checks: Iterable[str] = CHECKS, until: float = 0.0) -> None:
        self.see(*(f"{prefix}-regions-{check}" for check in checks), until=until)

    def _ask(self, name: str, of: str) -> list[str]:
        capture = captures.load(name)
        request = capture["request"]
        # A capture without an answer waited for a minute; here three seconds are enough to call it none.
        seconds = 3.0 if capture["status"] == 0 else 20.0
        answer = self.world.ask(
            self.names.translate(request["path"]),
            request["method"],
            self._translate(request["body"]),
            of=of or self._asked(capture["asked"]),
            seconds=seconds,
        )
        if name in STATS_BY_CHANCE and answer.status == 200:
            capture = capture | {"body": without_stats(capture["body"])}
            answer = replace(answer, text=json.dumps(without_stats(answer.body)))
        return compare(capture, answer, self.names)

    def _translate(self, body: Any) -> Any:
        if isinstance(body, dict) and "store_id" in body:
            return body | {"store_id": self.names.ids.get(body["store_id"], body["store_id"])}
        return body

    def _asked(self, asked: str) -> str:
        """The captures' own words: "leader", "follower", or a member's name, which may be any that runs."""
        return self.world.follower() if "follower" in asked else self.world.leader()

    # -- registrations -------------------------------------------------------

    def registered(self, name: str, error: dict[str, Any] | None) -> None:
        """Compare the door's answer with a gRPC capture: its error's type, name and text."""
        wanted = captures.load(name)["grpc"]["error"]

        def plain(e: dict[str, Any] | None) -> Any:
            return e and (e["type"], e["type_name"], masked(self.names.translate(e["message"])))

        translated = plain(wanted)
        found = error and (error["type"], error["type_name"], masked(error["message"]))
        same = found == translated
        self.found[name] = [] if same else [f"{found!r} instead of {translated!r}"]

    def put_store(self, name: str, store_id: int, tikv: str, labels: str = "") -> None:
        if door.is_open():
            self.registered(name, door.put_store(self.world, store_id, tikv, labels))

    def heartbeat(self, name: str, store_id: int) -> None:
        if door.is_open():
            self.registered(name, door.heartbeat(self.world, store_id))

    # -- starts --------------------------------------------------------------

    def starts(self, name: str, program: Program, text: str = "") -> None:
        """A start: its exit code, or that it still runs after the captured wait, and the sentence in its log."""
        capture = captures.load(name)
        began = len(program.output()) if program.log.exists() else 0
        program.start()
        found = []
        if capture["exit_code"] is None:
            time.sleep(min(capture["seconds"], 2.0))
            until = time.monotonic() + 15
            while text not in program.output()[began:] and time.monotonic() < until:
                time.sleep(0.1)
            if not program.running:
                found.append(f"ended with {program.exit_code}, but it runs on in the capture")
        elif (code := program.wait()) != capture["exit_code"]:
            found.append(f"exit code {code} instead of {capture['exit_code']}")
        said = program.output()[began:]
        if masked(text) not in masked(said):
            found.append(f"its log does not say {text!r}: {said[-500:]}")
        captured = " ".join([*capture["output_tail"], *capture["log_problem_lines"]])
        if masked(text) not in masked(captured):
            found.append(f"the capture does not say {text!r}")
        self.found[name] = found

    # -- situations ----------------------------------------------------------

    def post_config(self, **items: Any) -> None:
        body = {key.replace("__", ".").replace("_", "-"): value for key, value in items.items()}
        answer = self.world.ask("/pd/api/v1/config", "POST", body, of=self.world.leader())
        assert answer.status == 200, answer

    def pace(self, rate: float) -> None:
        answer = self.world.ask(
            "/pd/api/v1/stores/limit", "POST", {"rate": rate}, of=self.world.leader()
        )
        assert answer.status == 200, answer

    def start_stores(self, *tikvs: str, labels: bool = False) -> None:
        """Start them and wait until each is Up."""
        for tikv in tikvs:
            self.world.start_tikv(tikv, LABELS[tikv] if labels else "")
        for tikv in tikvs:
            self.wait_up(tikv)

    def refused_identity(self, tikv: str, at: str) -> int:
        """The id of a TiKV with an empty disk that came up at the address of a registered store.

        It makes its identity, is refused and ends; the next start presents the same identity.
        """
        program = self.world.tikv(tikv, address_of=at)
        program.start()
        code = program.wait()
        said = re.findall(r"duplicated store address: id:(\d+)", program.output())
        assert code == 1, f"exit code {code}"
        assert said, program.output()
        return int(said[-1])

    def wait_up(self, tikv: str) -> int:
        """The id of the store at its address, once it is Up and has been heard."""
        address = self.world.tikv_address(tikv)

        def found() -> int:
            for s in self.world.stores():
                up = s["store"]["state_name"] == "Up" and s["status"]["capacity"] != "0B"
                if s["store"]["address"] == address and up:
                    return int(s["store"]["id"])
            return 0

        return int(wait_until(f"{tikv} Up", found, 60))

    def wait_served(self, count: int) -> None:
        """So many stores are Serving: PD has looked at them since their first heartbeat."""
        wait_until(
            f"{count} stores serving",
            lambda: sum(s["store"].get("node_state") == 1 for s in self.world.stores()) >= count,
        )

    def wait_heartbeats(self, seconds: float) -> None:
        """Wait until every store's last heartbeat is so many (scaled) seconds from now.

        PD writes the first one of its leader's term down and the next after five minutes: what a new
        leader reads is old then.
        """
        until = (time.time() + seconds / SCALE) * 1e9
        wait_until(
            "every store's heartbeat to be recent",
            lambda: all(s["store"].get("last_heartbeat", 0) > until for s in self.world.stores()),
        )

    @contextmanager
    def frozen(self, *programs: Program) -> Iterator[None]:
        """Programs that do nothing for a moment: a heartbeat that must not come in between is held back."""
        for program in programs:
            program.freeze()
        try:
            yield
        finally:
            for program in programs:
                program.thaw()

    def wait_regions(self, store_id: int, condition: Callable[[int], bool]) -> None:
        def met() -> bool:
            answer = self.world.ask(f"/pd/api/v1/store/{store_id}", of=self.world.leader())
            return answer.status == 200 and condition(answer.body["status"]["region_count"])

        wait_until(f"the wanted number of regions on store {store_id}", met, 60)
