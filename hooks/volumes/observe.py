"""The whole world read at once, for a run by hand, the hook Job and the CronJob; and the pieces the controller
shares.
"""

from __future__ import annotations

from dataclasses import dataclass

from hooks.engine import Plan, Subject
from hooks.kube import CLAIM, CONFIG_MAP, NODE, TIDB_VOLUME, VOLUME, Client
from hooks.volumes.actions import VolumeAction, WriteRequests
from hooks.volumes.model import Now, Policy, View
from hooks.volumes.plan import plan
from hooks.volumes.world import World
from schema import names


@dataclass(frozen=True)
class Requests:
    """What a node's requests ConfigMap should say, and says."""

    node: str
    wanted: str
    seen: str
    version: str


@dataclass(frozen=True)
class Snapshot:
    views: tuple[View, ...]
    requests: tuple[Requests, ...]


def now(client: Client) -> Now:
    clocks = client.clocks()
    return Now(clocks.earlier, clocks.later)


def read(client: Client, namespace: str) -> World:
    """Everything the controller would be told by its watches, listed once."""
    world = World()
    for page in client.pages(NODE):
        for obj in page.items:
            world.node(obj)
    for page in client.pages(CONFIG_MAP, namespace, labels=names.EXCHANGE_LABEL):
        for obj in page.items:
            world.exchange(obj)
    for page in client.pages(TIDB_VOLUME):
        for obj in page.items:
            world.volume(obj)
    for page in client.pages(VOLUME, labels=names.VOLUME_LABEL):
        for obj in page.items:
            world.pv(obj)
    for page in client.pages(CLAIM):
        for obj in page.items:
            world.claim(obj)
    for page in client.pages(CONFIG_MAP, fields=f"metadata.name={names.FINISHED_VOLUMES}"):
        for obj in page.items:
            world.finished(obj)
    return world


def snapshot(world: World, moment: Now, policy: Policy) -> Snapshot:
    requests = []
    for node in world.all_nodes():
        wanted = world.wanted_requests(node, moment, policy)
        if wanted is not None:
            seen, version = world.seen_requests(node)
            requests.append(Requests(node, wanted, seen, version))
    return Snapshot(tuple(world.views(moment)), tuple(requests))


def plan_all(seen: Snapshot, policy: Policy) -> Plan[VolumeAction]:
    """Each volume's plan and each node's requests, in one. Pure."""
    plans = [plan(view, policy) for view in seen.views]
    writes = [action for r in seen.requests if (action := _write(r)) is not None]
    return Plan(
        tuple(action for p in plans for action in p.actions) + tuple(writes),
        tuple(wait for p in plans for wait in p.waits),
        tuple(refusal for p in plans for refusal in p.refusals),
    )


def requests_action(world: World, node: str, moment: Now, policy: Policy) -> WriteRequests | None:
    wanted = world.wanted_requests(node, moment, policy)
    if wanted is None:
        return None
    seen, version = world.seen_requests(node)
    return _write(Requests(node, wanted, seen, version))


def _write(requests: Requests) -> WriteRequests | None:
    if requests.wanted == requests.seen or (
        not requests.seen and '"volumes":[]' in requests.wanted
    ):
        return None
    return WriteRequests(
        code="write-requests",
        subject=Subject("Node", requests.node),
        does="tell its agent which folders and wipes are wanted",
        why="they differ from what it was told",
        volume="",
        node=requests.node,
        text=requests.wanted,
        version=requests.version,
    )
