"""Layers and archives, byte for byte the same from the same files: sorted entries, one time, one owner.

An archive is an OCI layout in a tar with docker's manifest.json beside it, so that `ctr image import`, `docker load`
and every tool between them can read it (OCI image-spec v1.1).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Layer:
    """An uncompressed layer on disk: on one machine, unpacking would cost more than it saves."""

    path: Path
    digest: str  # sha256:...
    size: int


def write_layer(root: Path, target: Path) -> None:
    """Write all below `root` as a layer.

    Owners become root, times the epoch, and modes 755 or 644 (1777 for sticky folders): they would follow the umask of
    whoever builds. No program stays setuid.
    """
    with (
        target.open("wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(root).parts):
            info = _entry(path, path.relative_to(root).as_posix())
            if info.isreg():
                with path.open("rb") as content:
                    tar.addfile(info, content)
            else:
                tar.addfile(info)


def read_layer(path: Path) -> Layer:
    """Size and digest of a layer that was written."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Layer(path, f"sha256:{digest}", path.stat().st_size)


def write_archive(
    target: Path, ref: str, layers: list[Layer], config: dict[str, Any], machine: str
) -> str:
    """Write the image and return its digest (of the manifest, as registries and nodes name it).

    `config` is the OCI image configuration's inner object: User, Env, Entrypoint, Cmd, WorkingDir.
    """
    image = _json(
        {
            "architecture": _ARCHITECTURES.get(machine, machine),
            "config": config,
            "created": "1970-01-01T00:00:00Z",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, image),
            "layers": [
                {"mediaType": _LAYER, "digest": layer.digest, "size": layer.size}
                for layer in layers
            ],
        }
    )
    full = f"docker.io/{ref}"
    names = {
        "io.containerd.image.name": full,
        "org.opencontainers.image.ref.name": ref.rsplit(":", 1)[1],
    }
    index = _json(
        {
            "schemaVersion": 2,
            "mediaType": _INDEX,
            "manifests": [_descriptor(_MANIFEST, manifest) | {"annotations": names}],
        }
    )
    docker = _json(
        [
            {
                "Config": _blob(_digest(image)),
                "RepoTags": [ref],
                "Layers": [_blob(layer.digest) for layer in layers],
            }
        ]
    )
    with (
        target.open("wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, content in (
            ("oci-layout", _json({"imageLayoutVersion": "1.0.0"})),
            ("index.json", index),
            ("manifest.json", docker),
            (_blob(_digest(manifest)), manifest),
            (_blob(_digest(image)), image),
        ):
            tar.addfile(_file(name, len(content)), io.BytesIO(content))
        for layer in layers:
            with layer.path.open("rb") as blob:
                tar.addfile(_file(_blob(layer.digest), layer.size), blob)
    return _digest(manifest)


def _entry(path: Path, name: str) -> tarfile.TarInfo:
    status = path.lstat()
    info = _file(name, 0)
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, os.readlink(path), 0o777
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        info.mode = 0o1777 if status.st_mode & stat.S_ISVTX else 0o755
    else:
        info.size = status.st_size
        info.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
    return info


def _file(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, 0
    return info


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}
