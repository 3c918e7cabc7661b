"""Image references as containerd reads them (github.com/distribution/reference): registry, path, tag, digest."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_REGISTRY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?(?::[0-9]+)?")
_NAME = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_NAME}(?:/{_NAME})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class ImageReferenceError(ValueError):
    """The text is no image reference."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`registry/path:tag@digest` in its long form; tag and digest are empty when not given."""

    registry: str
    path: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises ImageReferenceError. `busybox` is docker.io/library/busybox, as in Docker and containerd."""
        named, at, digest = text.partition("@")
        # A colon behind the last slash starts a tag; one before it, a registry's port.
        head, colon, tag = named.rpartition(":")
        if not colon or "/" in tag:
            head, colon, tag = named, "", ""
        first, slash, rest = head.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, path = first, rest
        else:
            registry, path = "docker.io", head if slash else f"library/{head}"
        for given, part, pattern in (
            (True, registry, _REGISTRY),
            (True, path, _PATH),
            (colon, tag, _TAG),
            (at, digest, DIGEST),
        ):
            if given and not pattern.fullmatch(part):
                raise ImageReferenceError(f"{text!r} is no image reference: {part!r} is wrong")
        return cls(registry, path, tag, digest)

    @property
    def repository(self) -> str:
        return f"{self.registry}/{self.path}"

    @property
    def tagged(self) -> str:
        """The long form with its tag (`latest` when there is none) and without digest: the lock file's key."""
        return f"{self.repository}:{self.tag or 'latest'}"

    def moved(self, repository: str) -> Reference:
        registry, _, path = repository.partition("/")
        return replace(self, registry=registry, path=path)

    def pinned(self, digest: str) -> Reference:
        return replace(self, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}{'@' if self.digest else ''}{self.digest}"
