"""The scheduler's filters in its order, over all nodes: `judge`.

A node's verdict is all reasons of its first failing filter. Order of 1.36 (apis/config/v1/default_plugins.go):
unschedulable, node name, taints, node affinity, host ports, resources, volumes, spread, pod affinity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hooks.doctor.scheduler import requests, volumes
from hooks.doctor.scheduler.affinity import affinity
from hooks.doctor.scheduler.model import Node, Reason
from hooks.doctor.scheduler.selectors import describe_taint, tolerates
from hooks.doctor.scheduler.spread import constraints, node_allowed, untolerated
from hooks.doctor.scheduler.world import World
from hooks.kube.kinds import View

_CORDONED = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_BY_NAME = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
_CONFLICT = "pod affinity terms conflict"

Filter = Callable[[Node], tuple[Reason, ...]]


@dataclass(frozen=True)
class Verdict:
    """`refused`: why no node was even looked at. `nodes`: by name, why not; a node that fits has none."""

    refused: str = ""
    nodes: Mapping[str, tuple[Reason, ...]] = field(default_factory=dict)

    @property
    def fits(self) -> tuple[str, ...]:
        return tuple(sorted(name for name, reasons in self.nodes.items() if not reasons))

    @property
    def counts(self) -> Counter[str]:
        """The scheduler's histogram: phrase → nodes."""
        return Counter(reason.phrase for reasons in self.nodes.values() for reason in reasons)

    def message(self) -> str:
        """What kube-scheduler 1.36 says in FailedScheduling, up to its words on preemption; "" when a node fits."""
        head = f"0/{len(self.nodes)} nodes are available:"
        if self.refused:
            return f"{head} {self.refused}."
        if not self.nodes:
            return "no nodes available to schedule pods"
        if self.fits:
            return ""
        counted = sorted(f"{count} {phrase}" for phrase, count in self.counts.items())
        return f"{head} {', '.join(counted)}."


def judge(pod: View, world: World) -> Verdict:
    """Every node's reasons for this pod, as if the scheduler looked at it now."""
    only, conflict = _named_nodes(pod)
    claims = volumes.claims_of(pod, world)
    refused = _CONFLICT if conflict else claims.refused
    if refused or not world.nodes:
        return Verdict(refused, dict.fromkeys(world.nodes, ()))
    filters = _filters(pod, world, claims)
    found: dict[str, tuple[Reason, ...]] = {}
    for name, node in world.nodes.items():
        if only is not None and name not in only:
            found[name] = (Reason("selector", _BY_NAME, "the pod is meant for another node"),)
            continue
        found[name] = next((reasons for one in filters if (reasons := one(node))), ())
    return Verdict("", found)


def _filters(pod: View, world: World, claims: volumes.Claims) -> Sequence[Filter]:
    """What depends on the pod alone is computed once, not once a node."""
    asked = {key: value for key, value in requests.of_pod(pod).items() if value > 0}
    ports = set(requests.host_ports(pod))
    spread = constraints(pod, world)
    near = affinity(pod, world)
    return (
        lambda node: _cordoned(pod, node),
        lambda node: _node_name(pod, node),
        lambda node: _tainted(pod, node),
        lambda node: _selected(pod, node),
        lambda node: _ports(ports, node),
        lambda node: _resources(asked, node),
        lambda node: volumes.reasons(claims, node, world),
        lambda node: next(((one,) for c in spread if (one := c.reason(node))), ()),
        lambda node: (one,) if (one := near.reason(node)) else (),
    )


def _named_nodes(pod: View) -> tuple[set[str] | None, bool]:
    """Node names that required affinity ties the pod to (DaemonSets do), and whether its terms contradict."""
    required = (((pod["spec"].get("affinity") or {}).get("nodeAffinity")) or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    named: set[str] = set()
    for term in required.get("nodeSelectorTerms") or ():
        here: set[str] | None = None
        for one in term.get("matchFields") or ():
            if one["key"] == "metadata.name" and one["operator"] == "In":
                here = set(one["values"]) if here is None else here & set(one["values"])
        if here is None:
            return None, False
        named |= here
    if not required.get("nodeSelectorTerms"):
        return None, False
    return named, not named


def _cordoned(pod: View, node: Node) -> tuple[Reason, ...]:
    if not node.unschedulable or tolerates(pod["spec"].get("tolerations") or (), _CORDONED):
        return ()
    return (Reason("cordoned", "node(s) were unschedulable", "is cordoned"),)


def _node_name(pod: View, node: Node) -> tuple[Reason, ...]:
    wanted = pod["spec"].get("nodeName")
    if not wanted or wanted == node.name:
        return ()
    return (Reason("node-name", "node(s) didn't match the requested node name"),)


def _tainted(pod: View, node: Node) -> tuple[Reason, ...]:
    taint = untolerated(pod, node)
    if taint is None:
        return ()
    text = f"has the taint {describe_taint(taint)}, which the pod does not tolerate"
    return (Reason("taint", "node(s) had untolerated taint(s)", text),)


def _selected(pod: View, node: Node) -> tuple[Reason, ...]:
    if node_allowed(pod, node):
        return ()
    wanted = pod["spec"].get("nodeSelector") or {}
    missing = [f"{key}={value}" for key, value in wanted.items() if node.labels.get(key) != value]
    text = f"lacks {', '.join(missing)}" if missing else "does not match the pod's node affinity"
    return (Reason("selector", "node(s) didn't match Pod's node affinity/selector", text),)


def _ports(ports: set[tuple[str, int, str]], node: Node) -> tuple[Reason, ...]:
    for protocol, port, address in sorted(ports):
        for taken_protocol, taken, taken_address in node.ports:
            anywhere = "" in (address, taken_address) or "0.0.0.0" in (address, taken_address)
            if (protocol, port) == (taken_protocol, taken) and (
                anywhere or address == taken_address
            ):
                text = f"port {port}/{protocol} of the node is taken"
                return (
                    Reason(
                        "ports", "node(s) didn't have free ports for the requested pod ports", text
                    ),
                )
    return ()


def _resources(asked: Mapping[str, int], node: Node) -> tuple[Reason, ...]:
    found = []
    room = node.allocatable.get("pods", 0)
    if len(node.pods) + 1 > room:
        found.append(
            Reason("too-many-pods", "Too many pods", f"runs {len(node.pods)} of {room} pods")
        )
    for key, value in asked.items():
        free = node.free(key)
        if value <= free:
            continue
        most = node.allocatable.get(key, 0)
        text = (
            f"{key}: asks {requests.show(key, value)}, {requests.show(key, free)} free "
            f"of {requests.show(key, most)}"
        )
        numbers = {"asked": value, "free": free, "allocatable": most}
        found.append(Reason(f"resource:{key}", f"Insufficient {key}", text, numbers))
    return tuple(found)
