"""The agent's configuration: a small JSON file that the chart mounts, read again whenever it changed.

    {"minSize": "10Gi", "steadyFor": "2s", "rescanEvery": "30s", "trim": false}

A bad new file never stops an agent, nor changes what it does: the last valid one stays in force, and the inventory's
`complaints` say what is wrong with the new one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hooks.commandline import duration
from hooks.disks.judge import Policy
from schema import quantity


class ConfigError(ValueError):
    """The file cannot be used; the text names the key, the value and what was expected."""


@dataclass(frozen=True)
class Config:
    policy: Policy = field(default_factory=Policy)
    rescan_seconds: float = 30.0
    trim: bool = False
    """Tell the disk which blocks are free after a wipe; needs CAP_SYS_ADMIN, which the chart then gives."""


def parse(text: str) -> Config:
    """Raises ConfigError."""
    try:
        said = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"not JSON: {error}") from error
    if not isinstance(said, dict):
        raise ConfigError(f"is {said!r}, expected an object")
    readers: dict[str, Callable[[Any], Any]] = {
        "minSize": _size,
        "steadyFor": lambda value: _seconds(value, 0, 3600),
        "rescanEvery": lambda value: _seconds(value, 1, 3600),
        "trim": _boolean,
    }
    for key in sorted(said.keys() - readers.keys()):
        raise ConfigError(f"{key}: no such key; there are {', '.join(readers)}")
    found: dict[str, Any] = {}
    for key, reader in readers.items():
        if key in said:
            try:
                found[key] = reader(said[key])
            except (ValueError, argparse.ArgumentTypeError) as error:
                raise ConfigError(f"{key} is {said[key]!r}: {error}") from error
    return Config(
        policy=Policy(
            min_size_bytes=found.get("minSize", Policy.min_size_bytes),
            steady_seconds=found.get("steadyFor", Policy.steady_seconds),
        ),
        rescan_seconds=found.get("rescanEvery", Config.rescan_seconds),
        trim=found.get("trim", Config.trim),
    )


def _size(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError("expected a quantity such as 10Gi")
    return int(quantity.parse(value))


def _seconds(value: Any, least: float, most: float) -> float:
    if not isinstance(value, str):
        raise ValueError("expected a duration such as 30s")
    seconds = duration(value)
    if not least <= seconds <= most:
        raise ValueError(f"expected a duration from {least:g}s to {most:g}s")
    return seconds


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


class ConfigFile:
    """The file and the last valid configuration that it held."""

    def __init__(self, path: Path | None) -> None:
        """Raises ConfigError when the first one is bad: there is none before it that could stay in force."""
        self._path = path
        self._text: str | None = None
        self.complaint: str | None = None
        self.config = Config()
        if path is not None:
            try:
                self._text = path.read_text(encoding="utf-8")
                self.config = parse(self._text)
            except (OSError, UnicodeDecodeError, ConfigError) as error:
                raise ConfigError(f"configuration {path}: {error}") from error

    def reload(self) -> Config:
        """The configuration in force; `complaint` tells when the file holds another one that cannot be used."""
        if self._path is None:
            return self.config
        try:
            text = self._path.read_text(encoding="utf-8")
            if text != self._text:
                self.config, self._text = parse(text), text
            self.complaint = None
        except (OSError, UnicodeDecodeError, ConfigError) as error:
            self.complaint = (
                f"new configuration {self._path} cannot be used: {error}; the last valid one stays in force "
                f"(minSize {self.config.policy.min_size_bytes} bytes, steadyFor "
                f"{self.config.policy.steady_seconds:g}s, rescanEvery {self.config.rescan_seconds:g}s)"
            )
        return self.config
