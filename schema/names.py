"""The names that more than one part of the project writes or reads on Kubernetes objects.

A name stands here once; charts repeat it in text only where a template must, and a test compares the two.
"""

from __future__ import annotations

GROUP = "helm-tidb.io"
VERSION = "v1"
API_VERSION = f"{GROUP}/{VERSION}"

# --- what the disk agent and the volume controller say to each other, one ConfigMap a node and direction ---
INVENTORY_PREFIX = "tidb-disks-"
REQUESTS_PREFIX = "tidb-disk-requests-"
# Label on both kinds of ConfigMap, so that either side lists and watches nothing else of the namespace.
EXCHANGE_LABEL = f"{GROUP}/disk-exchange"
INVENTORY = "inventory"
REQUESTS = "requests"
# Keys in the ConfigMaps' data.
INVENTORY_KEY = "inventory.json"
REQUESTS_KEY = "requests.json"
SCAN_KEY = "scan"

# --- what database jobs say to the volume controller: one ConfigMap in each database namespace ---
FINISHED_VOLUMES = "tidb-finished-volumes"

# --- on PersistentVolumes and TidbVolumes ---
# Label on a PV: the name of the TidbVolume it came from; the controller lists and watches by it.
VOLUME_LABEL = f"{GROUP}/volume"
GENERATION_LABEL = f"{GROUP}/generation"
IDENTITY_ANNOTATION = f"{GROUP}/identity"
FINALIZER = f"{GROUP}/volume"
# A person's word on a TidbVolume: "now" or "everything" (schema/tidbvolume.schema.yaml, Wipe).
WIPE_ANNOTATION = f"{GROUP}/wipe"
# `pv.kubernetes.io/provisioned-by`: not under kubernetes.io/, or a Released PV with policy Delete goes Failed.
PROVISIONED_BY = f"{GROUP}/disks"


def volume_name(identity: str) -> str:
    """The TidbVolume's name for a disk's identity: `tv-` and 64 bits of SHA-256.

    Short enough to type, the same on every run. 64 bits make a collision among 24,000 disks a matter of 10^-11, and it
    is still handled: the controller compares `spec.identity` and refuses the second disk by name.
    """
    import hashlib  # not needed by the post-renderer, which has to start quickly

    return f"tv-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def folder_name(volume: str, generation: int) -> str:
    """The folder of a volume's generation below the disk's mount point, and the name of its PV: `tv-…-g1`."""
    return f"{volume}-g{generation}"


# --- the durable record of a database cluster: one ConfigMap a release, kept on uninstall (hooks/boot/model.Record) ---
RECORD_MEMBERS_KEY = "members"
RECORD_CLUSTER_ID_KEY = "clusterId"
RECORD_SINCE_KEY = "since"
RECORD_REBOOTSTRAP_KEY = "rebootstrap"


def record(release: str) -> str:
    """The record's ConfigMap: `<release>-cluster`. `clusterId` in it is PD's, in decimal digits."""
    return f"{release}-cluster"


# --- on the StatefulSets of PD and TiKV: the one smaller number of replicas that is allowed just now ------------------
# The admission policy of chart/templates/scale reads it from the object as it was before the change.
ALLOW_REPLICAS_ANNOTATION = f"{GROUP}/allow-replicas"
