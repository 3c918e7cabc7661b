"""A node's inventory, read strictly (schema/inventory.schema.yaml): all of it is right, or none of it counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from hooks.volumes.model import Disk, Finished, Marker, Problem, WipeReport
from schema import names


class InventoryError(Exception):
    """The document breaks its schema; the message names the key and what was expected."""


@dataclass(frozen=True, slots=True)
class Inventory:
    node: str
    node_ip: str
    nonce: str
    complaints: tuple[str, ...]
    disks: tuple[Disk, ...]


@cache
def _validator(contract: str) -> Callable[[Any], object]:
    """Compiled once: 24,000 disks are checked in about a second; jsonschema takes a minute for them."""
    import fastjsonschema
    import yaml

    text = files("schema").joinpath(f"{contract}.schema.yaml").read_text()
    schema = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    validator: Callable[[Any], object] = fastjsonschema.compile(schema, use_default=False)
    return validator


def check(contract: str, text: str) -> dict[str, Any]:
    """The document in `text`, valid by `schema/<contract>.schema.yaml`. InventoryError otherwise."""
    import fastjsonschema

    try:
        document = json.loads(text)
    except ValueError as error:
        raise InventoryError(f"it is not JSON: {error}") from error
    try:
        _validator(contract)(document)
    except fastjsonschema.JsonSchemaValueException as error:
        raise InventoryError(f"{error.message} (found {_short(error.value)})") from error
    if not isinstance(document, dict):
        raise InventoryError(f"it is no object but {_short(document)}")
    return document


def read(name: str, text: str) -> Inventory:
    """The inventory in the ConfigMap `name`. InventoryError when it is invalid or of another node."""
    document = check("inventory", text)
    node = str(document["node"])
    if name != names.INVENTORY_PREFIX + node:
        raise InventoryError(f"node is {node!r}, but the ConfigMap is named {name}")
    return Inventory(
        node=node,
        node_ip=str(document["nodeIP"]),
        nonce=str(document.get("nonce", "")),
        complaints=tuple(document.get("complaints", ())),
        disks=tuple(_disk(node, disk) for disk in document["disks"]),
    )


def _disk(node: str, said: Mapping[str, Any]) -> Disk:
    foreign = said.get("foreign") or {}
    marker = said.get("marker")
    wipe = said.get("wipe")
    return Disk(
        node=node,
        identity=said["identity"],
        path=said["path"],
        device=said["device"],
        fs_type=said.get("fsType", ""),
        rotational=said.get("rotational", False),
        capacity_bytes=said["capacityBytes"],
        steady=said["steady"],
        problems=tuple(Problem(p["code"], p["message"]) for p in said["problems"]),
        folders=tuple(said.get("folders", ())),
        empty=tuple(said.get("empty", ())),
        foreign=tuple(foreign.get("names", ())),
        foreign_count=foreign.get("count", 0),
        marker=None
        if marker is None
        else Marker(
            marker["volume"],
            marker["identity"],
            marker["generation"],
            marker["folder"],
            marker["pvUID"],
        ),
        wipe=None
        if wipe is None
        else WipeReport(
            wipe["generation"],
            wipe["pvUID"],
            wipe["state"],
            wipe.get("reason", ""),
            wipe.get("message", ""),
            wipe.get("removedBytes", 0),
            wipe.get("totalBytes", 0),
        ),
    )


def read_finished(namespace: str, key: str, text: str) -> tuple[Finished, str]:
    """A database job's word, and "" or what is wrong with it: a broken entry counts as Retiring, doubt keeps the
    data.
    """
    try:
        document = check("finished", text)
        if document["pvUID"] != key:
            raise InventoryError(f"pvUID is {document['pvUID']!r}, but the key is {key!r}")
    except InventoryError as error:
        return Finished(namespace, key, "Retiring", "an owner whose entry is invalid"), str(error)
    return Finished(namespace, key, document["state"], document["owner"]), ""


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"
