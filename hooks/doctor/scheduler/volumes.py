"""The VolumeBinding filter: which of a pod's claims tie it to nodes, and whether a node has a volume for the others.

Source: pkg/scheduler/framework/plugins/volumebinding and component-helpers storage/volume.FindMatchingVolume.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hooks import kube
from hooks.doctor.scheduler.model import Node, Reason
from hooks.doctor.scheduler.requests import amount, show
from hooks.doctor.scheduler.selectors import matches, matches_node
from hooks.doctor.scheduler.world import World, class_of
from hooks.kube.kinds import Obj, View

NO_PROVISIONER = "kubernetes.io/no-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
_BOUND_HERE = "pv.kubernetes.io/bind-completed"

_AWAY = "node(s) didn't match PersistentVolume's node affinity"
_NONE = "node(s) didn't find available persistent volumes to bind"
_GONE = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


@dataclass
class Claims:
    """A pod's claims by how they are bound. `refused`: the scheduler looks at no node at all, for this reason."""

    bound: list[Obj] = field(default_factory=list)
    delayed: list[Obj] = field(default_factory=list)
    refused: str = ""


def claims_of(pod: View, world: World) -> Claims:
    found = Claims()
    claims = []
    for name in claim_names(pod):
        claim = world.claims.get((kube.namespace(pod), name))
        if claim is None:
            found.refused = f'persistentvolumeclaim "{name}" not found'
            return found
        if (claim.get("status") or {}).get("phase") == "Lost":
            volume = claim["spec"].get("volumeName", "")
            found.refused = (
                f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
            )
            return found
        if claim["metadata"].get("deletionTimestamp"):
            found.refused = f'persistentvolumeclaim "{name}" is being deleted'
            return found
        claims.append(claim)
    for claim in claims:
        if is_bound(claim):
            found.bound.append(claim)
        elif is_delayed(claim, world) and not claim["spec"].get("volumeName"):
            found.delayed.append(claim)
        else:
            found.refused = "pod has unbound immediate PersistentVolumeClaims"
    # The smallest request first, so that each claim takes the smallest volume that fits.
    found.delayed.sort(key=request_bytes)
    return found


def claim_names(pod: View) -> Iterable[str]:
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield volume["persistentVolumeClaim"]["claimName"]
        elif "ephemeral" in volume:
            yield f"{kube.name(pod)}-{volume['name']}"


def is_bound(claim: View) -> bool:
    return bool(claim["spec"].get("volumeName")) and _BOUND_HERE in (
        claim["metadata"].get("annotations") or {}
    )


def is_delayed(claim: View, world: World) -> bool:
    one = world.classes.get(class_of(claim))
    return one is not None and one.get("volumeBindingMode") == "WaitForFirstConsumer"


def request_bytes(claim: View) -> int:
    asked = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")
    return amount("storage", str(asked))


def capacity_bytes(volume: View) -> int:
    return amount("storage", str((volume["spec"].get("capacity") or {}).get("storage", "0")))


def reasons(claims: Claims, node: Node, world: World) -> tuple[Reason, ...]:
    """Why this node can't give the pod its volumes; empty when it can."""
    found = []
    away = _first_away(claims.bound, node, world)
    if away is not None:
        found.append(away)
    if claims.delayed and (missing := _unmatched(claims.delayed, node, world)) is not None:
        found.append(missing)
    return tuple(found)


def reaches(volume: View, node: Node) -> bool:
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if required is None:
        return True
    return matches_node(required.get("nodeSelectorTerms") or (), node.labels, node.name)


def _first_away(bound: Sequence[Obj], node: Node, world: World) -> Reason | None:
    """The scheduler stops at the first claim that is wrong, and says no other."""
    for claim in bound:
        name = claim["spec"]["volumeName"]
        volume = world.volumes.get(name)
        if volume is None:
            text = f"claim {kube.name(claim)} is bound to volume {name}, which does not exist"
            return Reason("volume-gone", _GONE, text)
        if not reaches(volume, node):
            text = f"claim {kube.name(claim)} has its data on volume {name}, on another node"
            return Reason("volume-elsewhere", _AWAY, text)
    return None


def _unmatched(delayed: Sequence[Obj], node: Node, world: World) -> Reason | None:
    chosen: set[str] = set()
    left = []
    for claim in delayed:
        selected = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
        if selected is not None and selected != node.name:
            text = f"claim {kube.name(claim)} is being provisioned on node {selected}"
            return Reason("no-volume", _NONE, text)
        if selected is not None:
            left.append(claim)
            continue
        volume = smallest_match(claim, node, world, chosen)
        if volume is None:
            left.append(claim)
        else:
            chosen.add(kube.name(volume))
    for claim in left:
        one = world.classes.get(class_of(claim)) or {}
        if one.get("provisioner") in (None, "", NO_PROVISIONER) or not _allowed(one, node):
            asked = show("storage", request_bytes(claim))
            text = f"no free volume of class {class_of(claim)} with {asked} for claim {kube.name(claim)}"
            return Reason("no-volume", _NONE, text, {"asked": request_bytes(claim)})
    return None


def smallest_match(claim: Obj, node: Node, world: World, taken: set[str]) -> Obj | None:
    """The volume that the scheduler would bind on this node."""
    best: Obj | None = None
    for volume in world.volumes_of_class.get(class_of(claim), ()):
        if kube.name(volume) in taken or _mismatch(claim, volume) or not reaches(volume, node):
            continue
        if reserved_for(volume, claim):
            return volume
        if best is None or capacity_bytes(volume) < capacity_bytes(best):
            best = volume
    return best


def _mismatch(claim: Obj, volume: Obj) -> bool:
    spec, wanted = volume["spec"], claim["spec"]
    if volume["metadata"].get("deletionTimestamp"):
        return True
    if capacity_bytes(volume) < request_bytes(claim):
        return True
    if (spec.get("volumeMode") or "Filesystem") != (wanted.get("volumeMode") or "Filesystem"):
        return True
    if (spec.get("volumeAttributesClassName") or "") != (
        wanted.get("volumeAttributesClassName") or ""
    ):
        return True
    if spec.get("claimRef"):
        return not reserved_for(volume, claim)
    if (volume.get("status") or {}).get("phase") != "Available":
        return True
    selector = wanted.get("selector")
    if selector is not None and not matches(selector, volume["metadata"].get("labels") or {}):
        return True
    return not set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ())


def reserved_for(volume: View, claim: View) -> bool:
    ref = volume["spec"].get("claimRef") or {}
    if (ref.get("namespace"), ref.get("name")) != (kube.namespace(claim), kube.name(claim)):
        return False
    return not ref.get("uid") or ref["uid"] == kube.uid(claim)


def _allowed(one: View, node: Node) -> bool:
    """allowedTopologies of a class: alternatives, each with all of its label expressions."""
    terms = one.get("allowedTopologies") or ()
    return not terms or any(
        all(
            node.labels.get(expression["key"]) in (expression.get("values") or ())
            for expression in term.get("matchLabelExpressions") or ()
        )
        for term in terms
    )
