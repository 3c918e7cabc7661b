"""No acknowledged row is lost: 3 PD, 4 TiKV, 1 TiDB as processes, killed, wiped and replaced at random under writes.

The failover that a job would do is done here by hand through PD's HTTP API, by its own rules: one store at a time,
only when every region is whole, its disk wiped only after PD was told. And the other way round: a majority that is
destroyed on purpose is recorded as lost for ever, and the check that ends every such test fails.
"""

from __future__ import annotations

import os
import random
import time

import pymysql
import pytest

from tests.clients import Ledger, everything, wait_ready, writing
from tests.contract.programs import World, wait_until
from tests.standin.conftest import MakeWorld

SOAK = os.environ.get("HELM_TIDB_SOAK") == "1"
KILLS = 500 if SOAK else 50
SEED = int(os.environ.get("HELM_TIDB_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


def lost(world: World) -> list[dict[str, object]]:
    """The regions that are recorded as lost."""
    answer = wait_until(
        "PD to tell what is lost",
        lambda: (
            (a := world.ask("/standin/v1/lost", of=world.leader() or "pd-0")).status == 200 and a
        ),
        60,
    )
    return list(answer.body)


def check_nothing_lost(world: World, ledger: Ledger) -> None:
    """What every test that destroyed something ends with: no region recorded, every acknowledged row there."""
    losses = lost(world)
    assert not losses, f"{len(losses)} regions are lost for ever: {losses[0]}"
    missing = ledger.missing(everything(world))
    assert not missing, f"{len(missing)} acknowledged rows are missing: {missing[:5]}"


def start(world: World, stores: int = 4) -> None:
    world.start_pds(3)
    for i in range(stores):
        world.start_tikv(f"tikv-{i}")
    world.start_tidb()
    wait_ready(world)
    world.ask("/pd/api/v1/stores/limit", "POST", {"rate": 2000}, of=world.leader())
    world.wait_until_whole()


def whole(world: World) -> bool:
    checks = ("miss-peer", "extra-peer", "down-peer", "pending-peer", "learner-peer")
    return bool(world.leader()) and all(world.region_count(c) == 0 for c in checks)


def all_up(world: World) -> bool:
    states = [s for s in world.states().values() if s != "Tombstone"]
    return len(states) == len(world.tikvs) and set(states) == {"Up"}


def replace_store(world: World, tikv: str) -> None:
    """A node is lost with its disk: told to PD by force, wiped, started again as a new store at the same address."""
    old = world.id_of(tikv)
    world.tikvs[tikv].kill()
    answer = world.ask(f"/pd/api/v1/store/{old}?force=true", "DELETE", of=world.wait_for_leader())
    assert answer.status == 200, answer
    world.tikvs[tikv].wipe()
    world.tikvs[tikv].start()
    world.wait_for_state(old, "Tombstone", 120)


def replace_member(world: World, pd: str) -> None:
    """A member is lost with its disk: deleted, wiped, joins again."""
    world.pds[pd].kill()
    world.wait_for_leader()

    def deleted() -> bool:
        path = f"/pd/api/v1/members/name/{pd}"
        return world.ask(path, "DELETE", of=world.leader() or "pd-0").status in (200, 404)

    wait_until(f"{pd} deleted", deleted, 60, pause=0.5)
    world.pds[pd].wipe()
    program = world.start_pd(pd, join=True)

    def joined() -> bool:
        if not program.running:
            program.start()  # as a kubelet does: etcd may refuse a change so soon after another
        answer = world.ask("/pd/api/v1/health", of=world.leader() or pd, seconds=5)
        return answer.status == 200 and [m["health"] for m in answer.body] == [True] * 3

    wait_until(f"{pd} joined", joined, 60, pause=0.2)


def test_fifty_kills_lose_no_acknowledged_write(make_world: MakeWorld) -> None:
    """kill -9 of any process at any moment, now and then with its disk, while four clients write."""
    print(f"HELM_TIDB_SEED={SEED}")
    chance = random.Random(SEED)
    world = make_world(scale=10.0)
    start(world)
    replaced = {"tikv": 0, "pd": 0}
    with writing(world) as ledger:
        for number in range(KILLS):
            before = ledger.count
            if number % 10 == 9:
                # Only from a whole cluster, as every job must: then one disk may go.
                wait_until("a whole cluster", lambda: all_up(world) and whole(world), 120)
                kind = chance.choice(["tikv", "tikv", "pd"])
                if kind == "tikv":
                    replace_store(world, chance.choice(sorted(world.tikvs)))
                else:
                    replace_member(world, chance.choice(sorted(world.pds)))
                replaced[kind] += 1
            else:
                victims = chance.choice(
                    ["one store", "one store", "one member", "the tidb", "two stores"]
                )
                kill(world, chance, victims)
            wait_until("writes go on", lambda b=before: ledger.count > b + 20, 60)  # type: ignore[misc]
    wait_until("a whole cluster", lambda: all_up(world) and whole(world), 120)
    check_nothing_lost(world, ledger)
    assert ledger.count > 20 * KILLS
    print(f"{ledger.count} acknowledged writes, {KILLS} kills, replaced: {replaced}")


def kill(world: World, chance: random.Random, victims: str) -> None:
    """kill -9 after a random moment, and start the same again, with its disk, after another."""
    group = {
        "one store": chance.sample(sorted(world.tikvs), 1),
        "two stores": chance.sample(sorted(world.tikvs), 2),
        "one member": chance.sample(sorted(world.pds), 1),
        "the tidb": ["tidb-0"],
    }[victims]
    programs = [(world.tikvs | world.pds | world.tidbs)[name] for name in group]
    time.sleep(chance.uniform(0, 0.2))  # the moment itself is what is random
    for program in programs:
        program.kill()
    time.sleep(chance.uniform(0, 0.5))
    for program in programs:
        program.start()


def test_a_destroyed_majority_is_recorded_for_ever(make_world: MakeWorld) -> None:
    """The detector works: the check that ends the test above fails, and neither fresh stores nor a new leader help."""
    world = make_world(scale=10.0)
    start(world, stores=3)
    with writing(world) as ledger:
        wait_until("some writes", lambda: ledger.count > 200)
    check_nothing_lost(world, ledger)
    for tikv in ("tikv-0", "tikv-1"):
        old = world.id_of(tikv)
        world.tikvs[tikv].kill()
        world.ask(f"/pd/api/v1/store/{old}?force=true", "DELETE", of=world.leader())
        world.tikvs[tikv].wipe()
    with pytest.raises(AssertionError, match="20 regions are lost for ever"):
        check_nothing_lost(world, ledger)
    found = lost(world)
    assert {item["kind"] for item in found} == {"majority"}
    assert "physically_destroyed" in str(found[0]["voters"])
    for tikv in ("tikv-0", "tikv-1"):
        world.tikvs[tikv].start()
    leader = world.leader()
    world.pds[leader].kill()
    world.wait_for_leader(other_than=leader)
    assert len(lost(world)) == 20
    with pytest.raises(pymysql.MySQLError, match="Region is unavailable"):
        everything(world)


def test_a_wiped_majority_that_pd_was_never_told_of_is_seen(make_world: MakeWorld) -> None:
    """Two claims deleted without a word to PD: fresh identities at the old addresses are the evidence."""
    world = make_world(scale=10.0)
    start(world, stores=3)
    for number, tikv in enumerate(("tikv-0", "tikv-1")):
        world.tikvs[tikv].kill()
        world.tikvs[tikv].wipe()
        world.tikvs[tikv].start()
        assert world.tikvs[tikv].wait() == 1
        assert "duplicated store address" in world.tikvs[tikv].output()
        assert len(lost(world)) == (20 if number else 0)
    assert "new identity" in str(lost(world)[0]["voters"])
