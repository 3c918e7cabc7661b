"""hooks/pd against a scripted transport: which member is asked when, what settles a question, what each error says.

The answers' shapes are those recorded from a real pd-server. How they are parsed in full: test_answers.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from hooks import pd

URLS = ["http://pd-0:2379", "http://pd-1:2379", "http://pd-2:2379"]
LEADER = {"name": "pd-1", "member_id": 18384462262227108711, "peer_urls": [], "client_urls": []}
NOT_BOOTSTRAPPED = (
    "[PD:cluster:ErrNotBootstrapped]TiKV cluster not bootstrapped, please start TiKV first"
)
REDIRECT = "[PD:apiutil:ErrRedirect]redirect failed\n"

Answer = tuple[int, object] | pd.TransportError


@dataclass
class Script:
    """A transport that answers by a function of the request and the time; time only moves by `sleep` and slow
    answers.
    """

    answer: Callable[[pd.Request, float], Answer]
    now: float = 0.0
    asked: list[pd.Request] = field(default_factory=list)

    def send(self, request: pd.Request) -> pd.Response:
        self.asked.append(request)
        answer = self.answer(request, self.now)
        if isinstance(answer, pd.TransportError):
            self.now += request.timeout_seconds if "timed out" in str(answer) else 0.0
            raise answer
        status, body = answer
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return pd.Response(status, iter([data[:7], data[7:]]))

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def client(self, urls: list[str] = URLS, **keywords: float) -> pd.Pd:
        clock = pd.Clock(monotonic=lambda: self.now, sleep=self.sleep)
        return pd.Pd(urls, transport=self, clock=clock, **keywords)


def always(status: int, body: object) -> Script:
    return Script(lambda _r, _t: (status, body))


def test_rule_1_the_next_member_is_asked_when_one_is_silent_and_stays_the_first_choice() -> None:
    def answer(request: pd.Request, _: float) -> Answer:
        return pd.TransportError("refused") if "pd-0" in request.url else (200, LEADER)

    script = Script(answer)
    client = script.client()
    assert client.leader().id == 18384462262227108711
    client.leader()
    hosts = [request.url.split("/")[2] for request in script.asked]
    assert hosts == ["pd-0:2379", "pd-1:2379", "pd-1:2379"]


def test_an_election_of_twelve_seconds_is_waited_out() -> None:
    script = Script(lambda _, now: (500, REDIRECT) if now < 12 else (200, LEADER))
    assert script.client().leader().name == "pd-1"
    assert 12 <= script.now < 13


def test_rule_1_no_leader_is_an_error_of_its_own_after_thirty_seconds() -> None:
    script = always(503, "[PD:apiutil:ErrRedirectNoLeader]redirect finds no leader\n")
    with pytest.raises(pd.PdNoLeaderError) as caught:
        script.client().leader()
    assert str(caught.value).startswith(
        "GET /pd/api/v1/leader found no PD leader in 30 s (http://pd-0:2379: 503"
    )
    assert 29 <= script.now <= 30


def test_rule_1_a_hung_leader_costs_five_seconds_a_member() -> None:
    script = Script(lambda _r, _t: pd.TransportError("timed out"))
    with pytest.raises(pd.PdUnreachableError, match="reached no PD member"):
        script.client(patience_seconds=0).members()
    assert script.now == 15
    assert [request.timeout_seconds for request in script.asked] == [5, 5, 5]


def test_rule_1_a_write_is_given_fifteen_seconds_and_may_be_repeated() -> None:
    answers: Iterator[Answer] = iter(
        [pd.TransportError("timed out"), (200, "The store is set as Offline.")]
    )
    script = Script(lambda _r, _t: next(answers))
    script.client().retire_store(5, force=True)
    assert [(r.method, r.url, r.timeout_seconds) for r in script.asked] == [
        ("DELETE", "http://pd-0:2379/pd/api/v1/store/5?force=true", 15),
        ("DELETE", "http://pd-1:2379/pd/api/v1/store/5?force=true", 15),
    ]


def test_the_one_write_that_names_nobody_is_asked_once() -> None:
    """A Tombstone that appeared meanwhile would go with a second one."""
    script = Script(lambda _r, _t: pd.TransportError("timed out"))
    with pytest.raises(pd.PdUnreachableError, match="remove-tombstone reached no PD member in 0 s"):
        script.client().remove_tombstones()
    assert [request.url for request in script.asked] == [
        "http://pd-0:2379/pd/api/v1/stores/remove-tombstone"
    ]


def test_a_plain_retirement_never_sends_the_word_force() -> None:
    script = always(200, "The store is set as Offline.")
    script.client().retire_store(5, force=False)
    assert script.asked[0].url == "http://pd-0:2379/pd/api/v1/store/5"


def test_not_bootstrapped_is_said_at_once() -> None:
    script = always(500, NOT_BOOTSTRAPPED)
    with pytest.raises(pd.PdNotBootstrappedError, match="none has ever registered"):
        script.client().stores()
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (404, "[PD:core:ErrStoreNotFound]store 999999 not found", pd.PdNotFoundError),
        (410, "[PD:core:ErrStoreRemoved]store 15 has been removed", pd.PdRetiredError),
        (
            400,
            "[PD:core:ErrStoreDestroyed]store 5 has been physically destroyed",
            pd.PdRetiredError,
        ),
        (400, "[PD:core:ErrStoresNotEnough]can not remove store 5", pd.PdRefusedError),
        (404, "404 page not found", pd.PdAnswerError),
        (302, "", pd.PdAnswerError),
    ],
)
def test_rule_6_retirement_errors_follow_the_code(
    status: int, said: str, error: type[pd.PdError]
) -> None:
    with pytest.raises(error) as caught:
        always(status, said).client().retire_store(5, force=False)
    assert type(caught.value) is error
    assert "DELETE /pd/api/v1/store/5 at http://pd-0:2379" in str(caught.value)


def test_rule_6_400_that_means_etcd_failed_is_asked_again() -> None:
    answers: Iterator[Answer] = iter(
        [(400, "[PD:etcd:ErrEtcdKVPut]context deadline exceeded"), (200, "done")]
    )
    script = Script(lambda _r, _t: next(answers))
    script.client().restore_store(5)
    assert len(script.asked) == 2


def test_member_ids_that_are_gone_are_done_and_an_unhealthy_group_is_its_own_error() -> None:
    gone = "[PD:etcd:ErrEtcdMemberRemove]etcdserver: member not found: etcdserver: member not found"
    always(500, gone).client().delete_member(12345)
    busy = (
        "[PD:etcd:ErrEtcdMemberRemove]etcdserver: unhealthy cluster: etcdserver: unhealthy cluster"
    )
    script = always(500, busy)
    with pytest.raises(pd.PdUnhealthyError, match="protect the quorum"):
        script.client().delete_member(1)
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    "body", ["<html><body>Sign in</body></html>", "{", '"text"', "[1]", "null"]
)
def test_what_is_not_pds_answer_is_an_error_and_never_an_empty_result(body: str) -> None:
    for ask in (pd.Pd.members, pd.Pd.stores, pd.Pd.leader, pd.Pd.replication, pd.Pd.cluster_id):
        with pytest.raises(pd.PdAnswerError):
            ask(always(200, body).client())


def test_an_answer_without_end_is_cut() -> None:
    endless = Script(lambda _r, _t: (200, "x" * (17 * 1024 * 1024)))
    with pytest.raises(pd.PdUnreachableError, match="longer than 16777216 bytes"):
        endless.client(patience_seconds=0).stores()


def test_the_store_count_must_match_the_list() -> None:
    with pytest.raises(pd.PdAnswerError, match="counts 3 stores and lists 0"):
        always(200, {"count": 3, "stores": []}).client().stores()


def region(number: int, *stores: int, down: tuple[int, ...] = ()) -> dict[str, object]:
    peers = [{"role_name": "Voter", "id": 100 + one, "store_id": one} for one in stores]
    return {
        "id": number,
        "peers": peers,
        "leader": peers[0],
        "down_peers": [{"peer": {"store_id": one}, "down_seconds": 9} for one in down],
    }


def test_regions_are_read_one_by_one_and_their_number_is_checked() -> None:
    rows = [region(2, 1, 5, 4, down=(5,)), region(22, 1, 4, 5, down=(5,))]
    found = list(always(200, {"count": 2, "regions": rows}).client().regions("down-peer"))
    assert [(one.id, one.down, one.leader) for one in found] == [
        (2, frozenset({5}), 1),
        (22, frozenset({5}), 1),
    ]
    assert list(always(200, {"count": 0, "regions": None}).client().regions("miss-peer")) == []
    with pytest.raises(pd.PdAnswerError, match="counts 3 regions and lists 2"):
        list(always(200, {"count": 3, "regions": rows}).client().regions("down-peer"))
    cut = json.dumps({"count": 2, "regions": rows})[:-40]
    with pytest.raises(pd.PdAnswerError, match="ends after 1 of 2"):
        list(always(200, cut).client().regions("down-peer"))
    with pytest.raises(pd.PdAnswerError, match="no list of regions begins with"):
        list(always(200, "<html>").client(patience_seconds=0).regions("down-peer"))


def test_the_regions_of_one_store_are_read_the_same_way() -> None:
    script = always(200, {"count": 1, "regions": [region(2, 1, 5, 4)]})
    (found,) = script.client().regions_of(5)
    assert {peer.store for peer in found.peers} == {1, 4, 5}
    assert [request.url.partition("2379")[2] for request in script.asked] == [
        "/pd/api/v1/regions/store/5"
    ]


def test_evicting_stores_are_empty_without_the_scheduler() -> None:
    assert always(404, "404 page not found\n").client().evicting_stores() == frozenset()
    some = {"store-id-ranges": {"15": [], "14": []}, "batch": 3}
    assert always(200, some).client().evicting_stores() == {14, 15}
    always(404, None).client().stop_evicting_leaders(14)


def test_the_maintenance_task_is_ones_own_when_type_and_id_match() -> None:
    held = {"type": "tikv_replace", "id": "job-1", "start_timestamp": 1795165245, "description": ""}
    conflict = {"error": "Another maintenance task is already running", "existing_task": held}
    always(409, conflict).client().begin_maintenance("tikv_replace", "job-1", "failover")
    with pytest.raises(pd.PdTakenError, match="found tikv_replace/job-1 at work"):
        always(409, conflict).client().begin_maintenance("tikv_replace", "job-2", "failover")
    assert always(404, "No maintenance task is running").client().maintenance() is None
    found = always(200, [held]).client().maintenance()
    assert found == pd.Maintenance("tikv_replace", "job-1", 1795165245, "")


def test_another_cluster_is_refused_by_its_id() -> None:
    members = pd.Members(7710175945323556207, (), None, None)
    pd.require_cluster(members, 7710175945323556207, "ConfigMap db/basic-pd-record")
    with pytest.raises(pd.PdOtherClusterError) as caught:
        pd.require_cluster(members, 7710175945323556208, "ConfigMap db/basic-pd-record")
    assert "cluster 7710175945323556207, but ConfigMap db/basic-pd-record names cluster" in str(
        caught.value
    )
