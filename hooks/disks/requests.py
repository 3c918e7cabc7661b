"""What the volume controller asks of this node: `requests.json`, read strictly (schema/requests.schema.yaml).

By hand and not with a schema library: the agent runs on every node and its memory counts. A test holds this reader
and the schema together. One wrong key and nothing of the document is acted upon.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

_VOLUME = re.compile(r"tv-[0-9a-f]{16}")
_FOLDER = re.compile(r"tv-[0-9a-f]{16}-g[1-9][0-9]*")


class RequestsError(ValueError):
    """The document breaks its schema; the text names the key, the value and what was expected."""


@dataclass(frozen=True)
class WipeRequest:
    """Leave to clear one generation's folder; its key is (identity, generation, PV UID)."""

    generation: int
    pv_uid: str
    folder: str
    foreign: bool
    """Foreign files on the disk go too: a person said so."""


@dataclass(frozen=True)
class Request:
    identity: str
    volume: str
    generation: int
    folder: str
    make: bool
    pv_uid: str
    wipe: WipeRequest | None = None


def parse(text: str, node: str) -> Mapping[str, Request]:
    """Identity → what is asked of that disk. Raises RequestsError."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise RequestsError(f"not JSON: {error}") from error
    top = _Keys("", document, {"version", "node", "volumes"})
    if top.integer("version") != 1:
        raise RequestsError(f"version is {document['version']!r}; this agent knows version 1")
    if top.text("node") != node:
        raise RequestsError(f"node is {document['node']!r}; this is node {node!r}")
    volumes = document["volumes"]
    if not isinstance(volumes, list):
        raise RequestsError(f"volumes is {volumes!r}, expected a list")
    found: dict[str, Request] = {}
    for index, entry in enumerate(volumes):
        request = _request(f"volumes[{index}]", entry)
        if request.identity in found:
            raise RequestsError(
                f"volumes[{index}].identity {request.identity!r} stands there twice"
            )
        found[request.identity] = request
    return found


def _request(where: str, entry: Any) -> Request:
    keys = _Keys(
        where, entry, {"identity", "volume", "generation", "folder", "make", "pvUID"}, {"wipe"}
    )
    request = Request(
        identity=keys.text("identity"),
        volume=keys.matching("volume", _VOLUME),
        generation=keys.integer("generation"),
        folder=keys.matching("folder", _FOLDER),
        make=keys.boolean("make"),
        pv_uid=keys.text("pvUID", empty=True),
        wipe=_wipe(f"{where}.wipe", entry["wipe"]) if "wipe" in entry else None,
    )
    if request.folder != f"{request.volume}-g{request.generation}":
        raise RequestsError(
            f"{where}.folder is {request.folder!r}, expected {request.volume}-g{request.generation}"
        )
    wipe = request.wipe
    if wipe and (wipe.generation, wipe.folder) != (request.generation, request.folder):
        raise RequestsError(
            f"{where}.wipe is of {wipe.folder!r}, generation {wipe.generation}, "
            f"expected the entry's own: {request.folder!r}, {request.generation}"
        )
    return request


def _wipe(where: str, entry: Any) -> WipeRequest:
    keys = _Keys(where, entry, {"generation", "pvUID", "folder", "foreign"})
    if keys.text("foreign") not in ("keep", "remove"):
        raise RequestsError(f"{where}.foreign is {entry['foreign']!r}, expected keep or remove")
    return WipeRequest(
        generation=keys.integer("generation"),
        pv_uid=keys.text("pvUID", empty=True),
        folder=keys.matching("folder", _FOLDER),
        foreign=entry["foreign"] == "remove",
    )


class _Keys:
    """One object of the document with exactly the keys it may have."""

    def __init__(
        self,
        where: str,
        entry: Any,
        needed: set[str],
        allowed: Set[str] = frozenset(),
    ) -> None:
        self._prefix = f"{where}." if where else ""
        if not isinstance(entry, dict):
            raise RequestsError(f"{where or 'the document'} is {entry!r}, expected an object")
        self._entry = entry
        for key in sorted(needed - entry.keys()):
            raise RequestsError(f"{self._prefix}{key} is missing")
        for key in sorted(entry.keys() - needed - allowed):
            raise RequestsError(f"{self._prefix}{key} is not a key of this version")

    def text(self, key: str, *, empty: bool = False) -> str:
        value = self._entry[key]
        if not isinstance(value, str) or not (value or empty):
            raise RequestsError(f"{self._prefix}{key} is {value!r}, expected a text")
        return value

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        value = self.text(key)
        if not pattern.fullmatch(value):
            raise RequestsError(f"{self._prefix}{key} is {value!r}, expected {pattern.pattern}")
        return value

    def integer(self, key: str) -> int:
        value = self._entry[key]
        if type(value) is not int or value < 1:
            raise RequestsError(f"{self._prefix}{key} is {value!r}, expected a whole number from 1")
        return value

    def boolean(self, key: str) -> bool:
        value = self._entry[key]
        if not isinstance(value, bool):
            raise RequestsError(f"{self._prefix}{key} is {value!r}, expected true or false")
        return value
