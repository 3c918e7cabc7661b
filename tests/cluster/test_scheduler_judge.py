"""The scheduler as judge: doctor's reasons, node by node, against kube-scheduler's own message, on 500 pods.

A control plane of its own with KWOK nodes; the world holds still, because no pod of the 500 fits anywhere. What varies,
alone and combined: cpu, memory, ephemeral storage, pod count, host ports, taints and tolerations, cordons, node
selectors and affinity by labels and by name, classes that are missing or can't bind, claims that are missing, bound
elsewhere, being deleted or too large, spread constraints, pod affinity and both sides of anti-affinity.
Left to others: preemption (not doctor's business), CSI limits, dynamic resources.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import pytest

from ci.cluster import Cluster
from hooks import kube
from hooks.doctor.scheduler import World, judge
from tests.cluster.conftest import WaitFor
from tests.cluster.judged import NODES, SPACE, Obj, create, demanding, furnish

CASES = 500
AGREE = 0.99
SEED = int(os.environ.get("HELM_TIDB_SEED", "20261120"))


@pytest.fixture(scope="module")
def plane() -> Iterator[Cluster]:
    """A control plane and nodes that exist only in the API."""
    named = os.environ.get("HELM_TIDB_JUDGE_CLUSTER")
    if named:
        yield Cluster.find(named)
        return
    cluster = Cluster.up(f"judge-{os.getpid()}", nodes=0, kwok_nodes=NODES)
    yield cluster
    cluster.down()


@pytest.fixture(scope="module")
def client(plane: Cluster) -> kube.Client:
    return kube.Client.connect("judge", kubeconfig=str(plane.kubeconfig), connections=8)


def test_reasons_add_up_to_the_schedulers_own(
    client: kube.Client,
    wait_for: WaitFor,
    capsys: pytest.CaptureFixture[str],
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    rng = random.Random(SEED)
    furnish(client, rng, wait_for)
    pods = [demanding(f"case-{number}", rng) for number in range(CASES * 2)]
    expected = _pending_only(pods, _world(client))
    assert len(expected) >= CASES, f"only {len(expected)} of {len(pods)} pods can't be scheduled"
    chosen = dict(list(expected.items())[:CASES])
    create(client, [pod for pod in pods if kube.name(pod) in chosen])

    def unheard() -> list[Obj]:
        return [p for p in client.list(kube.POD, SPACE, labels="case=true") if not _message(p)]

    # The scheduler writes 50 times a second at most, and two things a pod.
    def told() -> list[object]:
        return [(kube.name(pod), pod.get("status")) for pod in unheard()]

    wait_for(lambda: not unheard(), 180, "a verdict on every pod", told, 2.0)
    heard = {
        kube.name(pod): _message(pod) for pod in client.list(kube.POD, SPACE, labels="case=true")
    }
    # Judged again from the pods as the API server keeps them, with its defaults, in the world as it is now.
    world = _world(client)
    now = {
        kube.name(pod): judge(pod, world).message()
        for pod in client.list(kube.POD, SPACE, labels="case=true")
    }
    wrong = [
        f"{name}:\n  scheduler: {heard[name]}\n  doctor:    {now[name]}"
        for name in sorted(chosen)
        if heard[name] != now[name]
    ]
    record_testsuite_property("scheduler and doctor agree", f"{CASES - len(wrong)} of {CASES}")
    with capsys.disabled():  # the number is for every run's log, and so are the cases that differ
        print(
            f"\nscheduler and doctor, seed {SEED}: {CASES - len(wrong)} of {CASES} agree; "
            f"{len(set(heard.values()))} distinct messages",
            *wrong,
            sep="\n",
        )
    phrases = {phrase for pod in pods for phrase in judge(pod, world).counts}
    assert len(phrases) >= 12, f"the cases are too much alike: only {sorted(phrases)}"
    assert len(wrong) <= CASES * (1 - AGREE), "\n".join(wrong)


def test_a_pod_goes_to_a_node_that_doctor_says_fits(client: kube.Client, wait_for: WaitFor) -> None:
    rng = random.Random(SEED + 1)
    world = _world(client)
    verdicts = {
        kube.name(pod): (pod, judge(pod, world))
        for pod in (demanding(f"fit-{n}", rng) for n in range(400))
    }
    fitting = [
        (pod, verdict) for pod, verdict in verdicts.values() if verdict.fits and not verdict.refused
    ][:6]
    assert len(fitting) == 6
    for pod, verdict in fitting:
        # One at a time: each changes the world for the next, by its resources and labels.
        verdict = judge(pod, _world(client))
        if not verdict.fits:
            continue
        client.create(pod)
        name = kube.name(pod)

        def node(name: str = name) -> str:
            return str(client.get(kube.POD, name, SPACE)["spec"].get("nodeName") or "")

        wait_for(
            node,
            20,
            f"{name} is scheduled",
            lambda name=name: _message(client.get(kube.POD, name, SPACE)),
        )
        assert node() in verdict.fits


def _message(pod: Obj) -> str:
    """The scheduler's first sentence, or where the pod goes; "" before either. What follows is about preemption and
    device claims.
    """
    if node := pod["spec"].get("nodeName"):
        return f"goes to {node}"
    for one in (pod.get("status") or {}).get("conditions") or ():
        if one["type"] == "PodScheduled" and one["status"] == "False" and one.get("message"):
            return str(one["message"]).partition(". ")[0].removesuffix(".") + "."
    return ""


def _world(client: kube.Client) -> World:
    kinds = (kube.NODE, kube.POD, kube.CLAIM, kube.VOLUME, kube.STORAGE_CLASS, kube.NAMESPACE)
    return World.of({kind.kind: client.list(kind) for kind in kinds})


def _pending_only(pods: list[Obj], world: World) -> dict[str, str]:
    """Pods that can't be scheduled by doctor's word; if the scheduler finds a node for one, it is a wrong case."""
    found = {kube.name(pod): judge(pod, world).message() for pod in pods}
    return {name: message for name, message in found.items() if message}
