"""A former PD leader can answer from memory and change nothing: every write holds only under the leader key it won."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.standin.clock import Clock
from tests.standin.cluster import Cluster, LeadershipLostError
from tests.standin.conftest import MakeWorld
from tests.standin.etcd import Etcd
from tests.standin.model import Store

KEY = "/test/leader"


def test_a_write_after_the_term_is_refused(make_world: MakeWorld) -> None:
    world = make_world()
    world.start_pds(1)
    asyncio.run(_two_terms(next(iter((world.folder / "pd-0").glob("etcd.sock*")))))


async def _two_terms(socket: Path) -> None:
    etcd = Etcd(str(socket))
    try:
        won = await etcd.create(KEY, "first")
        assert won is not None
        assert await etcd.create(KEY, "second") is None
        former = Cluster(etcd, Clock(), lambda: (KEY, won))
        await former.put_store(Store(1, "tikv-0:20160"))
        assert await former.allocate() != await former.allocate()
        await etcd.delete(KEY)
        again = await etcd.create(KEY, "second")
        assert again is not None
        leader = Cluster(etcd, Clock(), lambda: (KEY, again))
        with pytest.raises(LeadershipLostError):
            await former.put_store(Store(2, "tikv-1:20160"))
        await leader.load(followed=False)
        assert list(leader.stores) == [1]
    finally:
        await etcd.close()


def test_ids_are_never_given_twice(make_world: MakeWorld) -> None:
    """Also when many ask at once: two stores with one id were two disks under one name."""
    world = make_world()
    world.start_pds(1)
    asyncio.run(_many(next(iter((world.folder / "pd-0").glob("etcd.sock*")))))


async def _many(socket: Path) -> None:
    etcd = Etcd(str(socket))
    try:
        won = await etcd.create(KEY, "leader")
        assert won is not None
        cluster = Cluster(etcd, Clock(), lambda: (KEY, won))
        ids = await asyncio.gather(*(cluster.allocate() for _ in range(250)))
        await cluster.load(followed=False)
        ids += [await cluster.allocate()]
        assert len(set(ids)) == 251
    finally:
        await etcd.close()
