"""PD's own members: one dies, is deleted, joins; half-joined; the leader dies; quorum is lost; a member freezes."""

from __future__ import annotations

import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from tests.contract import captures
from tests.contract.compare import Names
from tests.contract.programs import Program, wait_until
from tests.contract.story import Story

JOINED_AGO = (
    6.0  # seconds after which etcd trusts a member's connection (its health interval is 5 s)
)


class Members(Story):
    """In the captures pd-1 leads, pd-2 is the one that dies and joins, pd-0 the other follower."""

    def tell(self) -> None:
        self.world.start_pds(3)
        self.start_stores("tikv-0", "tikv-1", "tikv-2")
        self.pace(2000)
        self.world.wait_until_whole()
        self.leader = self.world.leader()
        self.victim, self.other = (n for n in self.world.pds if n != self.leader)
        self.names = Names({}, {"pd-1": self.leader, "pd-2": self.victim, "pd-0": self.other})
        self.killed()
        self.rejoins_refused()
        self.deleted_and_joined()
        self.old_data()
        self.deleted_while_running()
        self.half_joined()
        self.leader_killed()

    def see_seen(self, *names: str) -> None:
        """Ask the member that plays the capture's one."""
        for name in names:
            asked = captures.load(name)["asked"]
            member = {"leader": self.leader, "follower": self.other}.get(asked)
            self.see(name, of=member or self.names.words[asked])

    def join(self) -> Program:
        self.world.pds[self.victim] = self.world.pd(self.victim, join=True)
        return self.world.pds[self.victim]

    def wait_healthy(self, count: int) -> None:
        def all_well() -> bool:
            answer = self.world.ask("/pd/api/v1/health", of=self.leader)
            return answer.status == 200 and [m["health"] for m in answer.body] == [True] * count

        wait_until(f"{count} healthy members", all_well)

    def killed(self) -> None:
        self.world.pds[self.victim].kill()
        self.see_seen("pd-one-killed-health-first")
        self.see_seen(
            *(
                n
                for n in captures.names()
                if n.startswith("pd-one-killed-") and n != "pd-one-killed-health-first"
            )
        )
        self.see_seen("pd-member-delete-unknown", "pd-member-delete-healthy-while-one-dead")

    def rejoins_refused(self) -> None:
        """An empty disk while the name is still listed: both ways to start are refused."""
        self.world.pds[self.victim].wipe()
        self.starts(
            "pd-rejoin-empty-disk-join-while-listed",
            self.join(),
            "missing data or join a duplicated pd",
        )
        self.see_seen("pd-after-refused-join-members")
        self.world.pds[self.victim].wipe()
        again = self.world.pd(self.victim)
        self.starts(
            "pd-rejoin-empty-disk-initial-cluster-while-listed",
            again,
            "has already been bootstrapped",
        )
        self.see_seen("pd-after-empty-initial-cluster-members")
        self.see_seen("pd-after-empty-initial-cluster-health")
        again.wipe()

    def deleted_and_joined(self) -> None:
        self.see_seen("pd-member-delete")
        self.wait_healthy(2)
        self.see_seen(
            "pd-two-members-health",
            "pd-two-members-members",
            "pd-member-delete-again",
            "pd-member-delete-id-bad",
            "pd-member-delete-id-unknown",
        )
        program = self.join().start()

        def listed() -> bool:
            members = self.world.ask("/pd/api/v1/members", of=self.leader).body["members"]
            return any(m.get("name") == self.victim for m in members)

        wait_until("the new member to be listed by name", listed, pause=0.01)
        # At once: etcd refuses as long as it has not been connected to all members for five seconds.
        self.see_seen("pd-member-delete-right-after-join")
        self.wait_healthy(3)
        self.found["pd-join-after-delete"] = [] if program.running else [program.output()[-500:]]
        self.see_seen("pd-after-join-health", "pd-after-join-members")
        self.joined = time.monotonic()

    def old_data(self) -> None:
        """Deleted while dead, then started with the disk it had: it does not end, and answers nothing."""
        self.wait_trusted()
        self.world.pds[self.victim].kill()
        self.see_seen("pd-member-delete-2")
        self.starts(
            "pd-start-old-data-after-delete",
            self.join(),
            "data-dir used by this member must be removed",
        )
        self.see_at_once(
            *(n for n in captures.names() if n.startswith("pd-old-data-after-delete-")),
            of=self.victim,
        )
        self.world.pds[self.victim].kill()
        self.world.pds[self.victim].wipe()

    def wait_trusted(self) -> None:
        """etcd's five seconds since the last join; it shows them nowhere, so they are waited for."""
        time.sleep(max(0.0, self.joined + JOINED_AGO - time.monotonic()))

    def deleted_while_running(self) -> None:
        self.starts("pd-join-again-after-wipe", self.join())
        self.wait_healthy(3)
        self.joined = time.monotonic()
        self.wait_trusted()
        self.see_seen("pd-member-delete-running")
        program = self.world.pds[self.victim]
        self.see(
            *(n for n in captures.names() if n.startswith("pd-running-deleted-asked-itself-")),
            of=self.victim,
            until=3,
        )
        # Watched for 30 s in the capture; what would end it has ended by now: its etcd has left.
        wait_until("its log to say so", lambda: "removed" in program.output(), 10)
        ended = [] if program.running else [f"it ended with {program.exit_code}"]
        self.found["pd-running-member-deleted"] = ended
        program.kill()
        program.wipe()

    def half_joined(self) -> None:
        """Added to the list, and dead before it came up: its peer port is taken, so it cannot come up."""
        self.starts("pd-join-third-time", self.join())
        self.wait_healthy(3)
        self.joined = time.monotonic()
        self.wait_trusted()
        self.world.pds[self.victim].kill()
        self.world.ask(f"/pd/api/v1/members/name/{self.victim}", "DELETE", of=self.leader)
        self.world.pds[self.victim].wipe()
        host, port = self.world.peer_url(self.victim).removeprefix("http://").split(":")
        with socket.create_server((host, int(port))):
            program = self.join()
            program.start()
            assert program.wait() == 1, program.output()
        program.wipe()
        self.see_seen("pd-half-joined-members", "pd-half-joined-health")
        self.starts("pd-join-while-half-joined", self.join(), "that has not joined successfully")
        self.see_seen("pd-half-joined-delete-by-name")
        members = self.world.ask("/pd/api/v1/members", of=self.leader).body["members"]
        nameless = next(m["member_id"] for m in members if "name" not in m)
        self.names = Names({6658744741270611368: nameless}, self.names.words)
        self.see_seen("pd-half-joined-delete-by-id")
        self.starts(
            "pd-join-after-half-joined-deleted", self.join(), "etcdserver: member not found"
        )
        self.starts("pd-join-after-half-joined-deleted-retry-1", self.join())
        self.wait_healthy(3)
        self.see_seen("pd-after-half-joined-repair-members")

    def leader_killed(self) -> None:
        self.world.pds[self.leader].kill()
        # Either of the two may win; in the capture it is pd-2.
        new = self.world.wait_for_leader(other_than=self.leader)
        third = next(n for n in self.world.pds if n not in (new, self.leader))
        self.names = Names({}, {"pd-1": self.leader, "pd-2": new, "pd-0": third})
        self.see("pd-leader-killed-health", "pd-leader-killed-members", of=third)


class QuorumLoss(Story):
    """First the leader and a follower die, then both followers."""

    def tell(self) -> None:
        self.world.start_pds(3)
        self.start_stores("tikv-0", "tikv-1", "tikv-2")
        self.names = Names({1: self.world.id_of("tikv-0")}, {})
        self.wait_served(3)
        self.pace(2000)
        self.world.wait_until_whole()
        self.no_leader()
        for program in self.world.pds.values():
            if not program.running:
                program.start()
        self.world.wait_for_leader()
        for tikv in self.world.tikvs:
            self.wait_up(tikv)
        self.leader_left()

    def no_leader(self) -> None:
        leader = self.world.leader()
        survivor, second = (n for n in self.world.pds if n != leader)
        self.names = Names(self.names.ids, {"pd-2": leader, "pd-0": survivor, "pd-1": second})
        for name in (second, leader):
            self.world.pds[name].kill()
        self.see("no-leader-just-now-leader", "no-leader-just-now-stores", of=survivor)
        rest = [n for n in captures.names() if n.startswith("no-leader-") and "just-now" not in n]
        self.see(*rest, of=survivor)
        self.without_quorum(survivor, second)

    def without_quorum(self, survivor: str, second: str) -> None:
        """An emptied member cannot join a group that has no quorum: its name is still listed."""
        disk, kept = self.world.folder / second, self.world.folder / f"{second}.kept"
        shutil.move(disk, kept)
        program = self.world.pd(second, join=True)
        assert f"--join={self.world.pd_url(survivor)}" in program.arguments
        self.starts("pd-join-without-quorum", program, "missing data or join a duplicated pd")
        program.wipe()
        shutil.move(kept, disk)

    def leader_left(self) -> None:
        leader = self.world.leader()
        one, two = (n for n in self.world.pds if n != leader)
        self.names = Names(self.names.ids, {"pd-0": leader, "pd-1": one, "pd-2": two})
        for name in (one, two):
            self.world.pds[name].kill()
        with ThreadPoolExecutor(1) as pool:
            write = pool.submit(self.see, "quorum-just-lost-config-post", of=leader)
            self.see("quorum-just-lost-stores", of=leader)
            wait_until(
                "the former leader's lease to end",
                lambda: self.world.ask("/pd/api/v1/leader", of=leader).status == 503,
            )
            self.see_at_once(
                "quorum-just-lost-store-label",
                *(n for n in captures.names() if n.startswith("no-quorum-leader-left-")),
                of=leader,
            )
            write.result()


class Frozen(Story):
    """A member whose address accepts connections and answers nothing, like a node behind a lost network."""

    def tell(self) -> None:
        self.world.start_pds(3)
        self.start_stores("tikv-0", "tikv-1", "tikv-2")
        self.wait_served(3)
        self.pace(2000)
        self.world.wait_until_whole()
        leader = self.world.leader()
        frozen, other = (n for n in self.world.pds if n != leader)
        self.names = Names({}, {"pd-2": leader, "pd-1": frozen, "pd-0": other})
        with self.frozen(self.world.pds[frozen]):
            self.see(
                "pd-one-frozen-health", "pd-one-frozen-members", "pd-one-frozen-stores", of=leader
            )
        wait_until("three healthy members", lambda: self.world.healthy_members() == 3)
        with self.frozen(self.world.pds[leader]):
            self.see("pd-leader-frozen-stores", of=other)
            wait_until(
                "a new leader", lambda: self._leader_by(other, frozen) not in ("", leader), 60
            )
            self.see("pd-leader-frozen-health", of=other)
        self.see("pd-old-leader-back-leader", of=leader)
        # Until the stores have found the new leader they read Disconnected, as after every change of leader.
        self.see("pd-old-leader-back-stores", of=leader, until=10)

    def _leader_by(self, *members: str) -> str:
        for name in members:
            answer = self.world.ask("/pd/api/v1/leader", of=name, seconds=2)
            if answer.status == 200:
                return str(answer.body["name"])
        return ""
