"""Image references as containerd reads them (github.com/distribution/reference): registry, path, tag, digest."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_REFERENCE = re.compile(
    r"(?P<name>[A-Za-z0-9.\-]+(?::[0-9]+)?(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
)
_PATH = re.compile(
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
)
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
        found = _REFERENCE.fullmatch(text)
        if not found:
            raise ImageReferenceError(f"{text!r} is no image reference")
        first, slash, rest = found["name"].partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, path = first, rest
        else:
            registry, path = "docker.io", found["name"] if slash else f"library/{found['name']}"
        if not _PATH.fullmatch(path):
            raise ImageReferenceError(
                f"{text!r} is no image reference: {path!r} has characters that no name may have"
            )
        return cls(registry, path, found["tag"] or "", found["digest"] or "")

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
