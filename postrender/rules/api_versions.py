"""api-versions: kinds and versions that the target Kubernetes serves no longer.

The table has what Kubernetes removed from built-in groups; source: the APILifecycleRemoved methods of k8s.io/api, and
the deprecated API migration guide. Custom resources are not looked at: what serves them is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from postrender.findings import Finding, Severity
from postrender.manifest import Manifest

Version = tuple[int, int]


class Removed(NamedTuple):
    """`since` is the first minor version that does not serve it; `instead` is empty when nothing took its place."""

    since: Version
    instead: str


def _removed(
    since: Version, instead: str, api_version: str, kinds: str
) -> dict[tuple[str, str], Removed]:
    return {(api_version, kind): Removed(since, instead) for kind in kinds.split()}


REMOVED: dict[tuple[str, str], Removed] = {
    **_removed((1, 16), "apps/v1", "extensions/v1beta1", "DaemonSet Deployment ReplicaSet"),
    **_removed((1, 16), "networking.k8s.io/v1", "extensions/v1beta1", "NetworkPolicy"),
    **_removed((1, 16), "", "extensions/v1beta1", "PodSecurityPolicy"),
    **_removed((1, 16), "apps/v1", "apps/v1beta1", "Deployment StatefulSet"),
    **_removed((1, 16), "apps/v1", "apps/v1beta2", "DaemonSet Deployment ReplicaSet StatefulSet"),
    **_removed((1, 22), "networking.k8s.io/v1", "extensions/v1beta1", "Ingress"),
    **_removed(
        (1, 22), "networking.k8s.io/v1", "networking.k8s.io/v1beta1", "Ingress IngressClass"
    ),
    **_removed(
        (1, 22),
        "rbac.authorization.k8s.io/v1",
        "rbac.authorization.k8s.io/v1beta1",
        "Role RoleBinding ClusterRole ClusterRoleBinding",
    ),
    **_removed(
        (1, 22),
        "admissionregistration.k8s.io/v1",
        "admissionregistration.k8s.io/v1beta1",
        "MutatingWebhookConfiguration ValidatingWebhookConfiguration",
    ),
    **_removed(
        (1, 22),
        "apiextensions.k8s.io/v1",
        "apiextensions.k8s.io/v1beta1",
        "CustomResourceDefinition",
    ),
    **_removed(
        (1, 22), "apiregistration.k8s.io/v1", "apiregistration.k8s.io/v1beta1", "APIService"
    ),
    **_removed((1, 22), "coordination.k8s.io/v1", "coordination.k8s.io/v1beta1", "Lease"),
    **_removed(
        (1, 22),
        "certificates.k8s.io/v1",
        "certificates.k8s.io/v1beta1",
        "CertificateSigningRequest",
    ),
    **_removed((1, 22), "scheduling.k8s.io/v1", "scheduling.k8s.io/v1beta1", "PriorityClass"),
    **_removed(
        (1, 22),
        "storage.k8s.io/v1",
        "storage.k8s.io/v1beta1",
        "CSIDriver CSINode StorageClass VolumeAttachment",
    ),
    **_removed((1, 25), "batch/v1", "batch/v1beta1", "CronJob"),
    **_removed((1, 25), "discovery.k8s.io/v1", "discovery.k8s.io/v1beta1", "EndpointSlice"),
    **_removed((1, 25), "events.k8s.io/v1", "events.k8s.io/v1beta1", "Event"),
    **_removed((1, 25), "policy/v1", "policy/v1beta1", "PodDisruptionBudget"),
    **_removed((1, 25), "", "policy/v1beta1", "PodSecurityPolicy"),
    **_removed((1, 25), "node.k8s.io/v1", "node.k8s.io/v1beta1", "RuntimeClass"),
    **_removed((1, 25), "autoscaling/v2", "autoscaling/v2beta1", "HorizontalPodAutoscaler"),
    **_removed((1, 26), "autoscaling/v2", "autoscaling/v2beta2", "HorizontalPodAutoscaler"),
    **_removed(
        (1, 26),
        "flowcontrol.apiserver.k8s.io/v1",
        "flowcontrol.apiserver.k8s.io/v1beta1",
        "FlowSchema PriorityLevelConfiguration",
    ),
    **_removed((1, 27), "storage.k8s.io/v1", "storage.k8s.io/v1beta1", "CSIStorageCapacity"),
    **_removed(
        (1, 29),
        "flowcontrol.apiserver.k8s.io/v1",
        "flowcontrol.apiserver.k8s.io/v1beta2",
        "FlowSchema PriorityLevelConfiguration",
    ),
    **_removed(
        (1, 32),
        "flowcontrol.apiserver.k8s.io/v1",
        "flowcontrol.apiserver.k8s.io/v1beta3",
        "FlowSchema PriorityLevelConfiguration",
    ),
    **_removed(
        (1, 27),
        "resource.k8s.io/v1",
        "resource.k8s.io/v1alpha1",
        "PodScheduling ResourceClaim ResourceClaimTemplate ResourceClass",
    ),
    **_removed((1, 29), "", "networking.k8s.io/v1alpha1", "ClusterCIDR"),
    **_removed(
        (1, 31), "networking.k8s.io/v1", "networking.k8s.io/v1alpha1", "IPAddress ServiceCIDR"
    ),
    **_removed(
        (1, 31),
        "resource.k8s.io/v1",
        "resource.k8s.io/v1alpha2",
        "PodSchedulingContext ResourceClaim ResourceClaimParameters ResourceClaimTemplate ResourceClass"
        " ResourceClassParameters ResourceSlice",
    ),
    **_removed(
        (1, 32),
        "admissionregistration.k8s.io/v1",
        "admissionregistration.k8s.io/v1alpha1",
        "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding",
    ),
    **_removed((1, 32), "", "resource.k8s.io/v1alpha3", "PodSchedulingContext"),
    **_removed(
        (1, 32), "coordination.k8s.io/v1beta1", "coordination.k8s.io/v1alpha1", "LeaseCandidate"
    ),
    **_removed(
        (1, 32), "authentication.k8s.io/v1", "authentication.k8s.io/v1alpha1", "SelfSubjectReview"
    ),
    **_removed(
        (1, 33), "authentication.k8s.io/v1", "authentication.k8s.io/v1beta1", "SelfSubjectReview"
    ),
    **_removed(
        (1, 34),
        "admissionregistration.k8s.io/v1",
        "admissionregistration.k8s.io/v1beta1",
        "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding",
    ),
    **_removed(
        (1, 34),
        "resource.k8s.io/v1",
        "resource.k8s.io/v1alpha3",
        "DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice",
    ),
    **_removed(
        (1, 35),
        "certificates.k8s.io/v1beta1",
        "certificates.k8s.io/v1alpha1",
        "PodCertificateRequest",
    ),
    **_removed((1, 35), "storage.k8s.io/v1", "storage.k8s.io/v1alpha1", "VolumeAttributesClass"),
    **_removed(
        (1, 35),
        "storagemigration.k8s.io/v1beta1",
        "storagemigration.k8s.io/v1alpha1",
        "StorageVersionMigration",
    ),
    **_removed((1, 36), "scheduling.k8s.io/v1alpha3", "scheduling.k8s.io/v1alpha1", "Workload"),
    **_removed(
        (1, 37), "certificates.k8s.io/v1beta1", "certificates.k8s.io/v1alpha1", "ClusterTrustBundle"
    ),
    **_removed(
        (1, 37), "networking.k8s.io/v1", "networking.k8s.io/v1beta1", "IPAddress ServiceCIDR"
    ),
    **_removed(
        (1, 37), "scheduling.k8s.io/v1alpha3", "scheduling.k8s.io/v1alpha2", "PodGroup Workload"
    ),
    **_removed((1, 37), "storage.k8s.io/v1", "storage.k8s.io/v1beta1", "VolumeAttributesClass"),
}


@dataclass(slots=True)
class ApiVersions:
    name: ClassVar[str] = "api-versions"
    summary: ClassVar[str] = "kinds and versions that the target Kubernetes no longer serves"

    # The oldest Kubernetes the chart installs on (chart/Chart.yaml, kubeVersion).
    kubernetes: str = "1.30"

    def visit(self, manifest: Manifest) -> None:
        gone = REMOVED.get((manifest.subject.api_version, manifest.kind))
        if gone is None or _version(self.kubernetes) < gone.since:
            return
        since = ".".join(map(str, gone.since))
        manifest.say(
            Severity.REFUSAL,
            self.name,
            "removed",
            "apiVersion",
            f"{manifest.subject.api_version} {manifest.kind} is not served since Kubernetes {since},"
            f" and the target is {self.kubernetes}",
            f"write {gone.instead}"
            if gone.instead
            else "nothing took its place: remove the object",
        )

    def finish(self) -> Iterator[Finding]:
        return iter(())


def _version(text: str) -> Version:
    major, minor, *_ = text.removeprefix("v").split(".")
    return int(major), int(minor)
