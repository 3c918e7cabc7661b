"""The InterPodAffinity filter. Source: pkg/scheduler/framework/plugins/interpodaffinity/filtering.go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hooks import kube
from hooks.doctor.scheduler.model import Node, Reason
from hooks.doctor.scheduler.selectors import matches
from hooks.doctor.scheduler.world import Domain, World, note, required_terms
from hooks.kube.kinds import Obj, View

_EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"
_AFFINITY = "node(s) didn't match pod affinity rules"
_ANTI = "node(s) didn't match pod anti-affinity rules"


@dataclass
class Affinity:
    """How many pods attract or repel this one, by domain (topology key, value); one of the repelling, for the text."""

    near: Sequence[Mapping[str, Any]] = ()
    apart: Sequence[Mapping[str, Any]] = ()
    attracting: Counter[Domain] = field(default_factory=Counter)
    repelling: dict[Domain, str] = field(default_factory=dict)
    repelled_by: dict[Domain, str] = field(default_factory=dict)
    first_of_its_kind: bool = False

    def reason(self, node: Node) -> Reason | None:
        if not self._near_enough(node):
            keys = ", ".join(sorted({str(term["topologyKey"]) for term in self.near}))
            return Reason(
                "affinity", _AFFINITY, f"none of the pods it must be near to is here ({keys})"
            )
        for term in self.apart:
            key = str(term["topologyKey"])
            if key in node.labels and (other := self.repelling.get((key, node.labels[key]))):
                return Reason("anti-affinity", _ANTI, f"{other} is here, and may not share {key}")
        for key in self._repelled_keys:
            if key in node.labels and (other := self.repelled_by.get((key, node.labels[key]))):
                text = f"{other} is here, and refuses to share {key}"
                return Reason("existing-anti-affinity", _EXISTING, text)
        return None

    @cached_property
    def _repelled_keys(self) -> list[str]:
        return sorted({key for key, _ in self.repelled_by})

    def _near_enough(self, node: Node) -> bool:
        if any(term["topologyKey"] not in node.labels for term in self.near):
            return False
        present = all(
            self.attracting[(term["topologyKey"], node.labels[term["topologyKey"]])] > 0
            for term in self.near
        )
        return present or self.first_of_its_kind


def affinity(pod: View, world: World) -> Affinity:
    found = Affinity(required_terms(pod, "podAffinity"), required_terms(pod, "podAntiAffinity"))
    for one in world.repelling.values():
        if _concerns(one.term, one.owner, pod, world):
            found.repelled_by = {**one.domains, **found.repelled_by}
    if found.near or found.apart:
        same = (kube.namespace(pod), repr(found.near), repr(found.apart))
        if same not in world.near_and_apart:
            for node in world.nodes.values():
                for other in node.pods:
                    _count(found, pod, other, node, world)
            world.near_and_apart[same] = (found.attracting, found.repelling)
        found.attracting, found.repelling = world.near_and_apart[same]
    found.first_of_its_kind = not found.attracting and all(
        _concerns(term, pod, pod, world) for term in found.near
    )
    return found


def _count(found: Affinity, pod: View, other: Obj, node: Node, world: World) -> None:
    if found.near and all(_concerns(term, pod, other, world) for term in found.near):
        for term in found.near:
            key = term["topologyKey"]
            if key in node.labels:
                found.attracting[(key, node.labels[key])] += 1
    for term in found.apart:
        if _concerns(term, pod, other, world):
            note(found.repelling, term, node, other)


def _concerns(term: Mapping[str, Any], owner: View, other: View, world: World) -> bool:
    """Whether a term of `owner` speaks of `other`: its namespace and its labels."""
    namespace = kube.namespace(other)
    named, selector = term.get("namespaces") or (), term.get("namespaceSelector")
    if not named and selector is None:
        within = namespace == kube.namespace(owner)
    else:
        within = namespace in named or matches(selector, world.namespace_labels(namespace))
    labels = other["metadata"].get("labels") or {}
    # The API server has merged matchLabelKeys into labelSelector when the owner was made.
    return within and matches(term.get("labelSelector"), labels)
