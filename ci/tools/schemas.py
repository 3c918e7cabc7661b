"""JSON schemas of the Kubernetes API for kubeconform, offline: from the Python package that carries them."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

from ci import cache
from ci.tools.errors import SchemasMissingError

_DISTRIBUTION = "kubernetes-validate"
_RECIPE = b"1"  # count up when _convert changes


def schemas(minor: str) -> Path:
    """A folder of strict schemas (unknown fields refused) for a Kubernetes minor version, such as "1.36". Use it as

        kubeconform -strict -schema-location 'FOLDER/{{.ResourceKind}}{{.KindSuffix}}.json'

    Made once a version, in about a second. Raises SchemasMissingError.
    """
    from importlib.metadata import version as version_of  # slow to import, and builds never need it

    package = importlib.util.find_spec("kubernetes_validate")
    if package is None or package.origin is None:
        raise SchemasMissingError(
            f"{_DISTRIBUTION} is not installed; run `make env`, then use .venv/bin/python"
        )
    carried = Path(package.origin).parent / "kubernetes-json-schema"
    if (
        not re.fullmatch(r"\d+\.\d+", minor)
        or not (source := carried / f"v{minor}.0-local-strict").is_dir()
    ):
        found = sorted(
            (
                path.name.removeprefix("v").split(".0-")[0]
                for path in carried.glob("v*-local-strict")
            ),
            key=lambda name: [int(part) for part in name.split(".")],
        )
        raise SchemasMissingError(
            f"no schemas for Kubernetes {minor!r}; {_DISTRIBUTION} {version_of(_DISTRIBUTION)} has: {', '.join(found)}"
        )
    name = f"v{minor}-{cache.key(version_of(_DISTRIBUTION).encode(), _RECIPE)}"
    target = cache.root() / "schemas" / name
    if not target.exists():
        with cache.lock(f"schemas-{name}"):
            if not target.exists():
                partial = target.with_name(f".{name}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
                _convert(source, partial)
                partial.rename(target)
    return target


def _convert(source: Path, target: Path) -> None:
    """Copy the schemas so that kubeconform finds their references.

    As shipped, each names an $id on a server and refers to definitions by an absolute path there; a reference
    relative to the file resolves on disk.
    """
    for path in source.glob("*.json"):
        schema = json.loads(path.read_text())
        schema.pop("$id", None)
        text = json.dumps(schema, separators=(",", ":"))
        (target / path.name).write_text(
            text.replace('"/api/_definitions.json#', '"_definitions.json#')
        )
