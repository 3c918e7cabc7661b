"""The recorded answers of a real pd-server through hooks/pd: what each means to a job.

Each capture is given to the method that asks its endpoint. The expectations are the README's column "meaning
for automation".
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from hooks import pd
from tests.contract.captures import load, names

LISTS = ("/pd/api/v1/stores", "/pd/api/v1/stores/check")


class Replay:
    """Answers every request with one capture; a capture without a status is a time-out."""

    def __init__(self, capture: str) -> None:
        self.capture = load(capture)

    def send(self, request: pd.Request) -> pd.Response:
        del request
        if not self.capture["status"]:
            raise pd.TransportError("timed out")
        body = self.capture["body"]
        text = body if isinstance(body, str) and not self._json() else json.dumps(body)
        return pd.Response(self.capture["status"], iter([text.encode()]))

    def _json(self) -> bool:
        return "json" in (self.capture["headers"].get("Content-Type") or "")


def client(capture: str) -> pd.Pd:
    return pd.Pd(["http://pd-0:2379"], transport=Replay(capture), patience_seconds=0)


def all_of(prefix: str) -> list[str]:
    return [name for name in names() if name.startswith(prefix)]


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in all_of("")
        if load(n).get("request", {}).get("path") in LISTS and load(n)["status"] == 200
    ],
)
def test_every_list_of_stores_is_understood(name: str) -> None:
    raw = load(name)["body"]["stores"]
    found = client(name).stores()
    assert [store.id for store in found] == sorted(entry["store"]["id"] for entry in raw)
    assert all(store.state is not pd.StoreState.UNKNOWN for store in found)


@pytest.mark.parametrize(
    "name", [n for n in all_of("") if n.endswith("-members") and load(n)["status"] == 200]
)
def test_rule_7_every_list_of_members_is_understood_with_ids_beyond_2_53(name: str) -> None:
    found = client(name).members()
    raw = load(name)["body"]
    assert found.cluster_id == raw["header"]["cluster_id"] > 2**53
    assert {m.id for m in found.members} == {m["member_id"] for m in raw["members"]}


@pytest.mark.parametrize(
    "name", [n for n in all_of("") if "-regions-" in n and load(n)["status"] == 200]
)
def test_every_region_check_is_read_to_its_end(name: str) -> None:
    found = list(client(name).regions("down-peer"))
    assert len(found) == load(name)["body"]["count"]


def store(name: str) -> pd.Store:
    return client(name).store(0)


@pytest.mark.parametrize(
    ("name", "state", "retired"),
    [
        ("store-disconnected", pd.StoreState.DISCONNECTED, False),
        ("store-down", pd.StoreState.DOWN, False),
        ("store-down-empty", pd.StoreState.DOWN, False),
        ("store-offline", pd.StoreState.OFFLINE, False),
        ("store-offline-not-heartbeating", pd.StoreState.OFFLINE, False),
        ("store-physically-destroyed", pd.StoreState.OFFLINE, True),
        ("store-physically-destroyed-came-back", pd.StoreState.OFFLINE, True),
        ("store-tombstone", pd.StoreState.TOMBSTONE, True),
        ("store-tombstone-after-force", pd.StoreState.TOMBSTONE, True),
    ],
)
def test_a_stores_state_and_whether_it_is_final(
    name: str, state: pd.StoreState, retired: bool
) -> None:
    assert (store(name).state, store(name).retired) == (state, retired)


def test_a_new_id_has_no_heartbeat_and_a_new_leader_has_heard_nobody() -> None:
    new = next(s for s in client("stores-new-id-just-registered").stores() if s.id == 156)
    assert (new.state, new.last_heartbeat_ns, new.heard) == (pd.StoreState.DOWN, 0, False)
    changed = client("stores-just-after-leader-change").stores()
    assert all(s.state is pd.StoreState.DISCONNECTED and not s.heard for s in changed)
    assert all(s.last_heartbeat_ns > 0 for s in changed), "the stored one"


def test_heartbeats_keep_their_nanoseconds() -> None:
    healthy = next(s for s in client("healthy-stores").stores() if s.id == 15)
    assert healthy.last_heartbeat_ns == 1795165242867039483


def test_tiflash_is_told_from_tikv() -> None:
    assert any(s.is_tiflash for s in client("stores-with-tiflash").stores())
    assert not any(s.is_tiflash for s in client("healthy-stores").stores())


def test_a_half_joined_member_has_no_name_and_no_client_urls() -> None:
    half = next(m for m in client("pd-half-joined-members").members().members if not m.name)
    assert (half.id, half.client_urls) == (6658744741270611368, ())
    assert not next(h for h in client("pd-half-joined-health").health() if not h.name).healthy


ERRORS: dict[str, tuple[type[pd.PdError], Any]] = {
    "before-bootstrap-stores": (pd.PdNotBootstrappedError, pd.Pd.stores),
    "before-bootstrap-store-1": (pd.PdNotBootstrappedError, lambda c: c.store(1)),
    "no-leader-leader": (pd.PdNoLeaderError, pd.Pd.leader),
    "no-leader-members": (pd.PdNoLeaderError, pd.Pd.members),
    "no-leader-stores-check": (pd.PdNoLeaderError, pd.Pd.stores),
    "no-leader-member-delete": (pd.PdNoLeaderError, lambda c: c.delete_member(1)),
    "no-leader-store-delete": (pd.PdNoLeaderError, lambda c: c.retire_store(1, force=True)),
    "no-quorum-leader-left-leader": (pd.PdNoLeaderError, pd.Pd.leader),
    "no-quorum-leader-left-members": (pd.PdNoLeaderError, pd.Pd.members),
    "pd-leader-frozen-stores": (pd.PdUnreachableError, pd.Pd.stores),
    "quorum-just-lost-config-post": (pd.PdAnswerError, lambda c: c.restore_store(1)),
    "store-unknown": (pd.PdNotFoundError, lambda c: c.store(999999)),
    "store-delete-unknown": (pd.PdNotFoundError, lambda c: c.retire_store(999999, force=False)),
    "store-delete-refused-3-up": (pd.PdRefusedError, lambda c: c.retire_store(5, force=False)),
    "store-delete-refused-disconnected-3-of-3": (
        pd.PdRefusedError,
        lambda c: c.retire_store(5, force=False),
    ),
    "store-delete-tombstone": (pd.PdRetiredError, lambda c: c.retire_store(15, force=False)),
    "store-delete-force-tombstone": (pd.PdRetiredError, lambda c: c.retire_store(15, force=True)),
    "store-delete-physically-destroyed": (
        pd.PdRetiredError,
        lambda c: c.retire_store(5, force=False),
    ),
    "store-state-up-physically-destroyed": (pd.PdRetiredError, lambda c: c.restore_store(5)),
    "store-state-up-tombstone": (pd.PdRetiredError, lambda c: c.restore_store(15)),
    "pd-member-delete-right-after-join": (pd.PdUnhealthyError, lambda c: c.delete_member(1)),
    "pd-member-delete-healthy-while-one-dead": (pd.PdUnhealthyError, lambda c: c.delete_member(1)),
    "leader-transfer-unknown": (pd.PdRefusedError, lambda c: c.transfer_leader("pd-9")),
    "scheduler-add-evict-leader-unknown-store": (
        pd.PdNotFoundError,
        lambda c: c.evict_leaders(999999),
    ),
    "maintenance-put-conflict": (
        pd.PdTakenError,
        lambda c: c.begin_maintenance("tikv_replace", "job-2", ""),
    ),
    "maintenance-delete-wrong-id": (
        pd.PdTakenError,
        lambda c: c.end_maintenance("tikv_replace", "job-2"),
    ),
    "unknown-path": (pd.PdAnswerError, pd.Pd.stores),
}


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_what_each_refusal_means(name: str) -> None:
    kind, ask = ERRORS[name]
    with pytest.raises(pd.PdError) as caught:
        ask(client(name))
    assert type(caught.value) is kind, caught.value


FINE: dict[str, Any] = {
    "store-delete-accepted": lambda c: c.retire_store(3001, force=False),
    "store-delete-offline-again": lambda c: c.retire_store(3001, force=False),
    "store-delete-force-again": lambda c: c.retire_store(5, force=True),
    "store-state-up-cancel": lambda c: c.restore_store(14),
    "store-state-up-when-up": lambda c: c.restore_store(14),
    "pd-member-delete": lambda c: c.delete_member(1),
    "pd-half-joined-delete-by-id": lambda c: c.delete_member(1),
    "pd-member-delete-id-unknown": lambda c: c.delete_member(12345),
    "leader-transfer-to-self": lambda c: c.transfer_leader("pd-1"),
    "scheduler-add-evict-leader-again": lambda c: c.evict_leaders(15),
    "scheduler-delete-evict-leader": lambda c: c.stop_evicting_leaders(15),
    "scheduler-delete-evict-leader-again": lambda c: c.stop_evicting_leaders(15),
    "stores-remove-tombstone-none": lambda c: c.remove_tombstones(),
    "maintenance-put": lambda c: c.begin_maintenance("tikv_replace", "job-1", ""),
    "maintenance-put-same-again": lambda c: c.begin_maintenance("tikv_replace", "job-1", ""),
    "maintenance-delete-again": lambda c: c.end_maintenance("tikv_replace", "job-1"),
}


@pytest.mark.parametrize("name", sorted(FINE))
def test_what_counts_as_done(name: str) -> None:
    FINE[name](client(name))


def test_small_answers() -> None:
    assert client("healthy-leader").leader().name == "pd-1"
    assert client("healthy-cluster").cluster_id() == 7710175945323556207
    assert client("healthy-cluster-status").is_bootstrapped()
    assert not client("before-bootstrap-cluster-status").is_bootstrapped()
    assert client("healthy-ready").ready()
    assert not client("before-bootstrap-ready").ready()
    assert client("healthy-config-replicate").replication() == pd.Replication(3, "", "")
    assert client("config-replicate-with-labels").replication().location_labels == "zone,host"
    assert client("stores-progress-id-just-now").progress(3001) == pd.Progress(0.0, None)
    assert client("stores-progress-tombstone").progress(15) is None
    assert client("scheduler-config-evict-leader-two-stores").evicting_stores() == {14, 15}
    assert client("scheduler-config-evict-leader-absent").evicting_stores() == frozenset()
    assert client("maintenance-get-none").maintenance() is None
    held = client("maintenance-get").maintenance()
    assert held is not None
    assert (held.type, held.id) == ("tikv_replace", "job-1")
