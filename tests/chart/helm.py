"""Helm as a user runs it, versions 4 and 3, and its output as objects."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ci import tools

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "chart"
KUBE_VERSION = "1.36.0"

Object = dict[str, Any]


@functools.cache
def _home() -> Path:
    """An empty home: no repository, plugin or setting of the machine's user is seen."""
    return Path(tempfile.mkdtemp(prefix="helm-tidb-chart-"))


def environment(**more: str) -> dict[str, str]:
    home = str(_home())
    return {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "HELM_CACHE_HOME": f"{home}/cache",
        "HELM_CONFIG_HOME": f"{home}/config",
        "HELM_DATA_HOME": f"{home}/data",
        "HELM_PLUGINS": f"{home}/plugins",
        **more,
    }


@dataclass(frozen=True)
class Rendered:
    """What `helm template` said; `error` is "" when it succeeded."""

    text: str
    error: str

    @functools.cached_property
    def objects(self) -> list[Object]:
        assert not self.error, self.error
        return [document for document in yaml.load_all(self.text, yaml.CSafeLoader) if document]

    def find(self, kind: str, name: str) -> Object:
        (found,) = (o for o in self.objects if (o["kind"], o["metadata"]["name"]) == (kind, name))
        return found


def template(
    *arguments: str,
    values: Mapping[str, Any] | None = None,
    files: tuple[Path, ...] = (),
    release: str = "shop",
    namespace: str = "db",
    helm: str = "helm4",
) -> Rendered:
    """`helm template` with hooks and tests. `values` is one more values file, read last. Asked twice, rendered once."""
    return _template(
        arguments, None if values is None else json.dumps(values), files, release, namespace, helm
    )


@functools.cache
def _template(
    arguments: tuple[str, ...],
    values: str | None,
    files: tuple[Path, ...],
    release: str,
    namespace: str,
    helm: str,
) -> Rendered:
    command = [str(tools.path(helm)), "template", release, str(CHART), "--namespace", namespace]
    command += ["--kube-version", KUBE_VERSION, *arguments]
    for path in files:
        command += ["-f", str(path)]
    if values is not None:
        command += ["-f", "-"]
    done = subprocess.run(
        command,
        input=values,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Rendered(done.stdout, done.stderr.strip() if done.returncode else "")


@functools.cache
def default() -> Rendered:
    return template()


def pod_specs(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """(name of the object, pod spec) of everything that makes pods."""
    for o in objects:
        name = f"{o['kind']}/{o['metadata']['name']}"
        if o["kind"] == "Pod":
            yield name, o["spec"]
        elif o["kind"] == "CronJob":
            yield name, o["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        elif "template" in (o.get("spec") or {}):
            yield name, o["spec"]["template"]["spec"]


def containers(spec: Object) -> list[Object]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def value_files() -> list[Path]:
    """Every values file that the chart must render: its own examples, and the one that turns everything on."""
    return [
        *sorted((CHART / "ci").glob("*-values.yaml")),
        ROOT / "tests" / "chart" / "values" / "all-on.yaml",
    ]
