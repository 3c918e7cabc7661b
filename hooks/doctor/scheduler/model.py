"""The scheduler's view of nodes, and what it says about one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hooks.kube.kinds import Obj

# Thousandths of a core for cpu, bytes or counts for all else.
Resources = Mapping[str, int]


@dataclass(frozen=True)
class Reason:
    """Why one node doesn't take the pod.

    code: short and stable. phrase: the scheduler's own words, which its message counts. text: the same with this
    node's numbers. numbers: `asked`, `free`, `allocatable` for resources.
    """

    code: str
    phrase: str
    text: str = ""
    numbers: Mapping[str, int] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return self.text or self.phrase


@dataclass
class Node:
    """A Node object and what runs there. `used` sums the requests of its pods that have not ended."""

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    unschedulable: bool
    ready: bool
    allocatable: Resources
    pods: list[Obj] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=dict)
    # (protocol, port, host address) that pods of this node took.
    ports: set[tuple[str, int, str]] = field(default_factory=set)

    def free(self, resource: str) -> int:
        return self.allocatable.get(resource, 0) - self.used.get(resource, 0)
