"""The record as a ConfigMap, `<release>-cluster` (hooks/boot/model.Record says what it is for).

It carries no Helm label or annotation, so that no uninstall and no prune takes it; a person deletes it to give a
cluster's data up.
"""

from __future__ import annotations

from datetime import UTC, datetime

from hooks.boot.model import Record
from hooks.engine import JobError, Outcome
from hooks.kube import CONFIG_MAP, AlreadyExistsError, Client, ConflictError, NotFoundError, Obj
from schema import names


def read(client: Client, namespace: str, release: str) -> Record | None:
    """None when there is none (404 alone). JobError when a person wrote something that is no record."""
    found = client.find(CONFIG_MAP, names.record(release), namespace)
    return None if found is None else parse(found)


def parse(obj: Obj) -> Record:
    data = obj.get("data") or {}
    name = obj["metadata"]["name"]
    since = data.get(names.RECORD_SINCE_KEY)
    try:
        return Record(
            members=tuple(
                word for word in data.get(names.RECORD_MEMBERS_KEY, "").split(",") if word
            ),
            cluster_id=_number(data, names.RECORD_CLUSTER_ID_KEY),
            since=datetime.fromisoformat(since) if since else None,
            rebootstrap=_number(data, names.RECORD_REBOOTSTRAP_KEY),
            version=obj["metadata"].get("resourceVersion", ""),
        )
    except ValueError as error:
        raise JobError(
            f"ConfigMap {name}: {error}; it is the cluster's durable record: kubectl edit configmap {name}"
        ) from error


def _number(data: dict[str, str], key: str) -> int | None:
    text = data.get(key, "").strip()
    if not text:
        return None
    if not text.isdigit():
        raise ValueError(f"{key} is {text!r}, expected a number")
    return int(text)


def document(record: Record, namespace: str, release: str) -> Obj:
    data = {names.RECORD_MEMBERS_KEY: ",".join(record.members)}
    if record.cluster_id is not None:
        data[names.RECORD_CLUSTER_ID_KEY] = str(record.cluster_id)
    if record.since is not None:
        data[names.RECORD_SINCE_KEY] = record.since.astimezone(UTC).isoformat(timespec="seconds")
    if record.rebootstrap is not None:
        data[names.RECORD_REBOOTSTRAP_KEY] = str(record.rebootstrap)
    metadata: Obj = {
        "name": names.record(release),
        "namespace": namespace,
        "labels": {
            "app.kubernetes.io/name": "tidb",
            "app.kubernetes.io/instance": release,
            "app.kubernetes.io/component": "boot",
        },
    }
    if record.version:
        metadata["resourceVersion"] = record.version
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def write(
    client: Client, namespace: str, release: str, before: Record | None, now: Record
) -> Outcome:
    """Create it, or replace the very version that the decision read; somebody faster is STALE, never overwritten."""
    try:
        if before is None:
            client.create(document(now, namespace, release))
        else:
            client.replace(document(now, namespace, release))
    except (AlreadyExistsError, ConflictError, NotFoundError):
        return Outcome.STALE
    return Outcome.DONE
