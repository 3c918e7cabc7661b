"""Kubernetes quantities (`500m`, `1Gi`, `1e3`, `0.5`) as exact numbers.

Source: k8s.io/apimachinery/pkg/api/resource/quantity.go. Binary and decimal suffixes and exponents; no suffix is units.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))"
    r"(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,3})?"
)
_SUFFIXES = {
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    **{letter: Decimal(1000) ** -power for power, letter in enumerate("mun", 1)},
}


class QuantityError(ValueError):
    """The text is no quantity."""


@lru_cache(maxsize=4096)
def parse(text: str) -> Decimal:
    """The quantity in units (cores, bytes). Raises QuantityError."""
    found = _QUANTITY.fullmatch(text)
    if not found:
        raise QuantityError(f"{text!r} is no Kubernetes quantity such as 500m, 2 or 4Gi")
    number = Decimal(found["number"])
    suffix = found["suffix"]
    if not suffix:
        return number
    if suffix in _SUFFIXES:
        return number * _SUFFIXES[suffix]
    return number * Decimal(10) ** int(suffix[1:])


def cpu(milli: int) -> str:
    """Thousandths of a core as people write them: `2`, `500m`."""
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


def memory(size: int) -> str:
    """Bytes in the largest binary unit that shows at most one decimal's error: `12Gi`, `1.5Gi`, `300Mi`."""
    for power, unit in ((4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")):
        if size >= 1024**power:
            return f"{size / 1024**power:.1f}".removesuffix(".0") + unit
    return str(size)
