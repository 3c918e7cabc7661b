"""PD's configuration: the defaults of release-8.5, what was changed, what was changed for a time (`?ttlSecond=`).

Items are named as in POST /config: "schedule.max-store-down-time". PD answers durations as Go texts and, in
/config/replicate and /config/schedule, booleans as the texts "true" and "false".
"""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.standin.clock import DurationError, format_duration, parse_duration
from tests.standin.stores import RefusedError

DEFAULTS: dict[str, Any] = json.loads(Path(__file__).with_name("config_defaults.json").read_text())
SECTIONS = (
    "schedule",
    "replication",
    "pd-server",
    "log",
    "replication-mode",
    "keyspace",
    "controller",
)
# PD 8.5 `server/config/persist_options.go`: the items that may be set for a time.
TTL_ITEMS = tuple(
    f"schedule.{name}"
    for name in (
        "max-snapshot-count",
        "max-pending-peer-count",
        "max-merge-region-size",
        "max-merge-region-keys",
        "leader-schedule-limit",
        "region-schedule-limit",
        "replica-schedule-limit",
        "merge-schedule-limit",
        "hot-region-schedule-limit",
        "scheduler-max-waiting-operator",
        "enable-location-replacement",
        "enable-tikv-split-region",
    )
)


@dataclass
class Config:
    changed: dict[str, Any] = field(default_factory=dict)
    ttl: dict[str, tuple[Any, float]] = field(
        default_factory=dict
    )  # value, Unix seconds of its end

    @classmethod
    def from_json(cls, data: dict[str, Any] | None) -> Config:
        if not data:
            return cls()
        return cls(dict(data["changed"]), {k: (v[0], v[1]) for k, v in data["ttl"].items()})

    def to_json(self) -> dict[str, Any]:
        return {"changed": self.changed, "ttl": self.ttl}

    def value(self, item: str) -> Any:
        """The value in force; a TTL value counts until its end."""
        if item in self.ttl and time.time() < self.ttl[item][1]:
            return self.ttl[item][0]
        return self.changed[item] if item in self.changed else _default(item)

    def seconds(self, item: str) -> float:
        return parse_duration(str(self.value(item)))

    def number(self, item: str) -> int:
        return int(self.value(item))

    @property
    def location_labels(self) -> list[str]:
        return [
            label for label in str(self.value("replication.location-labels")).split(",") if label
        ]

    def section(self, name: str) -> dict[str, Any]:
        """One section with everything in force, as /config/{name} shows it."""
        return {key: self.value(f"{name}.{key}") for key in DEFAULTS[name]}

    def whole(self) -> dict[str, Any]:
        merged = copy.deepcopy(DEFAULTS)
        for name in SECTIONS:
            if isinstance(merged.get(name), dict):
                merged[name] |= self.section(name)
        return merged

    def change(self, items: dict[str, Any]) -> None:
        """POST /config: one item after the other, as PD: those before a refused one stay changed."""
        for item, value in items.items():
            checked = _check(item, value)
            if item in self.ttl and time.time() < self.ttl[item][1]:
                raise RefusedError(400, f"need to clean up TTL first for {item}")
            self.changed[item] = checked

    def change_for(self, items: dict[str, Any], seconds: float) -> str:
        """POST /config?ttlSecond=: PD's answer; 0 takes the TTL values away."""
        for item in items:
            if item not in TTL_ITEMS:
                raise RefusedError(400, f"unsupported ttl config {item}")
        for item, value in items.items():
            if seconds > 0:
                self.ttl[item] = (_check(item, value), time.time() + seconds)
            else:
                self.ttl.pop(item, None)
        return "The ttl config is updated." if seconds > 0 else "The ttl config is deleted."

    def rules(self) -> list[dict[str, Any]]:
        """/config/rules: the default placement rule; labels make it version 1."""
        rule: dict[str, Any] = {
            "group_id": "pd",
            "id": "default",
            "start_key": "",
            "end_key": "",
            "role": "voter",
            "is_witness": False,
            "count": self.number("replication.max-replicas"),
        }
        if self.location_labels:
            rule |= {"location_labels": self.location_labels, "version": 1}
        return [rule]


def file_changes(tables: dict[str, Any]) -> dict[str, Any]:
    """The items of pd.toml that PD would take into its configuration; raises RefusedError for a bad value."""
    changes: dict[str, Any] = {}
    for section in SECTIONS:
        for key, value in tables.get(section, {}).items():
            if key in DEFAULTS.get(section, {}) and not isinstance(value, dict):
                text = ",".join(value) if isinstance(value, list) else value
                changes[f"{section}.{key}"] = _check(f"{section}.{key}", text)
    return changes


def _default(item: str) -> Any:
    section, _, key = item.partition(".")
    return DEFAULTS[section][key]


def _check(item: str, value: Any) -> Any:
    """The value as PD would keep it, or RefusedError with PD's text."""
    section, _, key = item.partition(".")
    if section not in SECTIONS:
        raise RefusedError(400, f"config prefix {section} not found")
    if key not in DEFAULTS[section]:
        raise RefusedError(400, f"config item {key} not found")
    default = DEFAULTS[section][key]
    if default in ("true", "false"):
        return _boolean(item, value)
    if isinstance(default, str) and _is_duration(default):
        try:
            return format_duration(parse_duration(str(value)))
        except DurationError as problem:
            raise RefusedError(400, str(problem)) from problem
    wanted = int | float if isinstance(default, int | float) else type(default)
    if not isinstance(value, wanted) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise RefusedError(
            400, f"json: cannot unmarshal {_go_kind(value)} into Go struct field {item}"
        )
    return value


def _boolean(item: str, value: Any) -> str:
    text = str(value).lower()
    if text not in ("true", "false"):
        raise RefusedError(
            400, f"json: cannot unmarshal {_go_kind(value)} into Go struct field {item}"
        )
    return text


def _is_duration(text: str) -> bool:
    try:
        parse_duration(text)
    except DurationError:
        return False
    return bool(text)


def _go_kind(value: Any) -> str:
    kinds = {
        str: "string",
        bool: "bool",
        int: "number",
        float: "number",
        list: "array",
        dict: "object",
    }
    return kinds.get(type(value), "null")
