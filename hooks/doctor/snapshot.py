"""Everything the doctor looks at, as one value that can be saved, mailed and read again.

Only named fields are kept (`_KEEP`), so that a new field of Kubernetes never leaks by default: no environment,
arguments, annotations of others, Secrets, or ConfigMaps besides those of helm-tidb's own contracts. Log lines are
the last few of containers that fail, with what looks like a password cut out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hooks import kube
from hooks.engine import EngineError
from hooks.kube.kinds import Obj

FORMAT = 1


class SnapshotError(EngineError):
    """A saved snapshot can't be read; the message says why."""


@dataclass(frozen=True, order=True)
class Gap:
    """What could not be read. `resource` and `group` are RBAC's words, `namespace` is "" for the whole cluster.

    forbidden: the account lacks the right (`missing` is what it is worth); else `said` is the server's sentence.
    """

    resource: str
    group: str
    namespace: str
    missing: str
    said: str
    forbidden: bool = True
    verb: str = "list"


@dataclass(frozen=True)
class Snapshot:
    """`objects` by kind. `pd`: path → what PD answered there, as text; `pd_said`: why it did not.

    `logs`: `pod/container` → its last lines (of the container before, when it crashed). `derived` keeps what is worked
    out of all this and asked for more than once; it is no part of the file.
    """

    taken: datetime
    namespace: str
    release: str
    objects: Mapping[str, Sequence[Obj]] = field(default_factory=dict)
    pd: Mapping[str, str] = field(default_factory=dict)
    pd_said: str = ""
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    derived: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def all(self, kind: str) -> Sequence[Obj]:
        return self.objects.get(kind, ())

    def own(self, kind: str) -> list[Obj]:
        """Objects of the snapshot's namespace."""
        return [one for one in self.all(kind) if kube.namespace(one) == self.namespace]

    def released(self, kind: str, component: str = "") -> list[Obj]:
        """Objects of the release, and of one component of it."""
        wanted = {"app.kubernetes.io/instance": self.release}
        if component:
            wanted["app.kubernetes.io/component"] = component
        return [one for one in self.own(kind) if wanted.items() <= labels_of(one).items()]

    def missing(self, resource: str) -> bool:
        return any(gap.resource == resource for gap in self.gaps)


def labels_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = obj["metadata"].get("labels") or {}
    return found


def annotations_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = obj["metadata"].get("annotations") or {}
    return found


# --- what is kept --------------------------------------------------------------------------------

# True keeps a value as it is, a mapping the named keys below (of each element, for a list).
_Keep = Mapping[str, Any]

_META: _Keep = {
    **dict.fromkeys(
        ("name", "namespace", "uid", "labels", "creationTimestamp", "deletionTimestamp"), True
    ),
    "ownerReferences": {"kind": True, "name": True, "uid": True, "controller": True},
}
# Of others' annotations only those that say how storage is bound.
_ANNOTATIONS = re.compile(r"^(helm-tidb\.io/|pv\.kubernetes\.io/|volume\.|meta\.helm\.sh/)")

_CONTAINER: _Keep = {
    **dict.fromkeys(("name", "image", "resources", "restartPolicy"), True),
    "ports": dict.fromkeys(("hostPort", "hostIP", "protocol", "containerPort"), True),
}
_STATUS_OF_CONTAINER: _Keep = dict.fromkeys(
    ("name", "ready", "started", "restartCount", "state", "lastState", "image", "resources",
     "allocatedResources"), True
)  # fmt: skip
_POD_SPEC: _Keep = {
    **dict.fromkeys(
        ("nodeName", "nodeSelector", "affinity", "tolerations", "topologySpreadConstraints",
         "overhead", "resources", "priority", "priorityClassName", "schedulerName",
         "schedulingGates", "hostNetwork", "imagePullSecrets"), True
    ),
    "containers": _CONTAINER,
    "initContainers": _CONTAINER,
    "volumes": {"name": True, "persistentVolumeClaim": True, "ephemeral": {"x": True}},
}  # fmt: skip
_POD: _Keep = {
    "spec": _POD_SPEC,
    "status": {
        **dict.fromkeys(
            ("phase", "conditions", "reason", "message", "startTime", "qosClass"), True
        ),
        "containerStatuses": _STATUS_OF_CONTAINER,
        "initContainerStatuses": _STATUS_OF_CONTAINER,
    },
}
# Another namespace's pod matters only for what it takes from its node and whom it repels.
_GUEST: _Keep = {
    "spec": {
        **dict.fromkeys(("nodeName", "overhead", "resources"), True),
        "affinity": {"podAntiAffinity": True},
        "containers": {"name": True, "resources": {"requests": True}, "ports": True},
        "initContainers": {"name": True, "resources": {"requests": True}, "restartPolicy": True},
    },
    "status": {
        "phase": True,
        "containerStatuses": {"name": True, "resources": {"requests": True}},
    },
}
_WORKLOAD: _Keep = {
    "spec": {
        **dict.fromkeys(("replicas", "schedule", "suspend", "completions", "backoffLimit",
                         "selector", "serviceName"), True),
        "volumeClaimTemplates": {"metadata": {"name": True}, "spec": True},
        "template": {"spec": {"containers": _CONTAINER}},
    },
    "status": True,
}  # fmt: skip
_KEEP: Mapping[str, _Keep] = {
    "Pod": _POD,
    "Node": {
        "spec": {"taints": True, "unschedulable": True},
        "status": {
            "allocatable": True,
            "conditions": dict.fromkeys(("type", "status", "reason", "lastTransitionTime"), True),
            "nodeInfo": {"kubeletVersion": True},
        },
    },
    "PersistentVolumeClaim": {"spec": True, "status": {"phase": True, "capacity": True}},
    "PersistentVolume": {
        "spec": dict.fromkeys(
            ("capacity", "accessModes", "storageClassName", "claimRef", "nodeAffinity", "volumeMode",
             "persistentVolumeReclaimPolicy", "volumeAttributesClassName", "local"), True
        ),
        "status": {"phase": True, "reason": True},
    },
    "StorageClass": dict.fromkeys(
        ("provisioner", "volumeBindingMode", "allowedTopologies", "reclaimPolicy"), True
    ),
    "Namespace": {},
    "TidbVolume": {"spec": True, "status": True},
    "StatefulSet": _WORKLOAD,
    "DaemonSet": _WORKLOAD,
    "Deployment": _WORKLOAD,
    "Job": _WORKLOAD,
    "CronJob": {"spec": {"schedule": True, "suspend": True}, "status": True},
    "ResourceQuota": {"spec": True, "status": True},
    "Lease": {"spec": True},
    "Event": {
        **dict.fromkeys(("type", "reason", "note", "eventTime", "regarding",
                         "deprecatedLastTimestamp", "deprecatedCount", "reportingController"), True),
        "series": True,
    },
    # Contracts of our own; observe.py reads no others.
    "ConfigMap": {"data": True},
}  # fmt: skip


def prune(obj: Obj, *, guest: bool = False) -> Obj:
    """The object with what the doctor may see of it. guest: a pod of another namespace."""
    kind = str(obj["kind"])
    kept = _only(obj, _GUEST if guest else _KEEP[kind])
    meta = _only(obj["metadata"], _META)
    ours = {k: v for k, v in annotations_of(obj).items() if _ANNOTATIONS.match(k)}
    if ours:
        meta["annotations"] = ours
    return {"apiVersion": obj["apiVersion"], "kind": kind, "metadata": meta, **kept}


def _only(obj: Mapping[str, Any], keep: _Keep) -> dict[str, Any]:
    kept = {}
    for key, below in keep.items():
        if key not in obj:
            continue
        value = obj[key]
        if below is True or value is None:
            kept[key] = value
        elif isinstance(value, list):
            kept[key] = [_only(one, below) for one in value]
        else:
            kept[key] = _only(value, below)
    return kept


_SECRET = re.compile(r"(?i)(password|passwd|token|secret|credential)(\S*?[=:]\s*)(\S+)")


def redact(line: str) -> str:
    """A log line without what stands behind a word like password, and cut to what a person reads."""
    return _SECRET.sub(r"\1\2***", line)[:600]


# --- as a file -----------------------------------------------------------------------------------


def save(snapshot: Snapshot, path: Path) -> None:
    document = {
        "format": FORMAT,
        "taken": snapshot.taken.isoformat(),
        "namespace": snapshot.namespace,
        "release": snapshot.release,
        "gaps": [vars(gap) for gap in snapshot.gaps],
        "pd": dict(snapshot.pd),
        "pdSaid": snapshot.pd_said,
        "logs": {key: list(lines) for key, lines in snapshot.logs.items()},
        "objects": {kind: list(items) for kind, items in snapshot.objects.items()},
    }
    try:
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise SnapshotError(f"cannot write the snapshot to {path}: {error.strerror}") from error


def load(path: Path) -> Snapshot:
    """Raises SnapshotError for what is no snapshot, or one of another version."""
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise SnapshotError(f"cannot read the snapshot {path}: {error.strerror}") from error
    except ValueError as error:
        raise SnapshotError(
            f"{path} is no snapshot: {error}; make one with `kubectl tidb doctor --save FILE`"
        ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise SnapshotError(
            f"{path} is a snapshot of format {found!r}, this program reads {FORMAT}; save it anew, or use the "
            "version that wrote it"
        )
    try:
        return Snapshot(
            taken=datetime.fromisoformat(document["taken"]).astimezone(UTC),
            namespace=document["namespace"],
            release=document["release"],
            objects=document["objects"],
            pd=document["pd"],
            pd_said=document["pdSaid"],
            logs=document["logs"],
            gaps=tuple(Gap(**gap) for gap in document["gaps"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError(
            f"{path} is no whole snapshot: {error!r} is missing or wrong"
        ) from error
