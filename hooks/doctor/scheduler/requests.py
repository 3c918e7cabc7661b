"""What a pod asks for, as the scheduler counts it. Source: component-helpers resource.PodRequests.

Containers add up; init containers run one after the other, so the largest counts; sidecars (init containers that
restart always) add to both; a pod's own resources win over its containers'; overhead comes on top. Of a pod that
runs, the larger of what it asked for, what it was given and what it has counts (in-place resize).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING
from functools import lru_cache
from typing import Any

from hooks.kube.kinds import View
from schema import quantity

_POD_LEVEL = ("cpu", "memory")


@lru_cache(maxsize=8192)
def amount(resource: str, text: str) -> int:
    """A quantity as the scheduler keeps it: thousandths of a core, else whole units, rounded up. 0 if unreadable."""
    try:
        value = quantity.parse(text)
    except quantity.QuantityError:
        return 0
    scaled = value * 1000 if resource == "cpu" else value
    return int(scaled.to_integral_value(rounding=ROUND_CEILING))


def amounts(listed: Mapping[str, Any] | None) -> dict[str, int]:
    return {key: amount(key, str(value)) for key, value in (listed or {}).items()}


def of_pod(pod: View) -> dict[str, int]:
    """The pod's whole request by resource; `pods` is not among them (it is always one)."""
    spec, status = pod["spec"], pod.get("status") or {}
    infeasible = any(
        one.get("type") == "PodResizePending" and one.get("reason") == "Infeasible"
        for one in status.get("conditions") or ()
    )
    running = {
        one["name"]: one
        for key in ("containerStatuses", "initContainerStatuses")
        for one in status.get(key) or ()
        if "resources" in one
    }
    total: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(total, _of_container(container, running, infeasible=infeasible))
    sidecars: dict[str, int] = {}
    start: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        sidecar = container.get("restartPolicy") == "Always"
        asked = _of_container(container, running if sidecar else {}, infeasible=infeasible)
        if sidecar:
            _add(total, asked)
            _add(sidecars, asked)
            _raise(start, sidecars)
        else:
            _add(asked, sidecars)
            _raise(start, asked)
    _raise(total, start)
    own = amounts((spec.get("resources") or {}).get("requests"))
    for key, value in own.items():
        if key in _POD_LEVEL or key.startswith("hugepages-"):
            total[key] = value
    _add(total, amounts(spec.get("overhead")))
    return total


def _of_container(
    container: Mapping[str, Any], running: Mapping[str, Mapping[str, Any]], *, infeasible: bool
) -> dict[str, int]:
    asked = amounts((container.get("resources") or {}).get("requests"))
    seen = running.get(container["name"])
    if seen is None:
        return asked
    counted = {} if infeasible else asked
    _raise(counted, amounts((seen.get("resources") or {}).get("requests")))
    _raise(counted, amounts(seen.get("allocatedResources")))
    return counted


def host_ports(pod: View) -> Iterable[tuple[str, int, str]]:
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("protocol") or "TCP", port["hostPort"], port.get("hostIP") or ""


def show(resource: str, value: int) -> str:
    """An amount as people write it: `500m`, `2`, `1.5Gi`, `3`."""
    if resource == "cpu":
        return quantity.cpu(value)
    if resource in ("memory", "ephemeral-storage", "storage") or resource.startswith("hugepages-"):
        return ("-" if value < 0 else "") + quantity.memory(abs(value))
    return str(value)


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for key, value in more.items():
        total[key] = total.get(key, 0) + value


def _raise(total: dict[str, int], least: Mapping[str, int]) -> None:
    for key, value in least.items():
        total[key] = max(total.get(key, 0), value)
