"""Make a generation's folder on a mounted disk, and record the generation's PV: the two small writes of the agent.

Everything happens through the root folder's descriptor, so it lands on the disk that was checked or nowhere.
"""

from __future__ import annotations

import os

from hooks.disks import marker as markers
from hooks.disks.filesystem import Contents, contents_of
from hooks.disks.marker import Marker
from hooks.disks.requests import Request

# The database runs as a user of its own: the kubelet gives the folder the pod's fsGroup, and nobody else enters.
_MODE = 0o770


class FolderError(Exception):
    """The disk is not as the plan assumed; nothing was made. The text says what was found."""


def make(root: int, request: Request, identity: str) -> None:
    """Start `request`'s generation: clear empty folders of older ones, write the marker, make the folder.

    Safe to cut off anywhere and to run again. Raises FolderError when the disk holds anything that another plan would
    be needed for, OSError when the disk fails.
    """
    contents = contents_of(root)
    _check(contents, request, identity)
    for folder in contents.folders:
        if folder.name != request.folder:
            os.rmdir(folder.name, dir_fd=root)
    marker = contents.marker
    if marker is None or marker.folder != request.folder:
        markers.reserve(root)
        markers.write(
            root,
            Marker(
                volume=request.volume,
                identity=identity,
                generation=request.generation,
                folder=request.folder,
                wipe=marker.wipe if marker else None,
            ),
        )
    try:
        os.mkdir(request.folder, _MODE, dir_fd=root)
    except FileExistsError:
        return
    folder_descriptor = os.open(
        request.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root
    )
    try:
        os.fchmod(folder_descriptor, _MODE)  # whatever the umask took away
    finally:
        os.close(folder_descriptor)
    os.fsync(root)


def record(root: int, request: Request) -> None:
    """Write `request.pv_uid` into the marker; a marker that names another PV stays. Raises FolderError."""
    marker = markers.read(root)
    if marker is None or (marker.volume, marker.generation) != (request.volume, request.generation):
        raise FolderError(f"the marker is not of {request.volume}, generation {request.generation}")
    if marker.pv_uid == request.pv_uid:
        return
    if marker.pv_uid:
        raise FolderError(f"the marker names the PV {marker.pv_uid}, not {request.pv_uid}")
    markers.write(
        root,
        Marker(
            marker.volume,
            marker.identity,
            marker.generation,
            marker.folder,
            request.pv_uid,
            marker.wipe,
        ),
    )


def _check(contents: Contents, request: Request, identity: str) -> None:
    marker = contents.marker
    if contents.marker_error:
        raise FolderError(contents.marker_error)
    if contents.foreign or contents.wiping:
        names = [*contents.foreign, *contents.wiping]
        raise FolderError(f"{', '.join(names[:5])} appeared since the disk was looked at")
    if marker and (marker.volume, marker.identity) != (request.volume, identity):
        raise FolderError(f"the marker is of {marker.volume} on {marker.identity}")
    if marker and marker.generation > request.generation:
        raise FolderError(f"the marker is of generation {marker.generation} already")
    if marker and marker.folder == request.folder and marker.pv_uid:
        raise FolderError(f"the marker names the PV {marker.pv_uid} for {request.folder}")
    for folder in contents.folders:
        of_volume = folder.name.startswith(f"{request.volume}-g")
        if not folder.empty or not of_volume:
            raise FolderError(f"the folder {folder.name} is of another volume, or is not empty")
        if of_volume and int(folder.name.rpartition("-g")[2]) > request.generation:
            raise FolderError(f"the folder {folder.name} is of a later generation")
