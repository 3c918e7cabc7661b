"""Carry out a plan's actions, each disk on a thread of its own: a wipe of hours, or a disk that hangs, holds up no
scan and no other disk. At most one action a disk runs at a time.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hooks.disks import folders, wipe
from hooks.disks.filesystem import MountChangedError, open_root
from hooks.disks.inventory import Entry, WipeAnswer
from hooks.disks.marker import MarkerError
from hooks.disks.plan import Action, Clear, MakeFolder, why_not
from hooks.disks.requests import Request

LOG = logging.getLogger("disks")

Probe = Callable[[str], Entry | None]
"""Path → the disk there, examined anew; None when nothing is mounted there now."""


@dataclass
class Task:
    """One action under way, or how the last one on this disk ended."""

    action: Action
    progress: wipe.Progress
    running: bool = True
    trouble: str = ""
    answer: WipeAnswer | None = None
    ended: float = 0.0
    """Monotonic seconds."""


# An action that failed is tried again, but not in the round that its end wakes.
_PAUSE_SECONDS = 20.0


class Workers:
    """`probe` looks at one disk again just before it is written to; `allowed` says whether a request still stands;
    `done` is called after every action, from its thread."""

    def __init__(
        self,
        probe: Probe,
        allowed: Callable[[Request], bool],
        done: Callable[[], None],
        *,
        trim: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe = probe
        self._allowed = allowed
        self._done = done
        self._trim = trim
        self._clock = clock
        self._tasks: dict[str, Task] = {}

    def start(self, action: Action) -> threading.Thread | None:
        """Begin, unless that disk's last action still runs."""
        path = action.entry.path
        last = self._tasks.get(path)
        if last and last.running:
            return None
        task = Task(action, wipe.Progress())
        if last and (last.action.request, last.action.entry.mount) == (
            action.request,
            action.entry.mount,
        ):
            if (last.trouble or last.answer) and self._clock() - last.ended < _PAUSE_SECONDS:
                return None
            task.answer = last.answer  # until this attempt knows better
            task.trouble = last.trouble
        self._tasks[path] = task
        thread = threading.Thread(target=self._run, args=(task,), name=f"disk {path}", daemon=True)
        thread.start()
        return thread

    @property
    def wiping(self) -> bool:
        return any(t.running and isinstance(t.action, Clear) for t in self._tasks.values())

    def answers(self, requests: Mapping[str, Request]) -> dict[str, WipeAnswer]:
        """Path → what is known here about the wipe that is asked for now; Done is told by the marker alone."""
        found = {}
        for path, task in self._tasks.items():
            request = task.action.request
            if not request.wipe or requests.get(request.identity) != request:
                continue
            if task.running and task.progress.begun:
                found[path] = WipeAnswer(
                    request.wipe.generation,
                    request.wipe.pv_uid,
                    "Running",
                    removed_bytes=task.progress.removed_bytes,
                    total_bytes=max(task.progress.total_bytes, task.progress.removed_bytes),
                )
            elif task.answer:
                found[path] = task.answer
        return found

    def troubles(self) -> list[str]:
        """What went wrong with making folders, a sentence each."""
        return sorted(task.trouble for task in self._tasks.values() if task.trouble)

    def forget(self, paths: set[str], requests: Mapping[str, Request]) -> None:
        """Drop what ended on disks other than these, or on a request that stands no more: given again, it is new."""
        for path, task in list(self._tasks.items()):
            stands = requests.get(task.action.request.identity) == task.action.request
            if not task.running and not (stands and path in paths):
                del self._tasks[path]

    def _run(self, task: Task) -> None:
        action = task.action
        try:
            if isinstance(action, Clear):
                task.answer = self._clear(action, task.progress)
            else:
                self._write(action)
                task.trouble = ""
        except (folders.FolderError, MarkerError, MountChangedError, OSError) as error:
            task.trouble = (
                f"{action.entry.path}: {action.request.folder} was not made: {_words(error)}"
            )
            LOG.warning("%s", task.trouble)
        finally:
            task.ended = self._clock()
            task.running = False
            self._done()

    def _write(self, action: Action) -> None:
        entry, request = action.entry, action.request
        root = _open(entry)
        try:
            if isinstance(action, MakeFolder):
                folders.make(root, request, entry.identity)
            else:
                folders.record(root, request)
        finally:
            os.close(root)

    def _clear(self, action: Clear, progress: wipe.Progress) -> WipeAnswer | None:
        """Clear the disk; the answer, or None when the marker tells it all (done, or broken off by withdrawal)."""
        entry, request = action.entry, action.request
        LOG.info("%s: wiping %s", entry.path, request.folder)
        try:
            # Opened first, examined then: what is held open cannot be exchanged any more.
            root = _open(entry)
            try:
                fresh = self._probe(entry.path)
                if fresh is None or fresh.mount != entry.mount:
                    raise MountChangedError(
                        "another mount is there now than the one that was looked at"
                    )
                refusal = why_not(replace(fresh, steady=entry.steady), request)
                if refusal:
                    LOG.warning("%s", refusal.message)
                    return refusal
                wipe.clear(
                    root,
                    request,
                    proceed=lambda: self._allowed(request),
                    progress=progress,
                    trim=self._trim(),
                )
            finally:
                os.close(root)
        except wipe.WithdrawnError:
            LOG.warning("%s: the wipe of %s was withdrawn", entry.path, request.folder)
            return None
        except MountChangedError as error:
            return self._stopped(action, progress, "Refused", "identity", error)
        except wipe.RefusedError as error:
            return self._stopped(action, progress, "Refused", error.reason, error)
        except OSError as error:
            return self._stopped(action, progress, "Failed", "io-error", error)
        note = progress.note or "not trimmed: disks.wipe.trim is off"
        LOG.info(
            "%s: wiped %s, %d bytes; %s", entry.path, request.folder, progress.removed_bytes, note
        )
        return None

    def _stopped(
        self, action: Clear, progress: wipe.Progress, state: str, reason: str, error: Exception
    ) -> WipeAnswer:
        entry, asked = action.entry, action.wipe
        message = f"{entry.path} is not wiped: {_words(error)}"
        if progress.begun:
            removed = f"{progress.removed_bytes} of {progress.total_bytes} bytes"
            message = f"wiping {entry.path}/{asked.folder} stopped after {removed}: {_words(error)}"
        LOG.warning("%s", message)
        return WipeAnswer(
            asked.generation,
            asked.pv_uid,
            state,
            reason,
            message,
            progress.removed_bytes,
            progress.total_bytes,
        )


def _open(entry: Entry) -> int:
    """The disk's root folder, to be written to by nobody else until it is closed.

    Two agents meet on a node while one of them is being replaced; the lock lies on the disk, so it holds between
    containers, and the kernel drops it with its holder.
    """
    if entry.mount is None:
        raise MountChangedError(f"nothing is mounted on {entry.path}")
    root = open_root(entry.mount)
    try:
        fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(root)
        if error.errno == errno.EAGAIN:
            raise BlockingIOError(errno.EAGAIN, "another agent is at work on it") from error
        raise
    return root


def _words(error: Exception) -> str:
    """Without Python's "[Errno 5]"; with the file's name, where the kernel's error is about one."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
