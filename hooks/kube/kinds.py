"""The kinds of objects that jobs touch, and the paths they live under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from schema import names

# An object as the API server sends it. Typed models would drop the fields they don't know
# (reference/python-on-kubernetes.md).
Obj = dict[str, Any]
View = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, name: str = "", namespace: str = "", subresource: str = "") -> str:
        """`/api/v1/namespaces/shop/pods/db-0/status`; an empty namespace means all of them, an empty name the list."""
        if name and self.namespaced and not namespace:
            raise ValueError(f"{self.kind} {name}: a namespaced object needs its namespace")
        base = "/api/" if "/" not in self.api_version else "/apis/"
        parts = [base + self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)


POD = Kind("v1", "Pod", "pods")
NODE = Kind("v1", "Node", "nodes", namespaced=False)
NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SECRET = Kind("v1", "Secret", "secrets")
SERVICE = Kind("v1", "Service", "services")
CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
VOLUME = Kind("v1", "PersistentVolume", "persistentvolumes", namespaced=False)
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
DAEMON_SET = Kind("apps/v1", "DaemonSet", "daemonsets")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
JOB = Kind("batch/v1", "Job", "jobs")
CRON_JOB = Kind("batch/v1", "CronJob", "cronjobs")
STORAGE_CLASS = Kind("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False)
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
EVENT = Kind("events.k8s.io/v1", "Event", "events")
CRD = Kind(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    namespaced=False,
)
TIDB_VOLUME = Kind(names.API_VERSION, "TidbVolume", "tidbvolumes", namespaced=False)

_ALL = {
    (k.api_version, k.kind): k
    for k in list(globals().values())
    if isinstance(k, Kind)  # the table is the constants above
}


def kind_of(obj: View) -> Kind:
    """The Kind of an object that carries apiVersion and kind (items of a list don't)."""
    key = (str(obj.get("apiVersion")), str(obj.get("kind")))
    if key not in _ALL:
        raise ValueError(f"no kind {key[1]} of {key[0]} in hooks/kube/kinds.py")
    return _ALL[key]


def name(obj: View) -> str:
    return str(obj["metadata"]["name"])


def namespace(obj: View) -> str:
    """Empty for a cluster-scoped object."""
    return str(obj["metadata"].get("namespace", ""))


def uid(obj: View) -> str:
    return str(obj["metadata"].get("uid", ""))


def version(obj: View) -> str:
    """The resourceVersion, an opaque string."""
    return str(obj["metadata"].get("resourceVersion", ""))
