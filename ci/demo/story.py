"""What the demo does, in its order. Each chapter says what a person would type, runs that, and waits for what follows.

The world is real but for one thing: Kubernetes, its nodes (Linux namespaces), their disks (loop devices), the chart and
every job are what a data centre would run; PD, TiKV and TiDB are stand-ins, unless DEMO_IMAGES=pingcap.
"""

from __future__ import annotations

import shlex
import subprocess

from ci.cluster import Cluster, faults
from ci.demo import release
from ci.demo.milestones import Milestone, NotReachedError, Object, World, reach
from ci.demo.release import NAME, NAMESPACE
from ci.demo.rows import Sql
from ci.demo.teller import Teller
from ci.demo.tools import CommandError, Shell

ROWS = 200
NODES = 4
_INSTALL_SECONDS = 180.0
# PD adds 15 copies a minute to a store.
_WHOLE_SECONDS = 240.0
_LOSS_SECONDS = 90.0
_REPLACE_SECONDS = 240.0
_RETURN_SECONDS = 120.0


class LostRowsError(Exception):
    """The one thing that must never happen."""


class Story:
    def __init__(self, cluster: Cluster, shell: Shell, teller: Teller) -> None:
        self.cluster = cluster
        self.shell = shell
        self.teller = teller
        self.world = World(cluster.api)
        self.client_node = cluster.nodes[0]

    def tell(self) -> None:
        self.install()
        self.write()
        lost = self.lose_a_node()
        self.explain()
        self.replace(lost)
        self.count()
        self.bring_back(lost)

    # --- chapters --------------------------------------------------------------------------------

    def install(self) -> None:
        self.teller.chapter("Install: from bare disks to a database")
        self.teller.command(shlex.join(release.shown()))
        helm = self.shell.start(*release.install_words())
        try:
            reach(self._to_sql(helm), _INSTALL_SECONDS, self.teller)
            said, _ = helm.communicate(timeout=60)
        finally:
            if helm.poll() is None:
                helm.kill()
        if helm.returncode:
            raise CommandError(f"helm install ended with {helm.returncode}:\n{said}")
        self.show("kubectl", "tidb", "disks")
        self.show("kubectl", "tidb", "status", "-n", NAMESPACE)

    def write(self) -> None:
        self.teller.chapter("Use it")
        sql = self.sql()
        sql.make_table()
        sql.write(0, ROWS)
        self.teller.happened(f"{ROWS} rows written through SQL at {sql.host}:{sql.port}")
        # Before that, a lost machine may take a region's majority along, and failover would refuse, rightly.
        whole = Milestone("three copies of every region", self._whole)
        reach([whole], _WHOLE_SECONDS, self.teller)

    def lose_a_node(self) -> str:
        victim, pods = self._victim()
        self.teller.chapter(
            f"Lose a machine: power off {victim} ({', '.join(pods)} and their disks with it)"
        )
        faults.kill_node(self.cluster, victim)
        self.teller.happened(f"{victim} is off")
        reach(
            [
                Milestone("Node NotReady", lambda: self._node_missed(victim)),
                Milestone("PD notices", lambda: self._pd_notices(pods)),
            ],
            _LOSS_SECONDS,
            self.teller,
        )  # fmt: skip
        return victim

    def explain(self) -> None:
        self.teller.chapter("Ask why, and what will happen")
        self.show("kubectl", "tidb", "doctor", "-n", NAMESPACE, codes=(3, 4))
        self.show("kubectl", "tidb", "plan", "failover", "-n", NAMESPACE, codes=(0, 3, 4))

    def replace(self, victim: str) -> None:
        self.teller.chapter(
            "Watch: nobody does anything, the failover job does (it looks once a minute)"
        )
        reach(
            [
                Milestone("a store elsewhere", lambda: self._all_elsewhere("tikv", victim)),
                Milestone("a member elsewhere", lambda: self._all_elsewhere("pd", victim)),
                Milestone("stores Up", lambda: self._stores_up()),
                Milestone("members healthy", lambda: self._members_healthy()),
            ],
            _REPLACE_SECONDS,
            self.teller,
        )
        self.show("kubectl", "tidb", "status", "-n", NAMESPACE, codes=(0, 3))

    def count(self) -> None:
        self.teller.chapter("Is anything lost?")
        sql = self.sql()
        missing = sql.missing(ROWS)
        if missing:
            raise LostRowsError(f"{len(missing)} of {ROWS} rows are gone: {', '.join(missing[:5])}")
        self.teller.happened(f"all {ROWS} rows are there, each with its value")
        sql.write(ROWS, ROWS)
        self.teller.happened(f"{ROWS} more rows written")
        if release.stand_ins():
            lost = self.world.from_pd("/standin/v1/lost")
            if lost != []:
                raise LostRowsError(f"the stand-ins' own loss detector says: {lost}")
            self.teller.happened(
                "the stand-ins' loss detector saw no region without a majority, at any moment"
            )

    def bring_back(self, victim: str) -> None:
        self.teller.chapter(f"The machine comes back: {victim} with its old disks")
        faults.start_node(self.cluster, victim)
        self.teller.happened(
            f"{victim} is Ready; its disks hold a store and a member that nobody needs any more"
        )
        reach(
            [Milestone("its disks cleared", lambda: self._cleared(victim)),
             Milestone("all pods", lambda: self._all_ready())],
            _RETURN_SECONDS,
            self.teller,
        )  # fmt: skip
        missing = self.sql().missing(2 * ROWS)
        if missing:
            raise LostRowsError(
                f"{len(missing)} of {2 * ROWS} rows are gone: {', '.join(missing[:5])}"
            )
        self.teller.happened(f"all {2 * ROWS} rows are there")
        self.show("kubectl", "tidb", "disks")
        self.show("kubectl", "tidb", "doctor", "-n", NAMESPACE, codes=(0, 3, 4))

    def show(self, *words: str, codes: tuple[int, ...] = (0,)) -> None:
        self.teller.command(shlex.join(words))
        self.teller.output(self.shell.run(*words, codes=codes))

    def sql(self) -> Sql:
        return Sql(self.world.node_address(self.client_node), self.world.sql_port())

    # --- what is waited for ----------------------------------------------------------------------

    def _to_sql(self, helm: subprocess.Popen[str]) -> list[Milestone]:
        world = self.world

        def helm_fails() -> None:
            if helm.poll():
                said, _ = helm.communicate()
                raise CommandError(f"helm install ended with {helm.returncode}:\n{said}")

        def agents() -> str:
            helm_fails()
            number = len(world.ready("disk-agent"))
            return f"{number} disk agents run, one a node" if number == NODES else ""

        def inventories() -> str:
            found = world.inventories()
            disks = sum(len(one["disks"]) for one in found)
            return (
                f"{disks} disks found, told in {len(found)} ConfigMaps"
                if len(found) == NODES
                else ""
            )

        def told(found: list[Object], enough: int, text: str) -> str:
            return f"{len(found)} {text}" if len(found) >= enough else ""

        def bound() -> str:
            done = [one for one in world.claims() if one["status"].get("phase") == "Bound"]
            return told(done, 6, "claims of PD and TiKV bound, each to a whole disk")

        def ready(component: str, number: int) -> str:
            return (
                f"{component}: {number} of {number} ready"
                if len(world.ready(component)) >= number
                else ""
            )

        def answers() -> str:
            port = world.sql_port()
            version = Sql(world.node_address(self.client_node), port).answers() if port else ""
            return f"SQL answers: {version}" if version else ""

        return [
            Milestone("disk agents", agents),
            Milestone("inventories", inventories),
            Milestone(
                "TidbVolumes", lambda: told(world.disks(), 2 * NODES, "TidbVolumes made of them")
            ),
            Milestone(
                "volumes", lambda: told(world.volumes(), 2 * NODES, "PersistentVolumes offered")
            ),
            Milestone("claims bound", bound),
            Milestone("PD", lambda: ready("pd", 3)),
            Milestone("TiKV", lambda: ready("tikv", 3)),
            Milestone("SQL", answers),
            Milestone("TiDB", lambda: ready("tidb", 2)),
        ]

    def _victim(self) -> tuple[str, list[str]]:
        """A node with a store and a member that doesn't lead PD, and not the one that our client talks to."""
        leader = ((self.world.from_pd("/pd/api/v1/leader")) or {}).get("name", "")
        homes: dict[str, list[str]] = {}
        for component in ("pd", "tikv"):
            for pod in self.world.pods(component):
                homes.setdefault(pod["spec"]["nodeName"], []).append(pod["metadata"]["name"])
        ranked = sorted(
            (node for node in homes if node != self.client_node),
            key=lambda node: (
                not any("tikv" in pod for pod in homes[node]),
                leader in homes[node],
                -len(homes[node]),
                node,
            ),
        )
        return ranked[0], sorted(homes[ranked[0]])

    def _node_missed(self, victim: str) -> str:
        # None, no answer, is no news of it.
        missed = self.world.node_ready(victim) is False
        return f"Kubernetes calls {victim} NotReady" if missed else ""

    def _whole(self) -> str:
        # A learner that is still without its data is no copy yet.
        checks = ("miss-peer", "pending-peer", "learner-peer")
        listed = (self.world.from_pd(f"/pd/api/v1/regions/check/{check}") for check in checks)
        whole = all(found is not None and not found["count"] for found in listed)
        return "PD has three copies of every region" if whole else ""

    def _pd_notices(self, pods: list[str]) -> str:
        for store in self._stores():
            name = store["store"]["address"].partition(".")[0]
            if name in pods and store["store"]["state_name"] in ("Disconnected", "Down"):
                return f"PD calls {name}'s store {store['store']['state_name']}"
        return ""

    def _stores(self) -> list[Object]:
        found: list[Object] = (self.world.from_pd("/pd/api/v1/stores") or {}).get("stores", [])
        return found

    def _all_elsewhere(self, component: str, victim: str) -> str:
        """All pods of the component have a node, and none is the lost one."""
        pods = [p for p in self.world.pods(component) if not p["metadata"].get("deletionTimestamp")]
        homes = {p["metadata"]["name"]: p["spec"].get("nodeName", "") for p in pods}
        if len(homes) < 3 or "" in homes.values() or victim in homes.values():
            return ""
        return f"every {component} pod has a disk on another node: " + ", ".join(
            f"{k} on {v}" for k, v in sorted(homes.items())
        )

    def _stores_up(self) -> str:
        up = [s for s in self._stores() if s["store"]["state_name"] == "Up"]
        ready = len(self.world.ready("tikv"))
        return "3 stores are Up, one with a new id" if len(up) == 3 and ready == 3 else ""

    def _members_healthy(self) -> str:
        health = self.world.from_pd("/pd/api/v1/health") or []
        good = [one for one in health if one.get("health")]
        return (
            "3 PD members are healthy"
            if len(good) == 3 == len(health) and len(self.world.ready("pd")) == 3
            else ""
        )

    def _cleared(self, victim: str) -> str:
        disks = [one for one in self.world.disks() if one.get("status", {}).get("node") == victim]
        free = [one for one in disks if one["status"]["phase"] == "Available"]
        if not disks or len(free) < len(disks):
            return ""
        return (
            f"{len(free)} disks of {victim} are cleared and offered again, under a new generation"
        )

    def _all_ready(self) -> str:
        numbers = {"pd": 3, "tikv": 3, "tidb": 2}
        return (
            "all pods are ready"
            if all(len(self.world.ready(c)) == n for c, n in numbers.items())
            else ""
        )


__all__ = ["NAME", "LostRowsError", "NotReachedError", "Story"]
