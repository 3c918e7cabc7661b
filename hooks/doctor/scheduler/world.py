"""All objects that scheduling depends on, indexed once: nodes with their pods, claims, volumes, classes, namespaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hooks import kube
from hooks.doctor.scheduler import requests
from hooks.doctor.scheduler.model import Node
from hooks.kube.kinds import Obj, View

# A topology key and a node's value of it.
Domain = tuple[str, str]


@dataclass
class Repelling:
    """Pods on nodes that share a term of required anti-affinity: where they are, and one of them for the text."""

    term: Mapping[str, object]
    owner: Obj
    domains: dict[Domain, str] = field(default_factory=dict)


@dataclass
class World:
    """`volumes` by StorageClass. `repelling`: by namespace and term. `near_and_apart`: what pods of one namespace with
    the same terms count (affinity.py), kept because a StatefulSet's pods all ask the same.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    claims: dict[tuple[str, str], Obj] = field(default_factory=dict)
    volumes: dict[str, Obj] = field(default_factory=dict)
    volumes_of_class: dict[str, list[Obj]] = field(default_factory=dict)
    classes: dict[str, Obj] = field(default_factory=dict)
    namespaces: dict[str, Mapping[str, str]] = field(default_factory=dict)
    repelling: dict[tuple[str, str], Repelling] = field(default_factory=dict)
    near_and_apart: dict[tuple[str, str, str], tuple[Counter[Domain], dict[Domain, str]]] = field(
        default_factory=dict
    )

    @classmethod
    def of(cls, objects: Mapping[str, Sequence[Obj]]) -> World:
        """`objects` by kind: Node, Pod, PersistentVolumeClaim, PersistentVolume, StorageClass, Namespace."""
        world = cls()
        for node in objects.get("Node", ()):
            world.nodes[kube.name(node)] = _node(node)
        for pod in objects.get("Pod", ()):
            world.place(pod)
        for claim in objects.get("PersistentVolumeClaim", ()):
            world.claims[(kube.namespace(claim), kube.name(claim))] = claim
        for volume in objects.get("PersistentVolume", ()):
            world.volumes[kube.name(volume)] = volume
            world.volumes_of_class.setdefault(class_of(volume), []).append(volume)
        for one in objects.get("StorageClass", ()):
            world.classes[kube.name(one)] = one
        for space in objects.get("Namespace", ()):
            world.namespaces[kube.name(space)] = space["metadata"].get("labels") or {}
        return world

    def place(self, pod: Obj) -> None:
        """Count a pod on its node, if it has one and has not ended."""
        node = self.nodes.get(pod["spec"].get("nodeName") or "")
        if node is None or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return
        node.pods.append(pod)
        for key, value in requests.of_pod(pod).items():
            node.used[key] = node.used.get(key, 0) + value
        node.ports.update(requests.host_ports(pod))
        for term in required_terms(pod, "podAntiAffinity"):
            same = (kube.namespace(pod), repr(term))
            note(self.repelling.setdefault(same, Repelling(term, pod)).domains, term, node, pod)
        self.near_and_apart.clear()

    def namespace_labels(self, name: str) -> Mapping[str, str]:
        """Every namespace has the label of its name, also when Namespaces could not be read."""
        return self.namespaces.get(name) or {"kubernetes.io/metadata.name": name}


def required_terms(pod: View, kind: str) -> Sequence[Mapping[str, object]]:
    affinity = (pod["spec"].get("affinity") or {}).get(kind) or {}
    found: Sequence[Mapping[str, object]] = (
        affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    )
    return found


def note(into: dict[Domain, str], term: Mapping[str, object], node: Node, other: Obj) -> None:
    """The domain of the node by the term's key, with the first pod that is there."""
    key = str(term["topologyKey"])
    if key in node.labels:
        into.setdefault((key, node.labels[key]), f"{kube.namespace(other)}/{kube.name(other)}")


def class_of(obj: View) -> str:
    """StorageClass of a claim or volume; the old annotation still wins in Kubernetes."""
    old = (obj["metadata"].get("annotations") or {}).get("volume.beta.kubernetes.io/storage-class")
    return str(old if old is not None else obj["spec"].get("storageClassName") or "")


def _node(obj: Obj) -> Node:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return Node(
        name=kube.name(obj),
        labels=obj["metadata"].get("labels") or {},
        taints=spec.get("taints") or (),
        unschedulable=bool(spec.get("unschedulable")),
        ready=is_true(status.get("conditions") or (), "Ready"),
        allocatable=requests.amounts(status.get("allocatable")),
    )


def is_true(conditions: Iterable[Mapping[str, str]], kind: str) -> bool:
    return any(one.get("type") == kind and one.get("status") == "True" for one in conditions)
