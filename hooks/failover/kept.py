"""What one run leaves for the next, and for the metrics: ConfigMap `<release>-failover`.

reading.json: what PD said when a run first looked, while something was not well. lost.json: since when which place
has not been well; no decision rests on it. homes.json: who was last well on which volume.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from hooks import kube
from hooks.engine import JobError
from hooks.failover.model import Reading
from hooks.failover.objects import Names
from hooks.reporting import keep

READING_KEY = "reading.json"
LOST_KEY = "lost.json"
HOMES_KEY = "homes.json"


def name(release: str) -> str:
    return f"{release}-failover"


def write_reading(
    client: kube.Client, names: Names, reading: Reading, lost: Mapping[str, datetime]
) -> None:
    raw = {
        "taken": reading.taken.isoformat(),
        "leader": str(reading.leader),
        "beats": {str(store): str(beat) for store, beat in sorted(reading.beats.items())},
        "unhealthy": [str(member) for member in sorted(reading.unhealthy)],
        "nameless": [str(member) for member in sorted(reading.nameless)],
    }
    _write(client, names, {READING_KEY: json.dumps(raw, sort_keys=True), LOST_KEY: _lost(lost)})


def reading_in(kept: kube.Obj | None) -> Reading | None:
    """What an earlier run wrote down; None for anything that is no reading: it is worth no more than 15 s."""
    try:
        raw = json.loads(((kept or {}).get("data") or {})[READING_KEY])
        return Reading(
            taken=datetime.fromisoformat(raw["taken"]),
            leader=int(raw["leader"]),
            beats={int(store): int(beat) for store, beat in raw["beats"].items()},
            unhealthy=frozenset(int(member) for member in raw["unhealthy"]),
            nameless=frozenset(int(member) for member in raw["nameless"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def write_lost(client: kube.Client, names: Names, lost: Mapping[str, datetime]) -> None:
    _write(client, names, {LOST_KEY: _lost(lost)})


def lost_in(kept: kube.Obj | None) -> dict[str, datetime]:
    """Pod name → when a run first saw its store or member not well; {} for anything else."""
    try:
        raw = json.loads(((kept or {}).get("data") or {})[LOST_KEY])
        return {str(pod): datetime.fromisoformat(since) for pod, since in raw.items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _lost(lost: Mapping[str, datetime]) -> str:
    since = {pod: when.isoformat(timespec="seconds") for pod, when in lost.items()}
    return json.dumps(since, sort_keys=True)


def write_homes(client: kube.Client, names: Names, homes: Mapping[str, str]) -> None:
    _write(client, names, {HOMES_KEY: json.dumps(dict(homes), sort_keys=True)})


def homes_in(kept: kube.Obj | None) -> dict[str, str]:
    """Who lived on which volume; {} for anything else. JobError when a person has broken it: a guess could
    cost a disk.
    """
    text = ((kept or {}).get("data") or {}).get(HOMES_KEY, "{}")
    try:
        return {str(owner): str(volume) for owner, volume in json.loads(text).items()}
    except (ValueError, AttributeError) as error:
        raise JobError(
            f"ConfigMap {kube.name(kept or {})}: {HOMES_KEY} is {text[:80]!r}; delete that key, it is written anew "
            "at rest"
        ) from error


def _write(client: kube.Client, names: Names, data: dict[str, str]) -> None:
    keep(client, names.release, names.namespace, name(names.release), data)
