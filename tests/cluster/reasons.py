"""Small StatefulSets with the labels of a release, each with one thing wrong, and what doctor must say of each."""

from __future__ import annotations

from dataclasses import dataclass

from tests.cluster.kube import Object

GPU = "example.com/gpu"
DUPLICATED = "[FATAL] duplicated store address: id:51, already registered by id:5"


@dataclass(frozen=True)
class Reason:
    """`wrong` is how docs/doctor.log calls it. `words` stand in the finding's sentence; {cls} is the test's own class,
    {near} one that does not exist and reads like it, {ns} the namespace.
    """

    wrong: str
    subject: str
    code: str
    words: str
    remedy: str = ""


REASONS = (
    Reason("too little CPU", "Pod shop-cpu-0", "unschedulable-resource", "with too little cpu (asked 100, most free "),
    Reason("too little memory", "Pod shop-memory-0", "unschedulable-resource",
           "with too little memory (asked 100Gi, most free ", "ask for less than "),
    Reason("too little ephemeral storage", "Pod shop-scratch-0", "unschedulable-resource",
           "with too little ephemeral-storage (asked 900Ti, most free "),
    Reason("StorageClass that does not exist", "Pod shop-class-0", "class-missing",
           "StorageClass {near} does not exist", "did you mean {cls}?"),
    Reason("no volume of that size", "Pod shop-size-0", "unschedulable-no-volume",
           "no free volume of class {cls} with 5Gi"),
    Reason("volume's node is gone", "Pod shop-pd-0", "node-gone",
           "its data is on volume {ns}-gone of node n9, and that Node does not exist any more",
           "failover replaces it after failover.pd.after, once PD confirms the loss"),
    Reason("volume's node is cordoned", "Pod shop-home-0", "home-cordoned",
           "of node n4, the only one that can run it, and that is cordoned", "kubectl uncordon n4"),
    Reason("volume's node is tainted", "Pod shop-held-0", "home-taint",
           "of node n3, the only one that can run it, and that has the taint helm-tidb.io/test=reasons:NoSchedule",
           "take the taint off n3, or tolerate it"),
    Reason("claim bound to a volume that was deleted", "Pod shop-tikv-0", "volume-gone",
           "is bound to volume {ns}-lost, which does not exist", "failover replaces it after failover.tikv.after"),
    Reason("PD that does not answer", "PD shop", "pd-silent", "PD does not answer", "bring the PD pods' nodes back"),
    Reason("disk not mounted", "Pod shop-nowhere-0", "folder-missing",
           "the disk is not mounted, or another disk sits in its place", "mount the right disk again"),
    Reason("one pod a node, and no node left", "Pod shop-apart-1", "unschedulable-anti-affinity",
           "{ns}/shop-apart-0 is here, and may not share kubernetes.io/hostname", "add a node"),
    Reason("affinity to pods that are nowhere", "Pod shop-near-0", "unschedulable-affinity",
           "none of the pods it must be near to is here (kubernetes.io/hostname)", "change near.affinity"),
    Reason("spread that can't be met", "Pod shop-spread-1", "unschedulable-spread",
           "kubernetes.io/hostname=n2 has 1 of these pods and the emptiest has 0: one more would exceed maxSkew 1"),
    Reason("node selector that matches no node", "Pod shop-selector-0", "unschedulable-selector", "lacks disk=nvme"),
    Reason("image that can't be pulled", "Pod shop-image-0", "image-pull", "can't pull image registry.invalid/none:1"),
    Reason("Secret that is missing", "Pod shop-secret-0", "container-config", 'secret "nobody" not found'),
    Reason("quota", "StatefulSet shop-quota", "quota", f"allows requests.{GPU}=0", "kubectl edit resourcequota"),
    Reason("crash loop: duplicated store address", "Pod shop-crash-0", "duplicated-store-address",
           "store 5 is still registered at this address", "retiring it is failover's next step"),
    Reason("more memory used than allowed", "Pod shop-hungry-0", "out-of-memory",
           "was killed for using more than its 16Mi of memory"),
    Reason("Job that failed", "Job shop-job", "job-failed", "it failed (BackoffLimitExceeded): it does not reach PD"),
)  # fmt: skip


def labels(component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "tidb", "app.kubernetes.io/part-of": "tidb",
        "app.kubernetes.io/instance": "shop", "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "Helm",
    }  # fmt: skip


def stateful_set(
    component: str,
    *,
    shell: str = "sleep 3600",
    image: str = "helm-tidb/busybox:dev",
    asks: dict[str, str] | None = None,
    container: Object | None = None,
    pod: Object | None = None,
    claim: Object | None = None,
    replicas: int = 1,
) -> Object:
    asked = {"cpu": "10m", "memory": "16Mi", **(asks or {})}
    main = {
        "name": component, "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", shell],
        "resources": {"requests": asked, "limits": asked}, **(container or {}),
    }  # fmt: skip
    templates = [{"metadata": {"name": "data"}, "spec": claim}] if claim else []
    if claim:
        main["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": f"shop-{component}", "labels": labels(component)},
        "spec": {
            "serviceName": "shop", "replicas": replicas, "selector": {"matchLabels": labels(component)},
            "volumeClaimTemplates": templates,
            "template": {
                "metadata": {"labels": labels(component)},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [main], **(pod or {})},
            },
        },
    }  # fmt: skip


def on(node: str) -> Object:
    """A pod's spec that ties it to a node."""
    return {"nodeSelector": {"kubernetes.io/hostname": node}}


def claim(storage_class: str, size: str = "1Gi", volume: str = "") -> Object:
    return {
        "accessModes": ["ReadWriteOnce"], "storageClassName": storage_class,
        "resources": {"requests": {"storage": size}}, **({"volumeName": volume} if volume else {}),
    }  # fmt: skip


def local_volume(name: str, storage_class: str, node: str, path: str) -> Object:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": storage_class,
            "local": {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }  # fmt: skip


def settled(storage_class: str) -> list[Object]:
    """Those whose data is somewhere before something happens to that place: n4, n3 and n2."""
    return [
        stateful_set("home", claim=claim(storage_class), pod=on("n4")),
        stateful_set("held", claim=claim(storage_class), pod=on("n3")),
        stateful_set("tikv", claim=claim(storage_class), pod=on("n2")),
    ]


def troubled(storage_class: str, near: str, namespace: str) -> list[Object]:
    """The others, wrong from their beginning; `near` is a class that does not exist."""
    themselves = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": labels("apart")},
    }
    nobody = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"app": "nobody"}},
    }
    spread = {
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        # All nodes count, also those that the selector keeps it from.
        "nodeAffinityPolicy": "Ignore", "labelSelector": {"matchLabels": labels("spread")},
    }  # fmt: skip
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    return [
        stateful_set("cpu", asks={"cpu": "100"}),
        stateful_set("memory", asks={"memory": "100Gi"}),
        stateful_set("scratch", asks={"ephemeral-storage": "900Ti"}),
        stateful_set("selector", pod={"nodeSelector": {"disk": "nvme"}}),
        stateful_set("apart", replicas=2, pod={**on("n1"), "affinity": {"podAntiAffinity": {required: [themselves]}}}),
        stateful_set("near", pod={"affinity": {"podAffinity": {required: [nobody]}}}),
        stateful_set("spread", replicas=2, pod={**on("n2"), "topologySpreadConstraints": [spread]}),
        stateful_set("class", claim=claim(near)),
        stateful_set("size", claim=claim(storage_class, "5Gi")),
        stateful_set("pd", claim=claim(storage_class, volume=f"{namespace}-gone")),
        stateful_set("nowhere", claim=claim(storage_class), pod=on("n1")),
        stateful_set("image", image="registry.invalid/none:1"),
        stateful_set("secret", container={"envFrom": [{"secretRef": {"name": "nobody"}}]}),
        stateful_set("crash", shell=f"echo '{DUPLICATED}' >&2; exit 1"),
        stateful_set("hungry", shell="tail /dev/zero"),
        stateful_set("quota", asks={GPU: "1"}),
        _job(),
    ]  # fmt: skip


def _job() -> Object:
    container = {
        "name": "job", "image": "helm-tidb/busybox:dev", "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "echo 'error: no PD leader'; exit 1"],
        "resources": {"limits": {"cpu": "10m", "memory": "16Mi"}},
    }  # fmt: skip
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "shop-job", "labels": labels("job")},
        "spec": {"backoffLimit": 0, "template": {
            "metadata": {"labels": labels("job")},
            "spec": {"restartPolicy": "Never", "containers": [container]},
        }},
    }  # fmt: skip
