"""Read the live replicas of PD and TiKV and what the release's permit allows."""

from __future__ import annotations

from hooks.engine import JobError
from hooks.kube import CONFIG_MAP, STATEFUL_SET, Client
from hooks.scale.plan import Change
from schema import names


def changes(
    client: Client, namespace: str, release: str, wanted: dict[str, int]
) -> tuple[Change, ...]:
    """One Change a component of `wanted` (component → replicas). A StatefulSet that is not there is a first install."""
    permit = client.find(CONFIG_MAP, names.scale_permit(release), namespace) or {}
    allowed = permit.get("data") or {}
    found = []
    for component, replicas in sorted(wanted.items()):
        name = f"{release}-{component}"
        live = client.find(STATEFUL_SET, name, namespace)
        found.append(
            Change(
                component=component,
                name=name,
                namespace=namespace,
                live=None if live is None else int(live["spec"].get("replicas", 1)),
                wanted=replicas,
                allowed=_number(release, name, allowed.get(name)),
            )
        )
    return tuple(found)


def _number(release: str, key: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit():
        raise JobError(
            f"ConfigMap {names.scale_permit(release)}: {key} is {text!r}, expected a number; take the key away"
        )
    return int(text)
