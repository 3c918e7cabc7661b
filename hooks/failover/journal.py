"""The journal: ConfigMap `tidb-finished-volumes` of the database's namespace (schema/finished.schema.yaml).

One key a PV UID. Every write is a compare-and-swap on the ConfigMap's resourceVersion, so that a job which
slept never overwrites a later word. An entry that cannot be read is no entry of ours: the volume controller
treats it as Retiring.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hooks.engine import JobError, Outcome
from hooks.failover.model import Component, Entry, EntryState
from hooks.kube import (
    CONFIG_MAP,
    AlreadyExistsError,
    Client,
    ConflictError,
    NotFoundError,
    Obj,
    version,
)
from schema import names

# Annotation `…/<release>-<component>`: how many replacements there were, counted with the entry that becomes final,
# in one write. It stays when the entry goes.
REPLACED = f"replaced.{names.GROUP}"


def read(client: Client, namespace: str) -> tuple[Entry, ...]:
    """All entries, by PV UID. JobError when one is none: a person has edited it, and it may be about the very
    disk at hand.
    """
    return entries(client.find(CONFIG_MAP, names.FINISHED_VOLUMES, namespace))


def entries(obj: Obj | None) -> tuple[Entry, ...]:
    data = ((obj or {}).get("data")) or {}
    return tuple(parse(key, data[key]) for key in sorted(data))


def parse(key: str, text: str) -> Entry:
    try:
        raw = json.loads(text)
        return Entry(
            volume=str(raw["pv"]),
            volume_uid=str(raw["pvUID"]),
            claim=str(raw["claim"]),
            owner=str(raw["owner"]),
            cluster=int(raw.get("cluster", "0")),
            state=EntryState(raw["state"]),
            at=datetime.fromisoformat(raw["at"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(
            f"ConfigMap {names.FINISHED_VOLUMES}, key {key}: {error!r} in {text[:120]!r}; it is failover's "
            "journal: remove the key if nobody needs the volume any more, else mend it (schema/finished.schema.yaml)"
        ) from error


def text(entry: Entry) -> str:
    """As it stands in the ConfigMap: sorted keys, so that the same entry is the same bytes."""
    return json.dumps(
        {
            "pv": entry.volume,
            "pvUID": entry.volume_uid,
            "claim": entry.claim,
            "owner": entry.owner,
            "cluster": str(entry.cluster),
            "state": entry.state.value,
            "at": entry.at.astimezone(UTC).isoformat(timespec="seconds"),
        },
        sort_keys=True,
    )


def swap(
    client: Client,
    namespace: str,
    volume_uid: str,
    before: Entry | None,
    after: Entry | None,
    *,
    count: str = "",
) -> Outcome:
    """Put `after` where `before` is (None: nothing), or STALE when something else is there by now.

    `count` names a counter (`<release>-<component>`) that goes up by one with it.
    """
    obj = client.find(CONFIG_MAP, names.FINISHED_VOLUMES, namespace)
    held = {entry.volume_uid: entry for entry in entries(obj)}
    if held.get(volume_uid) == after:
        return Outcome.DONE
    if held.get(volume_uid) != before:
        return Outcome.STALE
    data = {volume_uid: text(after) if after is not None else None}
    try:
        if obj is None:
            client.create(
                {
                    "apiVersion": CONFIG_MAP.api_version,
                    "kind": CONFIG_MAP.kind,
                    "metadata": {"name": names.FINISHED_VOLUMES, "namespace": namespace},
                    "data": data,
                }
            )
        else:
            metadata: Obj = {"resourceVersion": version(obj)}
            if count:
                metadata["annotations"] = {f"{REPLACED}/{count}": str(_count(obj, count) + 1)}
            patch = {"metadata": metadata, "data": data}
            client.merge_patch(CONFIG_MAP, names.FINISHED_VOLUMES, patch, namespace)
    except (AlreadyExistsError, ConflictError, NotFoundError):
        return Outcome.STALE
    return Outcome.DONE


def replaced(obj: Obj | None, release: str, component: Component) -> int:
    """How many stores or members of this release were ever replaced."""
    return _count(obj, f"{release}-{component}")


def _count(obj: Obj | None, count: str) -> int:
    said = (((obj or {}).get("metadata") or {}).get("annotations") or {}).get(f"{REPLACED}/{count}")
    return int(said) if said is not None and said.isdecimal() else 0
