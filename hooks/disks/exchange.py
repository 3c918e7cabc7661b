"""What agent and controller say to each other, over the Kubernetes API: two ConfigMaps a node, one for each direction.

Each agent watches these two by name and nothing else: what an agent holds in memory does not grow with the cluster.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from hooks.disks.agent import Mail
from hooks.kube import CONFIG_MAP, Client, Follower, KubeError, Obj, RetryableError
from schema import names

LOG = logging.getLogger("disks")


class KubeExchange:
    """Keeps the newest mail; `wake` is called whenever it changes, from the watching threads."""

    def __init__(self, client: Client, namespace: str, node: str, wake: Callable[[], None]) -> None:
        self._client = client
        self._namespace = namespace
        self._node = node
        self._wake = wake
        self._lock = threading.Lock()
        self._mail = Mail()
        self._written_version = 0
        self._silent = ""
        self._troubled = ""
        self._lists = [threading.Event(), threading.Event()]

    def follow(self) -> None:
        """Begin to watch both ConfigMaps, for ever."""
        sinks = (
            _Sink(self._requests_seen, self._requests_gone, self._lists[0]),
            _Sink(self._inventory_seen, self._inventory_gone, self._lists[1]),
        )
        for prefix, sink in zip(
            (names.REQUESTS_PREFIX, names.INVENTORY_PREFIX), sinks, strict=True
        ):
            Follower(
                self._client,
                CONFIG_MAP,
                sink,
                namespace=self._namespace,
                fields=f"metadata.name={prefix}{self._node}",
                trouble=self._trouble,
            ).thread()

    def wait(self, seconds: float) -> bool:
        """Until both ConfigMaps were looked for once: what was steady before a restart is known then."""
        return all(event.wait(seconds) for event in self._lists)

    def mail(self) -> Mail:
        with self._lock:
            return self._mail

    def publish(self, text: str) -> bool:
        inventory: Obj = {
            "apiVersion": CONFIG_MAP.api_version,
            "kind": CONFIG_MAP.kind,
            "metadata": {
                "name": f"{names.INVENTORY_PREFIX}{self._node}",
                "namespace": self._namespace,
                "labels": {names.EXCHANGE_LABEL: names.INVENTORY},
            },
            "data": {names.INVENTORY_KEY: text},
        }
        try:
            # By force: nobody else has a say in what this node's disks are.
            written = self._client.apply(inventory, force=True)
        except KubeError as error:
            # Once for an API server that is away, however it says so; once for each other reason.
            away = isinstance(error, RetryableError) and bool(self._silent)
            if not away and str(error) != self._silent:
                LOG.warning("the inventory could not be written: %s; trying again", error)
            self._silent = str(error)
            return False
        if self._silent:
            LOG.info("the inventory is written again")
        self._silent = ""
        with self._lock:
            self._written_version = _number(written)
            self._mail = replace(self._mail, inventory=text)
        return True

    def _requests_seen(self, obj: Obj) -> None:
        data = obj.get("data") or {}
        self._tell(requests=data.get(names.REQUESTS_KEY), nonce=data.get(names.SCAN_KEY))

    def _requests_gone(self) -> None:
        self._tell(requests=None, nonce=None)

    def _inventory_seen(self, obj: Obj) -> None:
        if (
            _number(obj) >= self._written_version
        ):  # an older one is what this agent has replaced since
            self._tell(inventory=(obj.get("data") or {}).get(names.INVENTORY_KEY, ""))

    def _inventory_gone(self) -> None:
        self._tell(inventory="")

    def _tell(self, **news: str | None) -> None:
        with self._lock:
            before, self._mail = self._mail, replace(self._mail, **news)
            same = before == self._mail
        if not same:
            self._wake()

    def _trouble(self, text: str) -> None:
        with self._lock:
            news, self._troubled = text != self._troubled, text
        if text and news:
            LOG.warning("the requests for this node cannot be followed: %s; trying again", text)


class _Sink:
    def __init__(
        self, seen: Callable[[Obj], None], gone: Callable[[], None], listed: threading.Event
    ) -> None:
        self._seen = seen
        self._gone = gone
        self._listed = listed
        self._any = False

    def seen(self, obj: Obj) -> None:
        self._any = True
        self._seen(obj)

    def gone(self, *_: object) -> None:  # there is but one
        self._any = False
        self._gone()

    def synced(self) -> None:
        if not self._any:
            self._gone()
        self._listed.set()


def _number(obj: Obj) -> int:
    """resourceVersions of one kind can be compared as numbers (KEP-5504); one that is none counts as the newest."""
    version = str(obj["metadata"].get("resourceVersion", ""))
    return int(version) if version.isdigit() else 1 << 63
