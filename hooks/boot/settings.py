"""What the init containers go by: boot.yaml of ConfigMap `<release>-boot`, which the chart renders from values."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import yaml

from hooks.commandline import duration
from hooks.engine import JobError

T = TypeVar("T")


@dataclass(frozen=True)
class LocationLabel:
    """A store label and the Node label that gives its value."""

    name: str
    node_label: str


@dataclass(frozen=True)
class Settings:
    poll: timedelta
    refuse_after: timedelta
    allow_network: bool
    local_provisioners: tuple[str, ...]
    location_labels: tuple[LocationLabel, ...]


def load(path: Path) -> Settings:
    """JobError names the file and the key; the chart's schema has refused wrong values long before."""
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise JobError(
            f"{path}: cannot be read ({error}); the chart renders it, run helm upgrade"
        ) from error
    if not isinstance(document, dict):
        raise JobError(
            f"{path}: is no map but {type(document).__name__}; the chart renders it, run helm upgrade"
        )

    def value(key: str, convert: Callable[[Any], T]) -> T:
        try:
            return convert(document[key])
        except (KeyError, TypeError, ValueError, ArgumentTypeError) as error:
            raise JobError(
                f"{path}: {key} is {document.get(key)!r}; the chart renders it, run helm upgrade"
            ) from error

    return Settings(
        poll=value("poll", _duration),
        refuse_after=value("refuseAfter", _duration),
        allow_network=value("allowNetwork", bool),
        local_provisioners=value("localProvisioners", tuple),
        location_labels=value(
            "locationLabels",
            lambda items: tuple(LocationLabel(item["name"], item["nodeLabel"]) for item in items),
        ),
    )


def _duration(text: str) -> timedelta:
    return timedelta(seconds=duration(text))
