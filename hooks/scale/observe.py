"""Read the live replicas of PD and TiKV, and what is allowed just now."""

from __future__ import annotations

from hooks.engine import JobError
from hooks.kube import STATEFUL_SET, Client, Obj
from hooks.scale.plan import Change
from schema import names


def changes(
    client: Client, namespace: str, release: str, wanted: dict[str, int]
) -> tuple[Change, ...]:
    """One Change a component of `wanted` (component → replicas). A StatefulSet that is not there is a first install."""
    return tuple(
        change(component, f"{release}-{component}", namespace, replicas, client)
        for component, replicas in sorted(wanted.items())
    )


def change(component: str, name: str, namespace: str, replicas: int, client: Client) -> Change:
    live = client.find(STATEFUL_SET, name, namespace)
    if live is None:
        return Change(component, name, namespace, live=None, wanted=replicas)
    return Change(
        component,
        name,
        namespace,
        live=int(live["spec"].get("replicas", 1)),
        wanted=replicas,
        allowed=allowed(live),
    )


def allowed(live: Obj) -> int | None:
    """The number in the annotation; JobError when it is none."""
    text = (live["metadata"].get("annotations") or {}).get(names.ALLOW_REPLICAS_ANNOTATION)
    if text is None:
        return None
    if not text.isdigit():
        raise JobError(
            f"StatefulSet {live['metadata']['name']}: annotation {names.ALLOW_REPLICAS_ANNOTATION} is {text!r}, "
            "expected a number; take it away"
        )
    return int(text)
