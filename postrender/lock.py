"""Write the lock file of the images rule from a stream's images and a list of digests.

No registry is asked: where the digests come from (crane, skopeo, a mirror's own list) is the caller's choice, and a
lock file made of reviewed text is the point of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from postrender.config import read
from postrender.errors import ConfigError
from postrender.findings import Finding
from postrender.manifest import Manifest
from postrender.reference import DIGEST, ImageReferenceError, Reference
from postrender.rules.images import image_fields
from postrender.values import text
from schema.names import API_VERSION


class ImageCollector:
    """A rule that changes nothing and remembers every image of the release."""

    name: ClassVar[str] = "lock"
    summary: ClassVar[str] = "collects images"

    def __init__(self) -> None:
        self.images: dict[str, str] = {}
        """Reference in the long form with its tag → the digest it names itself, or nothing."""

    def visit(self, manifest: Manifest) -> None:
        for pod in manifest.pod_specs():
            for owner, key, path in image_fields(pod):
                try:
                    image = Reference.parse(text(owner[key]))
                except ImageReferenceError as error:
                    raise ConfigError(f"{manifest.subject} {path}.{key}: {error}") from error
                _add(self.images, image, image.digest, f"{manifest.subject} {path}")

    def finish(self) -> Iterator[Finding]:
        return iter(())


def read_list(path: Path) -> dict[str, str]:
    """Digests by reference, from an older lock file or from lines `reference digest` or `reference@digest`."""
    if path.suffix in (".yaml", ".yml"):
        images: dict[str, str] = read(path, "postrender.lock.schema.yaml", "ImageLock")["images"]
        return images
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error.reason}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = re.sub(r"#.*", "", line).split()
        if not words:
            continue
        try:
            image = Reference.parse(words[0])
        except ImageReferenceError as error:
            raise ConfigError(f"{path}: line {number}: {error}") from error
        digest = words[1] if len(words) == 2 else image.digest
        if len(words) > 2 or not DIGEST.fullmatch(digest):
            raise ConfigError(
                f"{path}: line {number}: {line.strip()!r}: write `registry/name:tag sha256:<64 hex digits>`"
            )
        _add(found, image, digest, f"{path}: line {number}")
    return found


def lock_file(images: dict[str, str], known: dict[str, str]) -> str:
    """The lock file for these images. Raises ConfigError that lists every image without a digest."""
    locked = {name: digest or known.get(name, "") for name, digest in sorted(images.items())}
    missing = [name for name, digest in locked.items() if not digest]
    if missing:
        raise ConfigError(
            "no digest is known for\n  "
            + "\n  ".join(missing)
            + "\nadd a line `reference sha256:…` for each to the list (--digests); nothing was written"
        )
    lines = [f"  {json.dumps(name)}: {json.dumps(digest)}" for name, digest in locked.items()]
    head = f"# Written by `tidb-postrender lock`.\napiVersion: {API_VERSION}\nkind: ImageLock\n"
    return head + ("images:\n" + "\n".join(lines) if lines else "images: {}") + "\n"


def _add(images: dict[str, str], image: Reference, digest: str, where: str) -> None:
    known = images.get(image.tagged)
    if known and digest and known != digest:
        raise ConfigError(f"{where}: {image.tagged} has two digests, {known} and {digest}")
    images[image.tagged] = known or digest
