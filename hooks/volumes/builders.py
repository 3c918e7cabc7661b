"""The objects that the controller writes. Pure: values in, dicts out."""

from __future__ import annotations

from hooks.kube.kinds import CONFIG_MAP, TIDB_VOLUME, VOLUME, Obj
from hooks.volumes.actions import CreatePv, CreateVolume, WriteRequests
from hooks.volumes.model import Policy
from schema import names

MANAGER_LABEL = f"{names.GROUP}/managed-by"


def _labels(policy: Policy) -> dict[str, str]:
    managed = {MANAGER_LABEL: policy.manager} if policy.manager else {}
    return {**policy.labels, **managed}


def tidb_volume(action: CreateVolume, policy: Policy) -> Obj:
    return {
        "apiVersion": TIDB_VOLUME.api_version,
        "kind": TIDB_VOLUME.kind,
        "metadata": {
            "name": action.volume,
            "labels": _labels(policy),
            "finalizers": [names.FINALIZER],
        },
        "spec": {"identity": action.identity, "generation": action.generation},
    }


def persistent_volume(action: CreatePv, policy: Policy) -> Obj:
    """One disk, one PV. Retain: nobody but this controller, by way of a permitted wipe, ever ends its data."""
    return {
        "apiVersion": VOLUME.api_version,
        "kind": VOLUME.kind,
        "metadata": {
            "name": names.folder_name(action.volume, action.generation),
            "labels": {
                **_labels(policy),
                names.VOLUME_LABEL: action.volume,
                names.GENERATION_LABEL: str(action.generation),
            },
            "annotations": {
                names.IDENTITY_ANNOTATION: action.identity,
                # Should somebody change the policy to Delete: without this, a released local PV goes Failed.
                "pv.kubernetes.io/provisioned-by": names.PROVISIONED_BY,
            },
            "finalizers": [names.FINALIZER],
        },
        "spec": {
            "capacity": {"storage": f"{action.capacity_bytes >> 20}Mi"},
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": action.storage_class,
            "local": {"path": action.path},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [
                                {
                                    "key": "kubernetes.io/hostname",
                                    "operator": "In",
                                    "values": [action.hostname],
                                }
                            ]
                        }
                    ]
                }
            },
        },
    }


def requests(action: WriteRequests, namespace: str, policy: Policy) -> Obj:
    return {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.kind,
        "metadata": {
            "name": names.REQUESTS_PREFIX + action.node,
            "namespace": namespace,
            "labels": {**_labels(policy), names.EXCHANGE_LABEL: names.REQUESTS},
        },
        "data": {names.REQUESTS_KEY: action.text},
    }
