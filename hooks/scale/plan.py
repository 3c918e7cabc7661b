"""Whether a change of replicas takes data away.

Invariant: **no PD member or TiKV store goes while it may hold the only copy of something.** Nothing here empties a
store yet, so fewer replicas are refused unless the StatefulSet's annotation allows just that number. The same rule is
the admission policy's (chart/templates/scale/policy.yaml), which nobody gets around; this job says it first, in words.

Shrinking TiDB is fine, growing anything is, and so is a first install: there is nothing to compare with then.
"""

from __future__ import annotations

from dataclasses import dataclass

from hooks.engine import Action, Plan, Refusal, Subject
from schema import names


@dataclass(frozen=True)
class Change:
    """One StatefulSet: `live` replicas (None: it is not there), the number that is wanted, the one that is allowed."""

    component: str
    name: str
    namespace: str
    live: int | None
    wanted: int
    allowed: int | None = None


WHAT = {
    "pd": ("members", "PD's majority"),
    "tikv": ("stores", "the only copies of some rows"),
}


def plan(changes: tuple[Change, ...]) -> Plan[Action]:
    """A refusal for each StatefulSet that would lose members or stores; nothing else."""
    return Plan(
        refusals=tuple(
            _refusal(change, change.live)
            for change in changes
            if change.live is not None
            and change.wanted < change.live
            and change.wanted != change.allowed
        )
    )


def _refusal(change: Change, live: int) -> Refusal:
    things, risk = WHAT[change.component]
    gone = [f"{change.name}-{ordinal}" for ordinal in range(change.wanted, live)]
    return Refusal(
        code="shrink",
        subject=Subject("StatefulSet", change.name, change.namespace),
        why=f"{change.component}.replicas {live} -> {change.wanted} would stop {', '.join(gone)} "
        f"with what may be {risk}",
        remedy=f"keep {change.component}.replicas at {live} or more and run this again; to have fewer {things}, "
        f"move their data away first (docs/scale.md), then allow just that number: kubectl annotate statefulset "
        f"{change.name} -n {change.namespace} {names.ALLOW_REPLICAS_ANNOTATION}={change.wanted}. Nothing was changed",
        numbers={"live": live, "wanted": change.wanted},
    )
