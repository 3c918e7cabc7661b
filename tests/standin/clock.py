"""PD's and TiKV's times, made shorter by one factor, so that a test need not wait for half an hour.

STANDIN_TIME_SCALE=60 (or --standin-time-scale=60) makes "30m" last 30 s: heartbeats, Disconnected,
max-store-down-time, the pace of 15 peers a minute, graceful shutdown. Not scaled: what a client chose (ttlSecond) and
network time-outs (3 s for a /health ping, 3 s for "redirect finds no leader"), because jobs measure them with their
own clock. Raft's and the lease's times stop shrinking at LEASE_FLOOR: below it a busy machine would elect at random.

Dates in answers are real dates: only the distance between two events shrinks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

ENVIRONMENT = "STANDIN_TIME_SCALE"
LEASE_FLOOR = 1.5  # seconds an election may take at least
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


class DurationError(ValueError):
    """A text that Go's time.ParseDuration refuses, in its words."""


@dataclass(frozen=True)
class Clock:
    """How many times faster than the real programs this one lives."""

    scale: float = 1.0

    def wait(self, seconds: float) -> float:
        """The seconds that a test waits for what takes `seconds` in a real cluster."""
        return seconds / self.scale

    @property
    def election(self) -> float:
        """etcd's election time-out in seconds: 3 s in PD."""
        return max(3.0 / self.scale, LEASE_FLOOR)

    @property
    def lease(self) -> int:
        """PD's leader lease in whole seconds; etcd allows none below 1.5 elections."""
        return max(3, round(5.0 / self.scale))


def parse_scale(text: str) -> Clock:
    """Raises ValueError with a sentence when `text` is no number above zero."""
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale < float("inf"):
        raise ValueError(
            f"the time scale {text!r} (--standin-time-scale or {ENVIRONMENT}) is no number above 0"
        )
    return Clock(scale)


def parse_duration(text: str) -> float:
    """Seconds of a Go duration ("30m", "1h0m0s"); raises DurationError in Go's words."""
    body = text.removeprefix("-")
    if body == "0":
        return 0.0
    parts = _DURATION.findall(body)
    if not body or "".join(number + unit for number, unit in parts) != body:
        raise DurationError(f'time: invalid duration "{text}"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return -seconds if text.startswith("-") else seconds


def format_duration(seconds: float) -> str:
    """Go's Duration.String(): "30m0s", "1m40.87s", "169.7ms", "0s"."""
    nanoseconds = round(seconds * 1e9)
    if nanoseconds == 0:
        return "0s"
    sign, nanoseconds = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if nanoseconds < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if nanoseconds >= size:
                return f"{sign}{_decimal(nanoseconds, size)}{unit}"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 1_000_000_000)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    digits = f"{fraction:0{len(str(unit)) - 1}d}".rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)


def format_time(unix_nanoseconds: int) -> str:
    """Go's RFC3339Nano in UTC: as many digits as the nanoseconds need, none for a whole second."""
    seconds, nanoseconds = divmod(unix_nanoseconds, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{text}{fraction}Z"


_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def format_size(size: float) -> str:
    """PD's way to write bytes: four significant digits and a binary unit ("98.83GiB", "100GiB", "0B")."""
    unit = 0
    while size >= 1024 and unit < len(_SIZES) - 1:
        size /= 1024
        unit += 1
    return f"{size:.4g}{_SIZES[unit]}"


def parse_size(text: str) -> int:
    """Bytes of a size text; "100GiB", "100GB" and "100G" are the same, as in TiKV. ValueError otherwise."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:I?B)?\s*", text.upper())
    if not match:
        raise ValueError(f"{text!r} is no size: write it like 100GiB")
    return int(float(match[1]) * 1024 ** " KMGTP".index(match[2] or " "))
