"""labels: common labels and annotations on every object, never on what a selector looks at.

Adds what is missing and never replaces: a value that is there was meant, and a label may be somebody's selector. A pod
template gets them only when asked (it restarts the pods), and never a key that its workload selects by. Claim
templates stay as they are: they can't be changed in a StatefulSet that exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from postrender.findings import Finding, Severity
from postrender.manifest import Manifest
from postrender.values import Mapping, dig, mapping, sequence, text


@dataclass(slots=True)
class Labels:
    name: ClassVar[str] = "labels"
    summary: ClassVar[str] = "common labels and annotations, never touching selectors"

    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    templates: bool = False

    def visit(self, manifest: Manifest) -> None:
        if not self.labels and not self.annotations:
            return
        self._add(manifest, manifest.body, "", ())
        if self.templates and manifest.kind != "Pod":
            selected = tuple(_selected(manifest))
            for pod in manifest.pod_specs():
                *keys, _ = pod.path.split(".")
                template = mapping(dig(manifest.body, *keys))
                self._add(manifest, template, ".".join(keys), selected)

    def finish(self) -> Iterator[Finding]:
        return iter(())

    def _add(
        self, manifest: Manifest, owner: Mapping, path: str, selected: tuple[str, ...]
    ) -> None:
        metadata_path = f"{path}.metadata" if path else "metadata"
        for what, wanted in (("labels", self.labels), ("annotations", self.annotations)):
            present = mapping(mapping(owner.get("metadata")).get(what))
            for key, value in wanted.items():
                if what == "labels" and key in selected:
                    continue
                if key not in present:
                    target = manifest.child(manifest.child(owner, "metadata"), what)
                    message = "common to all objects of the release"
                    manifest.set(
                        self.name, "add", target, f"{metadata_path}.{what}", key, value, message
                    )
                elif present[key] != value:
                    manifest.say(
                        Severity.NOTE,
                        self.name,
                        "kept",
                        f"{metadata_path}.{what}.{key}",
                        f"stays {text(present[key])!r}, the configuration says {value!r}",
                    )


def _selected(manifest: Manifest) -> Iterator[str]:
    """The label keys by which a workload finds its pods."""
    selector = mapping(dig(manifest.body, "spec", "selector"))
    yield from mapping(selector.get("matchLabels"))
    for expression in sequence(selector.get("matchExpressions")):
        yield text(mapping(expression).get("key"))
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        yield from selector  # ReplicationController: the selector is the labels
