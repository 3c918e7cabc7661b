"""Follow all objects of a kind: list, then watch, for ever, whatever breaks in between.

`follow` is meant for a thread of its own and tells a `Sink` what it sees. What makes it trustworthy, and where
others fell (reference/python-on-kubernetes.md; kubespawner's reflector.py has the same scars):

- Lists come in pages of 500, so that the largest cluster needs one page of memory.
- resourceVersion advances with every event and every BOOKMARK; the package's own Watch replays from the first.
- 410 comes as a status or as an ERROR event; both mean: list again. After a list, what it no longer has is told as
  gone.
- timeoutSeconds is random in 240–480, so that a fleet's watches don't end at once; a connection that is silent for
  longer than that, or whose peer vanished (TCP keep-alive), is given up and opened again.
- Failures back off with full jitter, 0.5 s to 15 s, and honour Retry-After.

Objects are told as they come and kept by nobody here: the sink keeps what it needs of them, which is how 24,000
volumes fit into a small process. A sink must be level-triggered: it may be told the same object again after any
hiccup.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from hooks.kube.backoff import Backoff
from hooks.kube.client import Client
from hooks.kube.errors import GoneError, KubeError, RetryableError
from hooks.kube.kinds import Kind, Obj, uid, version

Key = tuple[str, str]  # namespace ("" for cluster-scoped), name


class Sink(Protocol):
    """Called from the thread that runs `follow`, one call at a time."""

    def seen(self, obj: Obj) -> None:
        """The object exists and looks like this."""
        ...

    def gone(self, key: Key, uid: str, version: str, /) -> None:
        """The object does not exist any more, or has lost the label that was asked for.

        `uid` and `version` (of its end) are "" where only a new list told it.
        """
        ...

    def synced(self) -> None:
        """A complete list has been told; called after every list, so possibly more than once."""
        ...


@dataclass
class Follower:
    """One kind, followed until `stop` is set. `trouble` is told each failure (for logs and metrics), "" on recovery."""

    client: Client
    kind: Kind
    sink: Sink
    namespace: str = ""
    labels: str = ""
    fields: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    trouble: Callable[[str], None] = lambda _: None
    source: random.Random = field(default_factory=random.Random)

    def follow(self) -> None:
        backoff = Backoff(source=self.source)
        known: set[Key] = set()
        version = ""
        while not self.stop.is_set():
            try:
                if not version:
                    version, known = self._list(known)
                    self.trouble("")
                version = self._watch(version, known)
                backoff.reset()
            except GoneError:
                version = ""
            except KubeError as error:
                # Forbidden, unauthorized and not found (a CRD that is not installed yet) may mend too; nothing here
                # may give up.
                self.trouble(str(error))
                self.stop.wait(backoff.next(error.retry_after))

    def thread(self) -> threading.Thread:
        """Started; daemonic, since a watch may sit in a read for minutes when the job ends."""
        thread = threading.Thread(target=self.follow, name=f"watch-{self.kind.plural}", daemon=True)
        thread.start()
        return thread

    def _list(self, known: set[Key]) -> tuple[str, set[Key]]:
        now: set[Key] = set()
        version = ""
        for page in self.client.pages(
            self.kind, self.namespace, labels=self.labels, fields=self.fields
        ):
            version = page.version
            for obj in page.items:
                now.add(_key(obj))
                self.sink.seen(obj)
        for key in sorted(known - now):
            self.sink.gone(key, "", "")
        self.sink.synced()
        return version, now

    def _watch(self, version: str, known: set[Key]) -> str:
        seconds = self.source.randint(240, 480)
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", str(seconds)),
        ]
        query += [("labelSelector", self.labels)] if self.labels else []
        query += [("fieldSelector", self.fields)] if self.fields else []
        stream = self.client.stream(self.kind, self.namespace, query, silence=seconds + 15.0)
        self.trouble("")
        try:
            for line in stream.lines():
                if self.stop.is_set():
                    return version
                version = self._event(line, known) or version
        except RetryableError:
            # What came before the break counts; go on from there, not from the start.
            if self.stop.wait(self.source.random()):
                return version
        finally:
            stream.close()
        return version

    def _event(self, line: bytes, known: set[Key]) -> str:
        event = _decode(line)
        obj = event["object"]
        kind = event["type"]
        if kind == "ERROR":
            if obj.get("code") == 410:
                raise GoneError(f"watch {self.kind.plural}: {obj.get('message')}", status=410)
            raise RetryableError(f"watch {self.kind.plural}: {obj.get('message')}")
        if kind == "DELETED":
            known.discard(_key(obj))
            self.sink.gone(_key(obj), uid(obj), version(obj))
        elif kind in ("ADDED", "MODIFIED"):
            known.add(_key(obj))
            self.sink.seen(obj)
        return version(obj)


def _decode(line: bytes) -> dict[str, Any]:
    try:
        event: dict[str, Any] = json.loads(line)
        event["object"], event["type"]
    except (ValueError, KeyError, TypeError) as error:
        raise RetryableError(f"watch: a line is no event: {line[:100]!r}") from error
    return event


def _key(obj: Obj) -> Key:
    meta = obj["metadata"]
    return str(meta.get("namespace", "")), str(meta["name"])
