"""images: rewrite registries to mirrors, pin tags to digests from a lock file, refuse what would not be pinned.

A reference is compared in its long form (`busybox:1` is `docker.io/library/busybox:1`), and written back only when it
changes. A pinned image keeps its tag for people (`repo:tag@sha256:…`): the kubelet goes by the digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from postrender.findings import Finding, Severity
from postrender.manifest import Manifest, PodSpec, Selection
from postrender.reference import ImageReferenceError, Reference
from postrender.values import Mapping, mapping, sequence, text


@dataclass(slots=True)
class Images:
    name: ClassVar[str] = "images"
    summary: ClassVar[str] = "registry mirrors, tag to digest by a lock file, no `latest`"

    mirrors: dict[str, str] = field(default_factory=dict)
    lock: dict[str, str] = field(default_factory=dict)
    latest: str = "warn"
    unpinned: str = "allow"
    unmirrored: str = "allow"
    exclude: tuple[Selection, ...] = ()

    def visit(self, manifest: Manifest) -> None:
        for pod in manifest.pod_specs():
            for owner, key, path in image_fields(pod):
                if not any(each.matches(manifest.subject, path=path) for each in self.exclude):
                    self._image(manifest, owner, key, path)

    def finish(self) -> Iterator[Finding]:
        return iter(())

    def _image(self, manifest: Manifest, owner: Mapping, key: str, path: str) -> None:
        written = text(owner.get(key))
        field_path = f"{path}.{key}"
        try:
            before = Reference.parse(written)
        except ImageReferenceError as error:
            remedy = "write registry/name:tag or registry/name@sha256:…"
            manifest.say(Severity.REFUSAL, self.name, "reference", field_path, str(error), remedy)
            return
        mirrored, at_home = self._mirror(before)
        digest = (
            before.digest or self.lock.get(before.tagged) or self.lock.get(mirrored.tagged) or ""
        )
        after = mirrored.pinned(digest) if digest and not before.digest else mirrored
        if after != before:
            reasons = []
            if mirrored != before:
                reasons.append("the mirror map names another registry")
            if digest and not before.digest:
                reasons.append("the lock file pins it")
            code = "mirror" if mirrored != before else "pin"
            manifest.set(self.name, code, owner, path, key, str(after), "; ".join(reasons))
        self._policies(manifest, field_path, before, after, at_home)

    def _policies(
        self, manifest: Manifest, path: str, given: Reference, image: Reference, at_home: bool
    ) -> None:
        latest, unpinned, unmirrored = (
            Severity.of_policy(policy) for policy in (self.latest, self.unpinned, self.unmirrored)
        )
        if latest and not image.digest and image.tag in ("", "latest"):
            manifest.say(
                latest,
                self.name,
                "latest",
                path,
                f"image {image} is `latest`: a restart may start another program",
                "name a version, or pin it (tidb-postrender lock)",
            )
        elif unpinned and not image.digest:
            manifest.say(
                unpinned,
                self.name,
                "unpinned",
                path,
                f"image {image} has no digest, and the lock file none for {given.tagged}",
                "add it to the lock file (tidb-postrender lock)",
            )
        if unmirrored and not at_home:
            manifest.say(
                unmirrored,
                self.name,
                "unmirrored",
                path,
                f"image {image} comes from {image.registry}, which no mirror covers",
                f"add rules.images.mirrors[{image.registry!r}]",
            )

    def _mirror(self, image: Reference) -> tuple[Reference, bool]:
        """The image's place in the mirrors, and whether it has one. What is at a mirror already stays: a second pass
        too.
        """
        for target in self.mirrors.values():
            if _below(target, image.repository) is not None:
                return image, True
        for prefix in sorted(self.mirrors, key=len, reverse=True):
            rest = _below(prefix, image.repository)
            if rest is not None:
                return image.moved(self.mirrors[prefix].rstrip("/") + rest), True
        return image, False


def _below(prefix: str, repository: str) -> str | None:
    """What stands behind the prefix, cut at a slash; None when the repository is not below it."""
    prefix = prefix.rstrip("/")
    if repository == prefix or repository.startswith(prefix + "/"):
        return repository[len(prefix) :]
    return None


def image_fields(pod: PodSpec) -> Iterator[tuple[Mapping, str, str]]:
    """Every image of a pod: the mapping it stands in, its key there, and the mapping's path."""
    for container in pod.containers():
        if isinstance(container.body.get("image"), str):
            yield container.body, "image", container.path
    for index, volume in enumerate(sequence(pod.body.get("volumes"))):
        source = mapping(mapping(volume).get("image"))
        if isinstance(source.get("reference"), str):
            label = text(mapping(volume).get("name")) or str(index)
            yield source, "reference", f"{pod.path}.volumes[{label}].image"
