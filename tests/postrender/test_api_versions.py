"""The table of what Kubernetes no longer serves, against the API servers' own schemas of 1.25 to 1.37."""

from __future__ import annotations

import json
from pathlib import Path

import kubernetes_validate

from postrender.rules.api_versions import REMOVED


def served(minor: int) -> set[tuple[str, str]]:
    """What an API server of this version serves, by its own OpenAPI schemas (package kubernetes-validate)."""
    folder = (
        Path(kubernetes_validate.__file__).parent / f"kubernetes-json-schema/v1.{minor}.0-local"
    )
    found = set()
    for path in folder.glob("*.json"):
        for each in json.loads(path.read_text()).get("x-kubernetes-group-version-kind", []):
            api_version = f"{each['group']}/{each['version']}".removeprefix("/")
            found.add((api_version, each["kind"]))
    assert found, f"no schemas in {folder}"
    return found


# In every group's schemas, but no objects that a manifest could hold.
NO_OBJECTS = {"DeleteOptions", "Status", "WatchEvent"}


def test_the_table_is_what_the_api_servers_schemas_say() -> None:
    versions = {minor: served(minor) for minor in range(25, 38)}
    gone = {
        kind: minor
        for minor in range(26, 38)
        for kind in versions[minor - 1] - versions[minor]
        if not kind[1].endswith("List") and kind[1] not in NO_OBJECTS
    }
    told = {kind: since[1] for kind, (since, _) in REMOVED.items() if since[1] >= 26}
    assert told == gone
    newest = versions[37]
    for kind, (since, instead) in REMOVED.items():
        if since[1] >= 26 and instead:
            replaced = (
                kind[1] in ("PodScheduling", "PodSchedulingContext") or "ResourceClass" in kind[1]
            )
            replaced |= kind[1] == "ResourceClaimParameters"
            assert replaced or (instead, kind[1]) in newest, f"{kind}: {instead} has no such kind"
