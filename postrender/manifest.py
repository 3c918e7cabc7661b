"""One Kubernetes object as rules see it: who it is, where its pod specs are, and the one way to change it.

A rule changes a manifest through `Manifest.set` only, so that every change is in the report and a document without one
keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from postrender.findings import Finding, Findings, Severity, Subject
from postrender.values import Mapping, Value, dig, mapping, sequence, text

FILENAME_ANNOTATION = "postrenderer.helm.sh/postrender-filename"
HOOK_ANNOTATION = "helm.sh/hook"

# Where an object keeps its pod spec. Every other kind is looked at below spec.template.spec: that finds Deployment,
# StatefulSet, DaemonSet, ReplicaSet, Job, and the custom ones built alike (Argo Rollouts, OpenKruise, Knative).
_POD_SPECS: dict[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
_POD_SPEC: tuple[str, ...] = ("spec", "template", "spec")
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod spec; `path` is its place for people, `list_name` the list it stands in."""

    body: Mapping
    path: str
    list_name: str

    @property
    def name(self) -> str:
        return text(self.body.get("name"))

    @property
    def is_sidecar(self) -> bool:
        """An init container that keeps running (KEP-753)."""
        return self.list_name == "initContainers" and self.body.get("restartPolicy") == "Always"


@dataclass(frozen=True, slots=True)
class PodSpec:
    """A pod spec and the path to it; `metadata` is the pod's (that of the template, or of the Pod itself)."""

    body: Mapping
    path: str
    metadata: Mapping

    def containers(self) -> Iterator[Container]:
        """All containers in the order in which Kubernetes starts them."""
        for list_name in _CONTAINERS:
            for index, item in enumerate(sequence(self.body.get(list_name))):
                if isinstance(item, dict):
                    label = text(item.get("name")) or str(index)
                    yield Container(item, f"{self.path}.{list_name}[{label}]", list_name)


class Manifest:
    """An object of the release. `changed` tells whether a rule changed it."""

    __slots__ = ("_findings", "body", "changed", "kind", "metadata", "subject")

    def __init__(
        self,
        body: Mapping,
        findings: Findings,
        *,
        input_name: str = "",
        source: str = "",
        document: int = 0,
        line: int = 0,
    ) -> None:
        self.body = body
        self.metadata = mapping(body.get("metadata"))
        self.kind = text(body.get("kind"))
        self.changed = False
        self._findings = findings
        annotation = text(dig(self.metadata, "annotations", FILENAME_ANNOTATION))
        self.subject = Subject(
            text(body.get("apiVersion")),
            self.kind,
            text(self.metadata.get("namespace")),
            text(self.metadata.get("name")) or text(self.metadata.get("generateName")),
            input_name,
            source or annotation,
            document,
            line,
        )

    @property
    def group(self) -> str:
        """The API group; empty for core."""
        return self.subject.api_version.rpartition("/")[0]

    @property
    def is_hook(self) -> bool:
        return bool(dig(self.metadata, "annotations", HOOK_ANNOTATION))

    def pod_specs(self) -> Iterator[PodSpec]:
        """The pod spec that this object carries, if any."""
        keys = _POD_SPECS.get(self.kind, _POD_SPEC)
        parent = dig(self.body, *keys[:-1])
        spec = dig(parent, keys[-1])
        if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
            yield PodSpec(spec, ".".join(keys), mapping(mapping(parent).get("metadata")))

    def component(self) -> str:
        """What part of the database this is, by `app.kubernetes.io/component` of the pods or of the object."""
        labels = [pod.metadata.get("labels") for pod in self.pod_specs()]
        for each in [*labels, self.metadata.get("labels")]:
            found = text(mapping(each).get("app.kubernetes.io/component"))
            if found:
                return found
        return ""

    def set(
        self, rule: str, code: str, parent: Mapping, path: str, key: str, after: Value, message: str
    ) -> None:
        """Write `parent[key] = after`, where `parent` is a mapping inside this object at `path`, and record it."""
        before = parent.get(key)
        parent[key] = after
        self.changed = True
        self._findings.items.append(
            Finding(
                rule,
                code,
                Severity.CHANGE,
                self.subject,
                f"{path}.{key}" if path else key,
                message,
                before=before if isinstance(before, str) else None,
                after=after if isinstance(after, str) else None,
            )
        )

    def say(
        self, severity: Severity, rule: str, code: str, path: str, message: str, remedy: str = ""
    ) -> None:
        """Record a refusal, a warning or a note about a field of this object."""
        self._findings.items.append(
            Finding(rule, code, severity, self.subject, path, message, remedy)
        )

    def child(self, parent: Mapping, key: str) -> Mapping:
        """The mapping `parent[key]`, made when it is missing or null. Only for a `set` that follows: it leaves no
        record.
        """
        value = parent.get(key)
        if not isinstance(value, dict):
            value = parent[key] = {}
        return value


@dataclass(frozen=True, slots=True)
class Selection:
    """Objects by kind, name and namespace, and parts of them by container or path: each a glob, `*` by default."""

    kind: str = "*"
    name: str = "*"
    namespace: str = "*"
    container: str = "*"
    path: str = "*"
    what: str = "*"

    def matches(self, subject: Subject, **parts: str) -> bool:
        return (
            fnmatchcase(subject.kind, self.kind)
            and fnmatchcase(subject.name, self.name)
            and fnmatchcase(subject.namespace, self.namespace)
            and all(fnmatchcase(value, getattr(self, part)) for part, value in parts.items())
        )
