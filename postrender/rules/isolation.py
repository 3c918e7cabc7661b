"""isolation: one disk folder has one owner, and the database's data lies on local disks.

Three promises over the whole release, whoever wrote the manifests:
- no two claims, static volumes or hostPaths of the release may write below the same folder of the same node;
- PD and TiKV claim no network class: a network volume that moves while its old node still writes is written twice;
- no pod has a hostPath but the disk agent's, and what the configuration lists.

What a class that is not in the stream means is not known here: for PD and TiKV it has to be listed. Symbolic links and
bind mounts on the nodes can't be seen either; the disk agent looks for those.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import ClassVar

from postrender.findings import Finding, Severity, Subject
from postrender.manifest import Manifest, PodSpec, Selection
from postrender.values import Mapping, Value, dig, is_true, mapping, sequence, text

HOSTNAME = "kubernetes.io/hostname"
# Volume sources of a pod that are reached over the network, or may be (csi, flexVolume).
_NETWORK_VOLUMES = (
    *("nfs", "iscsi", "rbd", "cephfs", "glusterfs", "fc", "csi", "flexVolume", "cinder"),
    *("awsElasticBlockStore", "azureDisk", "azureFile", "gcePersistentDisk", "vsphereVolume"),
    *("portworxVolume", "quobyte", "scaleIO", "storageos"),
)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that somebody writes to; `nodes` is None where it may be any node."""

    path: str
    nodes: frozenset[str] | None
    subject: Subject
    field_path: str
    writes: bool

    def meets(self, other: Folder) -> bool:
        if not self.writes and not other.writes:
            return False
        return self.nodes is None or other.nodes is None or bool(self.nodes & other.nodes)


@dataclass(frozen=True, slots=True)
class Claim:
    """A storage class that PD or TiKV asks for; None is the cluster's default class."""

    storage_class: str | None
    subject: Subject
    field_path: str


@dataclass(slots=True)
class Isolation:
    name: ClassVar[str] = "isolation"
    summary: ClassVar[str] = (
        "one owner a disk folder, local disks for PD and TiKV, no stray hostPath"
    )

    databases: tuple[str, ...] = ("pd", "tikv")
    local_classes: tuple[str, ...] = ("tidb-local",)
    local_provisioners: tuple[str, ...] = ("kubernetes.io/no-provisioner",)
    agents: tuple[str, ...] = ("disk-agent",)
    host_paths: tuple[Selection, ...] = ()

    _folders: list[Folder] = field(default_factory=list)
    _claims: list[Claim] = field(default_factory=list)
    _mounted: list[tuple[str, str, Subject, str]] = field(default_factory=list)
    _provisioners: dict[str, str] = field(default_factory=dict)
    _pvc_classes: dict[tuple[str, str], str | None] = field(default_factory=dict)
    _bound: dict[str, tuple[str, Subject]] = field(default_factory=dict)

    def visit(self, manifest: Manifest) -> None:
        spec = mapping(manifest.body.get("spec"))
        if manifest.kind == "PersistentVolume":
            self._volume(manifest.subject, spec)
        elif manifest.kind == "PersistentVolumeClaim":
            self._claim(manifest, spec)
        elif manifest.kind == "StorageClass":
            self._provisioners[manifest.subject.name] = text(manifest.body.get("provisioner"))
        for pod in manifest.pod_specs():
            database = manifest.component() in self.databases
            for index, volume in enumerate(sequence(pod.body.get("volumes"))):
                label = text(mapping(volume).get("name")) or str(index)
                self._pod_volume(
                    manifest, pod, mapping(volume), f"{pod.path}.volumes[{label}]", database
                )
            if database:
                self._claim_templates(manifest, spec)

    def finish(self) -> Iterator[Finding]:
        for namespace, claim, subject, path in self._mounted:
            if (namespace, claim) in self._pvc_classes:
                storage_class = self._pvc_classes[namespace, claim]
                self._claims.append(Claim(storage_class, subject, path))
        yield from self._network_classes()
        yield from self._shared_folders()

    def _volume(self, subject: Subject, spec: Mapping) -> None:
        for source in ("local", "hostPath"):
            path = text(dig(spec, source, "path"))
            if path:
                self._folders.append(
                    Folder(_clean(path), _nodes(spec), subject, f"spec.{source}.path", True)
                )

    def _claim(self, manifest: Manifest, spec: Mapping) -> None:
        subject = manifest.subject
        self._pvc_classes[subject.namespace, subject.name] = _class(spec)
        volume = text(spec.get("volumeName"))
        if not volume:
            return
        first = self._bound.setdefault(volume, (subject.namespace + "/" + subject.name, subject))
        if first[1] != subject:
            manifest.say(
                Severity.REFUSAL,
                self.name,
                "shared-volume",
                "spec.volumeName",
                f"volume {volume} is claimed by {first[1]} as well",
                "give each claim a volume of its own",
            )

    def _claim_templates(self, manifest: Manifest, spec: Mapping) -> None:
        for index, template in enumerate(sequence(spec.get("volumeClaimTemplates"))):
            label = text(dig(template, "metadata", "name")) or str(index)
            path = f"spec.volumeClaimTemplates[{label}].spec.storageClassName"
            self._claims.append(Claim(_class(dig(template, "spec")), manifest.subject, path))

    def _pod_volume(
        self, manifest: Manifest, pod: PodSpec, volume: Mapping, path: str, database: bool
    ) -> None:
        host_path = text(dig(volume, "hostPath", "path"))
        if host_path and not (manifest.kind == "DaemonSet" and manifest.component() in self.agents):
            self._host_path(manifest, pod, volume, _clean(host_path), f"{path}.hostPath.path")
        if not database:
            return
        claim = text(dig(volume, "persistentVolumeClaim", "claimName"))
        if claim:
            self._mounted.append((manifest.subject.namespace, claim, manifest.subject, path))
        if "ephemeral" in volume:
            template = dig(volume, "ephemeral", "volumeClaimTemplate", "spec")
            self._claims.append(Claim(_class(template), manifest.subject, f"{path}.ephemeral"))
        for source in _NETWORK_VOLUMES:
            if source in volume:
                manifest.say(
                    Severity.REFUSAL,
                    self.name,
                    "network-volume",
                    f"{path}.{source}",
                    f"a pod of {manifest.component()} has a volume of type {source}, which may be a network one",
                    "keep the database's data on local disks; mount the rest from pods of their own",
                )

    def _host_path(
        self, manifest: Manifest, pod: PodSpec, volume: Mapping, host_path: str, path: str
    ) -> None:
        writes = any(
            mapping(mount).get("name") == volume.get("name")
            and not is_true(mapping(mount).get("readOnly"))
            for container in pod.containers()
            for mount in sequence(container.body.get("volumeMounts"))
        )
        self._folders.append(Folder(host_path, None, manifest.subject, path, writes))
        if any(each.matches(manifest.subject, path=host_path) for each in self.host_paths):
            return
        subject = manifest.subject
        manifest.say(
            Severity.REFUSAL,
            self.name,
            "host-path",
            path,
            f"a pod mounts {host_path} of its node, and rules.isolation.hostPaths does not list it",
            f"allow {{kind: {subject.kind}, name: {subject.name}, path: {host_path}}}, or take it away",
        )

    def _network_classes(self) -> Iterator[Finding]:
        for claim in self._claims:
            name = claim.storage_class
            provisioner = self._provisioners.get(name or "", "")
            if name and any(fnmatchcase(name, each) for each in self.local_classes):
                continue
            if any(fnmatchcase(provisioner, each) for each in self.local_provisioners):
                continue
            if name is None:
                problem = "claims the cluster's default class, which is usually a network one"
            elif provisioner:
                problem = (
                    f"claims class {name!r}, whose provisioner {provisioner} is not a local one"
                )
            else:
                problem = f"claims class {name!r}, which nothing here shows to be local"
            remedy = f"if its disks are local, add {name!r} to rules.isolation.localClasses"
            yield Finding(
                self.name,
                "network-class",
                Severity.REFUSAL,
                claim.subject,
                claim.field_path,
                problem,
                remedy if name else "name a local class such as tidb-local",
            )

    def _shared_folders(self) -> Iterator[Finding]:
        by_path: dict[str, list[Folder]] = {}
        for folder in self._folders:
            by_path.setdefault(folder.path, []).append(folder)
        for folder in self._folders:
            other = _owner(folder, by_path)
            if other is None:
                continue
            same = other.path == folder.path
            where = "this is" if same else f"this is inside {other.path},"
            yield Finding(
                self.name,
                "shared-folder",
                Severity.REFUSAL,
                folder.subject,
                folder.field_path,
                f"{folder.path}: {where} the folder of {other.subject} too",
                "give each a disk folder of its own",
            )


def _owner(folder: Folder, by_path: dict[str, list[Folder]]) -> Folder | None:
    """Who has this folder, or one above it, already. Of several on one path each later one meets the first."""
    own_place = False
    for other in _around(folder, by_path):
        if other is folder:
            own_place = True
        elif other.path == folder.path and own_place:
            continue
        elif folder.meets(other):
            return other
    return None


def _around(folder: Folder, by_path: dict[str, list[Folder]]) -> Iterator[Folder]:
    """All folders on the same path, then those on every path above it."""
    path = folder.path
    while True:
        yield from by_path.get(path, ())
        parent = posixpath.dirname(path)
        if parent == path:
            return
        path = parent


def _clean(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _class(spec: Value) -> str | None:
    value = mapping(spec).get("storageClassName")
    return value if isinstance(value, str) else None


def _nodes(spec: Mapping) -> frozenset[str] | None:
    """The nodes a volume's required affinity names by hostname; None when it can be any."""
    names: set[str] = set()
    for term in sequence(dig(spec, "nodeAffinity", "required", "nodeSelectorTerms")):
        found = [
            {text(value) for value in sequence(mapping(expression).get("values"))}
            for expression in sequence(mapping(term).get("matchExpressions"))
            if mapping(expression).get("key") == HOSTNAME
            and mapping(expression).get("operator") == "In"
        ]
        if not found:
            return None
        names |= set.intersection(*found)
    return frozenset(names) or None
