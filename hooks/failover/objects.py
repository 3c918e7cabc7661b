"""From Kubernetes' objects to the plan's own words: names of a release's objects, Nodes, pods, claims, volumes.

A field that is missing or strange raises JobError with the object's name: nothing may follow from a guess.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hooks import kube
from hooks.engine import JobError
from hooks.failover.model import Claim, Component, Disk, Node, Pod, Volume
from schema import names

HOSTNAME = "kubernetes.io/hostname"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
# What the node controller sets by itself on a node in trouble: said by `ready` already.
NODE_TROUBLE = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
NO_NEW_PODS = frozenset({"NoSchedule", "NoExecute"})
# Of Nodes and pods, which have 10 to 20 KB each, so many are in memory at a time: a job has 64 MB.
PAGE = 50
SUFFIXES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
DECIMAL = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18, "": 1}


@dataclass(frozen=True)
class Names:
    """How the chart names a release's objects (chart/templates/_names.tpl). `domain` is
    `.<namespace>.svc[.<clusterDomain>]`.
    """

    release: str
    namespace: str
    domain: str
    scheme: str = "http"

    def pod(self, component: Component, ordinal: int) -> str:
        return f"{self.release}-{component}-{ordinal}"

    def claim(self, component: Component, ordinal: int) -> str:
        return f"{component}-{self.pod(component, ordinal)}"

    def host(self, component: Component, ordinal: int) -> str:
        return f"{self.pod(component, ordinal)}.{self.release}-{component}-peer{self.domain}"

    def address(self, ordinal: int) -> str:
        """What TiKV registers with PD."""
        return f"{self.host(Component.TIKV, ordinal)}:20160"

    def pd_urls(self, replicas: int) -> list[str]:
        """The Service first, since it leads to members that are ready; then each member by itself."""
        service = f"{self.scheme}://{self.release}-pd{self.domain}:2379"
        hosts = (self.host(Component.PD, i) for i in range(replicas))
        return [service, *(f"{self.scheme}://{host}:2379" for host in hosts)]

    @property
    def evictions(self) -> str:
        """ConfigMap where a job notes an evict-leader scheduler as its own before it adds it: store id → the
        Lease's holder.
        """
        return f"{self.release}-evictions"

    @property
    def lease(self) -> str:
        """The Lease that failover, cleanup, scale and roll share."""
        return f"{self.release}-maintenance"

    def selector(self, *components: Component) -> str:
        return (
            f"app.kubernetes.io/name=tidb,app.kubernetes.io/instance={self.release},"
            f"app.kubernetes.io/component in ({','.join(components)})"
        )


@dataclass(frozen=True)
class Set:
    """What a StatefulSet says about its pods' places. `may_share_node`: anti-affinity between them is not
    required.
    """

    replicas: int
    may_share_node: bool
    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, str], ...]


def stateful_sets(client: kube.Client, of: Names) -> dict[Component, Set]:
    """Both of the release's, in one call. JobError when one is not there."""
    listed = client.list(kube.STATEFUL_SET, of.namespace, labels=of.selector(*Component))
    found = {kube.name(obj): obj for obj in listed}
    missing = [name for one in Component if (name := f"{of.release}-{one}") not in found]
    if missing:
        raise JobError(
            f"namespace {of.namespace} has no StatefulSet {' and no '.join(missing)} with the labels "
            f"{of.selector(*Component)}: is {of.release!r} the release's name (--release)?"
        )
    return {one: stateful_set(found[f"{of.release}-{one}"]) for one in Component}


def stateful_set(obj: kube.View) -> Set:
    spec = obj["spec"]
    pod = spec["template"]["spec"]
    anti = ((pod.get("affinity") or {}).get("podAntiAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or []
    return Set(
        replicas=int(spec.get("replicas", 1)),
        may_share_node=not any(term.get("topologyKey") == HOSTNAME for term in anti),
        node_selector=pod.get("nodeSelector") or {},
        tolerations=tuple(pod.get("tolerations") or ()),
    )


def nodes(
    client: kube.Client, sets: Mapping[Component, Set]
) -> tuple[dict[str, Node], dict[str, Mapping[str, str]]]:
    """All Nodes by name, and their labels. JobError for an empty list: a cluster without Nodes runs no job."""
    found: dict[str, Node] = {}
    labels: dict[str, Mapping[str, str]] = {}
    for page in client.pages(kube.NODE, page=PAGE):
        for obj in page.items:
            found[kube.name(obj)] = node(obj, sets)
            labels[kube.name(obj)] = obj["metadata"].get("labels") or {}
    if not found:
        raise JobError(
            "the API server lists no Node at all; that cannot be, nothing follows from it"
        )
    return found, labels


def node(obj: kube.View, sets: Mapping[Component, Set]) -> Node:
    name = kube.name(obj)
    spec, labels = obj.get("spec") or {}, obj["metadata"].get("labels") or {}
    ready = next(
        (c for c in (obj.get("status") or {}).get("conditions") or [] if c.get("type") == "Ready"),
        None,
    )
    if ready is None:
        # A Node that has never reported: neither lost nor of use.
        ready = {"status": "False", "lastTransitionTime": obj["metadata"]["creationTimestamp"]}
    taints = [t for t in spec.get("taints") or [] if t.get("key") not in NODE_TROUBLE]
    return Node(
        name=name,
        hostname=str(labels.get(HOSTNAME, name)),
        ready=ready.get("status") == "True",
        ready_since=instant(ready.get("lastTransitionTime"), f"Node {name} Ready condition"),
        out_of_service=any(t.get("key") == OUT_OF_SERVICE for t in taints),
        unschedulable={
            component: why_not(spec, labels, taints, one) for component, one in sets.items()
        },
    )


def why_not(
    spec: Mapping[str, Any], labels: Mapping[str, str], taints: list[Mapping[str, str]], of: Set
) -> str:
    """Why the scheduler puts no pod of this set here; "" when it would."""
    if spec.get("unschedulable"):
        return "cordoned"
    for key, value in of.node_selector.items():
        if labels.get(key) != value:
            return f"has no label {key}={value}, which nodeSelector asks for"
    for taint in taints:
        if taint.get("effect") in NO_NEW_PODS and not any(
            tolerates(one, taint) for one in of.tolerations
        ):
            return f"taint {taint.get('key')}={taint.get('value', '')}:{taint.get('effect')}"
    return ""


def tolerates(toleration: Mapping[str, str], taint: Mapping[str, str]) -> bool:
    """As the scheduler reads a toleration."""
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.get("key"))
    return toleration.get("key") == taint.get("key") and toleration.get("value", "") == taint.get(
        "value", ""
    )


def pods(
    client: kube.Client, of: Names, wanted: Collection[str]
) -> tuple[dict[str, kube.Obj], dict[tuple[Component, str], str]]:
    """The wanted PD and TiKV pods of the release by name, and who of all of them sits on which Node."""
    found: dict[str, kube.Obj] = {}
    busy: dict[tuple[Component, str], str] = {}
    for page in client.pages(kube.POD, of.namespace, labels=of.selector(*Component), page=PAGE):
        for obj in page.items:
            if kube.name(obj) in wanted:
                found[kube.name(obj)] = obj
            where = obj["spec"].get("nodeName")
            if where:
                component = Component(obj["metadata"]["labels"]["app.kubernetes.io/component"])
                busy[component, where] = kube.name(obj)
    return found, busy


def pod(obj: kube.View | None) -> Pod | None:
    if obj is None:
        return None
    meta = obj["metadata"]
    return Pod(
        name=kube.name(obj),
        uid=kube.uid(obj),
        node=str(obj["spec"].get("nodeName") or ""),
        created=instant(meta.get("creationTimestamp"), f"Pod {kube.name(obj)}"),
        deleting="deletionTimestamp" in meta,
    )


def claims(client: kube.Client, of: Names) -> dict[str, kube.Obj]:
    """The release's PD and TiKV claims by name."""
    found = {}
    for page in client.pages(kube.CLAIM, of.namespace, labels=of.selector(*Component)):
        for obj in page.items:
            obj["metadata"].pop("managedFields", None)  # half of a claim
            found[kube.name(obj)] = obj
    return found


def claim(obj: kube.View | None, volumes: Mapping[str, Volume]) -> Claim | None:
    """JobError when it is bound to a PV that the API server does not have: that is Lost, and for a person."""
    if obj is None:
        return None
    meta, spec = obj["metadata"], obj["spec"]
    bound = str(spec.get("volumeName") or "")
    if bound and bound not in volumes:
        raise JobError(
            f"claim {kube.name(obj)} is bound to volume {bound}, and there is no such PersistentVolume; it was "
            "deleted by hand: look for its disk before anything is done about the claim"
        )
    request = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "0")
    return Claim(
        name=kube.name(obj),
        uid=kube.uid(obj),
        created=instant(meta.get("creationTimestamp"), f"claim {kube.name(obj)}"),
        deleting="deletionTimestamp" in meta,
        volume=volumes[bound] if bound else None,
        storage_class=str(spec.get("storageClassName") or ""),
        request_bytes=quantity(str(request)),
    )


def volumes(
    client: kube.Client, wanted: Collection[str]
) -> tuple[dict[str, kube.Obj], list[kube.Obj]]:
    """The wanted PersistentVolumes by name, and all that a claim could still bind. Read in pages, the rest is
    dropped.
    """
    found: dict[str, kube.Obj] = {}
    free: list[kube.Obj] = []
    for page in client.pages(kube.VOLUME):
        for obj in page.items:
            if kube.name(obj) in wanted:
                found[kube.name(obj)] = obj
            elif (obj.get("status") or {}).get(
                "phase"
            ) == "Available" and "deletionTimestamp" not in obj["metadata"]:
                obj["metadata"].pop("managedFields", None)
                free.append(obj)
    return found, free


def volume(
    client: kube.Client,
    obj: kube.View,
    nodes: Mapping[str, Node],
    labels: Mapping[str, Mapping[str, str]],
    *,
    local: bool,
) -> Volume:
    """A PV in the plan's words, with what its TidbVolume says of the disk."""
    disk = None
    if (of := (obj["metadata"].get("labels") or {}).get(names.VOLUME_LABEL)) is not None:
        disk = client.find(kube.TIDB_VOLUME, of)
    status = (disk or {}).get("status") or {}
    seen_on = nodes.get(str(status.get("node", "")))
    return Volume(
        name=kube.name(obj),
        uid=kube.uid(obj),
        # The agent's word where there is one: a hostname label that somebody changed must not look like a
        # deleted Node.
        hostname=(seen_on.hostname if seen_on else tied_to(obj, nodes, labels)) if local else "",
        phase=str(status.get("phase", "")),
        message=str(status.get("message", "")),
    )


def tied_to(
    obj: kube.View, nodes: Mapping[str, Node], labels: Mapping[str, Mapping[str, str]]
) -> str:
    """The hostname of the one Node that its node affinity allows; what the affinity asks for when no Node has
    it; "" when several do, or when there is none: such a volume is tied to no node.
    """
    required = ((obj["spec"].get("nodeAffinity") or {}).get("required") or {}).get(
        "nodeSelectorTerms"
    ) or []
    asked = [
        (str(one.get("key")), tuple(one.get("values") or ()))
        for term in required
        for one in term.get("matchExpressions") or []
        if one.get("operator") == "In"
    ]
    if not asked or len(required) != 1:
        return ""
    allowed = [
        name for name in nodes if all(labels[name].get(key) in values for key, values in asked)
    ]
    if len(allowed) == 1:
        return nodes[allowed[0]].hostname
    return "" if allowed else ",".join(asked[0][1])


def free_disks(
    some: list[kube.Obj], nodes: Mapping[str, Node], labels: Mapping[str, Mapping[str, str]]
) -> tuple[Disk, ...]:
    return tuple(
        Disk(
            volume=kube.name(obj),
            hostname=tied_to(obj, nodes, labels),
            storage_class=str(obj["spec"].get("storageClassName") or ""),
            capacity_bytes=quantity(str((obj["spec"].get("capacity") or {}).get("storage", "0"))),
        )
        for obj in sorted(some, key=kube.name)
    )


def quantity(text: str) -> int:
    """Bytes of a Kubernetes quantity as claims and volumes have it. JobError for another form."""
    for suffixes in (SUFFIXES, DECIMAL):
        for suffix, factor in suffixes.items():
            number = text.removesuffix(suffix) if suffix else text
            if text.endswith(suffix) and number.replace(".", "", 1).isdigit():
                return int(float(number) * factor) if "." in number else int(number) * factor
    raise JobError(f"{text!r} is no quantity of storage")


def instant(stamp: object, what: str) -> datetime:
    """Kubernetes' RFC 3339. JobError names the object."""
    try:
        return datetime.fromisoformat(str(stamp).replace("Z", "+00:00")).astimezone(UTC)
    except ValueError as error:
        raise JobError(f"{what}: {stamp!r} is no time") from error
