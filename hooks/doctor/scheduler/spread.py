"""The PodTopologySpread filter. Source: pkg/scheduler/framework/plugins/podtopologyspread/filtering.go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hooks import kube
from hooks.doctor.scheduler.model import Node, Reason
from hooks.doctor.scheduler.selectors import is_empty, matches, matches_node, tolerates
from hooks.doctor.scheduler.world import World
from hooks.kube.kinds import Obj, View

_SKEW = "node(s) didn't match pod topology spread constraints"
_LABEL = f"{_SKEW} (missing required label)"


@dataclass(frozen=True)
class Constraint:
    """One hard constraint with its counts: pods by domain, and the smallest of them."""

    key: str
    max_skew: int
    counts: Mapping[str, int]
    least: int
    own: int

    def reason(self, node: Node) -> Reason | None:
        domain = node.labels.get(self.key)
        if domain is None:
            return Reason("spread-label", _LABEL, f"has no label {self.key} to spread by")
        count = self.counts.get(domain, 0)
        if count + self.own - self.least <= self.max_skew:
            return None
        text = (
            f"{self.key}={domain} has {count} of these pods and the emptiest has {self.least}: "
            f"one more would exceed maxSkew {self.max_skew}"
        )
        return Reason("spread", _SKEW, text)


def constraints(pod: View, world: World) -> list[Constraint]:
    """The pod's constraints with whenUnsatisfiable: DoNotSchedule, counted over the whole cluster."""
    hard = [
        one
        for one in pod["spec"].get("topologySpreadConstraints") or ()
        if one.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"
    ]
    if not hard:
        return []
    keys = [one["topologyKey"] for one in hard]
    # Only nodes with all keys count, for every constraint.
    nodes = [node for node in world.nodes.values() if all(key in node.labels for key in keys)]
    return [_counted(one, pod, nodes) for one in hard]


def _counted(one: Mapping[str, Any], pod: View, nodes: Iterable[Node]) -> Constraint:
    selector = _selector(one, pod)
    counts: dict[str, int] = {}
    for node in nodes:
        if not _included(one, pod, node):
            continue
        domain = node.labels[one["topologyKey"]]
        counts[domain] = counts.get(domain, 0) + _matching(node.pods, selector, kube.namespace(pod))
    least = min(counts.values(), default=2**31 - 1)
    if len(counts) < (one.get("minDomains") or 1):
        least = 0
    own = int(matches(selector, pod["metadata"].get("labels") or {}))
    return Constraint(one["topologyKey"], one["maxSkew"], counts, least, own)


def _selector(one: Mapping[str, Any], pod: View) -> Mapping[str, Any] | None:
    selector: Mapping[str, Any] | None = one.get("labelSelector")
    labels = pod["metadata"].get("labels") or {}
    more = [
        {"key": key, "operator": "In", "values": [labels[key]]}
        for key in one.get("matchLabelKeys") or ()
        if key in labels
    ]
    if selector is None or not more:
        return selector
    return {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *more]}


def _matching(pods: Sequence[Obj], selector: Mapping[str, Any] | None, namespace: str) -> int:
    if is_empty(selector):
        return 0
    return sum(
        kube.namespace(pod) == namespace
        and not pod["metadata"].get("deletionTimestamp")
        and matches(selector, pod["metadata"].get("labels") or {})
        for pod in pods
    )


def _included(one: Mapping[str, Any], pod: View, node: Node) -> bool:
    """Whether a node's pods and domain count: by default those the pod's node affinity allows, tainted or not."""
    if one.get("nodeAffinityPolicy", "Honor") == "Honor" and not node_allowed(pod, node):
        return False
    return one.get("nodeTaintsPolicy", "Ignore") != "Honor" or not untolerated(pod, node)


def node_allowed(pod: View, node: Node) -> bool:
    """nodeSelector and required node affinity."""
    spec = pod["spec"]
    if any(
        node.labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()
    ):
        return False
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if required is None:
        return True
    return matches_node(required.get("nodeSelectorTerms") or (), node.labels, node.name)


def untolerated(pod: View, node: Node) -> Mapping[str, str] | None:
    """The first taint that keeps the pod away; PreferNoSchedule doesn't."""
    tolerations = pod["spec"].get("tolerations") or ()
    for taint in node.taints:
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(tolerations, taint):
            return taint
    return None
