"""Whether a database volume is a disk of its own node. TiKV and PD keep their copies themselves; storage on the network
copies each copy again, and may still be written to by a node that everybody thinks is gone.
"""

from __future__ import annotations

from collections.abc import Collection

from hooks.kube import View

PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
# Volume sources that are paths of one node.
LOCAL_SOURCES = ("local", "hostPath")


def problem(claim: str, volume: View, local_provisioners: Collection[str]) -> str:
    """Why this PersistentVolume is no local disk, or "". Doubt counts as network: an unknown driver is named."""
    spec = volume["spec"]
    if any(source in spec for source in LOCAL_SOURCES):
        return ""
    annotations = volume["metadata"].get("annotations") or {}
    driver = (spec.get("csi") or {}).get("driver") or annotations.get(PROVISIONED_BY, "")
    if driver in local_provisioners:
        return ""
    what = (
        f"driver {driver}"
        if driver
        else f"a volume source without a driver ({', '.join(_sources(spec))})"
    )
    return (
        f"claim {claim} is bound to volume {volume['metadata']['name']} of class "
        f"{spec.get('storageClassName') or '(none)'}, {what}, which is not known to be a disk of the pod's own node"
    )


def _sources(spec: View) -> list[str]:
    known = {
        "capacity",
        "accessModes",
        "claimRef",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeMode",
    }
    return sorted(
        set(spec) - known - {"nodeAffinity", "mountOptions", "volumeAttributesClassName"}
    ) or ["none"]
