"""Who leads PD: a key under a lease in etcd, campaigned for only by etcd's own leader, as in PD's `member.go`.

What the captures show follows from this: a follower keeps forwarding to a dead leader until the lease runs out; a
former leader without quorum answers from memory until its lease is over; one that was frozen answers for a moment
after it thaws, because a loop looks at the lease, not each request.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.standin.clock import Clock
from tests.standin.etcd import Etcd, EtcdError
from tests.standin.program import say

LEADER_KEY = "/pd/leader"
POLL = 0.15  # seconds; PD watches the key, a poll is slower by this much
# How long a follower without quorum believes in the leader it knew last: 65 s measured, then 503 after 3 s.
BELIEF = 65.0
STALE_SECONDS = 0.5


@dataclass(frozen=True)
class Leader:
    name: str
    member_id: int
    client_url: str


class Leadership:
    """This member's view of the leader, and its own term if it leads.

    `take_office(first_term)` runs after the key is won and before anybody is told; when it fails the term ends.
    """

    def __init__(
        self, etcd: Etcd, own: Leader, clock: Clock, take_office: Callable[[], Awaitable[None]]
    ) -> None:
        self.known: Leader | None = None
        self.serving = False
        self.revision = 0  # of the leader key: the guard of every write of this term
        self.followed = False  # has this process known another leader: then it was fed with regions
        self._etcd = etcd
        self._own = own
        self._clock = clock
        self._take_office = take_office
        self._lease: str | None = None

    @property
    def guard(self) -> tuple[str, int]:
        return (LEADER_KEY, self.revision)

    async def run(self) -> None:
        last_seen = time.monotonic()
        while True:
            try:
                holder = await self._etcd.get(LEADER_KEY, seconds=2)
                last_seen = time.monotonic()
                self.known = Leader(**json.loads(holder[0])) if holder else None
                if holder and self.known and self.known.member_id == self._own.member_id:
                    # A key of an earlier life of this process: it would block everyone until its lease ends.
                    await self._etcd.delete(LEADER_KEY)
                elif holder:
                    self.followed = True
                elif await self._leads_etcd():
                    await self._campaign()
            except EtcdError:
                if time.monotonic() - last_seen > self._clock.wait(BELIEF):
                    self.known = None
            await asyncio.sleep(POLL)

    async def resign(self) -> None:
        """Give the key back at once (etcd's leadership has moved)."""
        self.serving = False
        if self._lease:
            try:
                await self._etcd.revoke(self._lease)
            except EtcdError as problem:
                say(f"[WARN] pd-server: the leader lease was not revoked: {problem}")

    async def _leads_etcd(self) -> bool:
        status = await self._etcd.status()
        return status.leader == status.member_id

    async def _campaign(self) -> None:
        self._lease = await self._etcd.grant(self._clock.lease)
        value = json.dumps(self._own.__dict__)
        revision = await self._etcd.create(LEADER_KEY, value, self._lease)
        if revision is None:
            return
        self.revision = revision
        try:
            await self._take_office()
        except EtcdError as problem:
            say(f"[WARN] pd-server: won the leader key and could not load the cluster: {problem}")
            await self.resign()
            return
        self.known, self.serving = self._own, True
        say(f"[INFO] pd-server: {self._own.name} is ready to serve as the PD leader")
        await self._hold(self._lease)
        # PD's loops learn of it one after the other: a thawed leader still answered as leader 0.2 s later.
        # Nothing is written in this time: the key's revision guards every write.
        await asyncio.sleep(STALE_SECONDS if self.serving else 0)
        self.serving, self.known = False, None
        say(f"[INFO] pd-server: {self._own.name} is no longer the PD leader")

    async def _hold(self, lease: str) -> None:
        """Keep the lease until it is lost or etcd has another leader."""
        expires = time.monotonic() + self._clock.lease
        while self.serving:
            asked = time.monotonic()
            try:
                if not await self._etcd.keep_alive(lease, seconds=max(0.1, expires - asked)):
                    return
                expires = asked + self._clock.lease
                status = await self._etcd.status()
                if status.leader and status.leader != status.member_id:
                    await self.resign()
                    return
            except EtcdError:
                pass
            # After the request, not before: a thawed process serves until it has looked.
            if time.monotonic() >= expires:
                return
            await asyncio.sleep(POLL)
