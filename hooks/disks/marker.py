"""The marker: which volume and generation a disk belongs to, in `.helm-tidb.json` in the root of the disk itself.

A disk that moves to another node, path or cluster brings its marker along, so no decision hangs on a ConfigMap alone.
It is replaced by rename and synced: after a crash there is the old one or the new one, never a half.
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict, dataclass
from typing import Any

NAME = ".helm-tidb.json"
_NEW = ".helm-tidb.json.new"
_SPARE = ".helm-tidb.spare"
OURS = frozenset({NAME, _NEW, _SPARE})
_MOST_BYTES = 65536
# Room for a marker and for a few folder entries, on any block size.
_SPARE_BYTES = 1 << 18


class MarkerError(Exception):
    """The marker is there and says nothing that can be relied on; the text says what is wrong with it."""


@dataclass(frozen=True)
class WipeRecord:
    """How far the wipe of one generation has come."""

    generation: int
    pv_uid: str
    done: bool
    removed_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True)
class Marker:
    volume: str
    identity: str
    generation: int
    folder: str
    pv_uid: str = ""
    wipe: WipeRecord | None = None


def read(root: int) -> Marker | None:
    """The marker in a disk's root folder (a descriptor); None when there is none.

    Raises MarkerError when it is no marker, OSError when the disk does not answer.
    """
    try:
        file = os.open(
            NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=root
        )
    except FileNotFoundError:
        return None
    try:
        text = os.read(file, _MOST_BYTES)
    finally:
        os.close(file)
    return parse(text)


def parse(text: bytes) -> Marker:
    try:
        said: Any = json.loads(text)
        wipe = said.get("wipe")
        marker = Marker(
            volume=said["volume"],
            identity=said["identity"],
            generation=said["generation"],
            folder=said["folder"],
            pv_uid=said["pvUID"],
            wipe=wipe
            and WipeRecord(
                wipe["generation"],
                wipe["pvUID"],
                {"Done": True, "Running": False}[wipe["state"]],
                wipe.get("removedBytes", 0),
                wipe.get("totalBytes", 0),
            ),
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise MarkerError(f"{NAME} is not a marker of helm-tidb: {error}") from error
    except KeyError as error:
        raise MarkerError(f"{NAME} is not a marker of helm-tidb: no valid {error}") from error
    expected = {"volume": str, "identity": str, "generation": int, "folder": str, "pv_uid": str}
    for key, kind in expected.items():
        if type(getattr(marker, key)) is not kind:
            raise MarkerError(
                f"{NAME}: {key} is {getattr(marker, key)!r}, not of type {kind.__name__}"
            )
    if "/" in marker.folder or not marker.folder.startswith("tv-"):
        raise MarkerError(f"{NAME}: folder is {marker.folder!r}, expected tv-…-g…")
    return marker


def reserve(root: int) -> None:
    """Keep a little room, so that a disk that its database filled up can still be marked, and so be wiped."""
    try:
        spare = os.open(
            _SPARE, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=root
        )
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return
        raise
    try:
        os.posix_fallocate(spare, 0, _SPARE_BYTES)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(spare)


def write(root: int, marker: Marker) -> None:
    """Replace the marker and wait until the disk has it; on a full disk, at the price of the reserve."""
    try:
        _replace(root, marker)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        try:
            os.unlink(_SPARE, dir_fd=root)
        except FileNotFoundError:
            raise error from None
        os.fsync(root)
        _replace(root, marker)


def _replace(root: int, marker: Marker) -> None:
    text = json.dumps(document(marker), indent=1, sort_keys=True).encode() + b"\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(_NEW, flags, 0o644, dir_fd=root)
    try:
        os.write(file, text)
        os.fsync(file)
    finally:
        os.close(file)
    os.rename(_NEW, NAME, src_dir_fd=root, dst_dir_fd=root)
    os.fsync(root)


def document(marker: Marker) -> dict[str, Any]:
    """The marker as it stands on the disk."""
    said = asdict(marker)
    said["pvUID"] = said.pop("pv_uid")
    wipe = marker.wipe
    if wipe is None:
        del said["wipe"]
    else:
        said["wipe"] = {
            "generation": wipe.generation,
            "pvUID": wipe.pv_uid,
            "state": "Done" if wipe.done else "Running",
            "removedBytes": wipe.removed_bytes,
            "totalBytes": wipe.total_bytes,
        }
    return said
