"""Build families into the cache, one after the other: Go itself keeps all cores busy.

A family's folder appears under its final name only when it is complete (a rename), so a build that was cut off leaves
nothing that looks built. A lock a family lets two builders share one build: the second waits, then finds it done.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from ci import cache, debian, progress
from ci.tools import go
from ci.tools.errors import ToolBuildError, ToolMissingError
from ci.tools.families import FAMILIES, Family, family_of

_RECIPE = b"1"  # count up when this file builds something else from the same pins


def folder(family: Family, toolchain: go.Go | None = None) -> Path:
    """Where the family's files are once built: named by all that goes into them."""
    toolchain = toolchain or go.choose()
    key = cache.folder_key(
        family.folder,
        toolchain.version.encode(),
        platform.machine().encode(),
        family.recipe.encode(),
        _RECIPE,
    )
    return cache.root() / "tools" / f"{family.name}-{family.version}-{key}"


def path(name: str) -> Path:
    """The program (for "cni" and "helm-unittest": the folder) that the pins name. Builds nothing.

    Raises UnknownToolError, or ToolMissingError with the command that builds it.
    """
    family = family_of(name)
    if name not in family.names:
        raise ToolMissingError(f"{name!r} is a family; its tools are: {', '.join(family.names)}")
    found = folder(family) / family.names[name]
    if not found.exists():
        raise ToolMissingError(
            f"the pinned {name} ({family.version}) is not built; run: python -m ci.tools build {family.name}"
        )
    return found


def build(*names: str) -> None:
    """Have these tools or families (none named: all), building what is not there.

    Raises UnknownToolError, GoMissingError, DebianPackagesMissingError, ToolBuildError.
    """
    toolchain = go.choose()
    wanted = {family_of(name).name for name in names} or set(FAMILIES)
    missing = [
        family
        for family in FAMILIES.values()
        if family.name in wanted and not folder(family, toolchain).exists()
    ]
    if not missing:
        return
    go.install(toolchain)
    if any(family.cgo or family.c_programs for family in missing):
        debian.ensure("build")
    for family in missing:
        _build(family, toolchain)


def _build(family: Family, toolchain: go.Go) -> None:
    target = folder(family, toolchain)
    what = f"tools: {family.name} {family.version}"
    with progress.step(what) as step:
        step.at("waiting for another process that builds it")
        with cache.lock(f"tools-{family.name}"):
            if target.exists():
                return
            step.at(f"cold about {family.cold_seconds} s on 2 cores")
            partial = target.with_name(f".{target.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            (partial / "bin").mkdir(parents=True)
            try:
                for name, package in family.binaries.items():
                    _go_build(family, package, partial / "bin" / name, toolchain, step)
                _add_files(family, partial, toolchain)
                partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)


def _go_build(
    family: Family, package: str, target: Path, toolchain: go.Go, step: progress.Step
) -> None:
    environment = go.environment(toolchain, cgo=family.cgo)
    flags = ["-trimpath", f"-tags={family.tags}"]
    stale = _stale_packages(family, package, flags, environment, toolchain, step)
    command = [
        str(toolchain.command), "build", "-v", *flags, "-ldflags", family.linker_flags, "-o", str(target), package,
    ]  # fmt: skip
    compiled = 0
    tail: list[str] = []
    with subprocess.Popen(
        command, cwd=family.folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            compiled += 1
            step.at(f"{target.name}, {min(compiled, stale)} of {stale} packages")
            tail = [*tail[-30:], line]
    if process.returncode:
        raise ToolBuildError(_failure(family, command, "".join(tail)))


def _stale_packages(
    family: Family,
    package: str,
    flags: list[str],
    environment: dict[str, str],
    toolchain: go.Go,
    step: progress.Step,
) -> int:
    """How many packages Go will compile; brings the modules that are not there yet, and counts them on the way."""
    command = [
        str(toolchain.command), "list", "-deps", "-f", "{{if .Stale}}x{{end}}", *flags, package,
    ]  # fmt: skip
    downloads = 0
    tail: list[str] = []
    with subprocess.Popen(
        command,
        cwd=family.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        # All of stdout comes after the last download and is less than a pipe holds.
        for line in process.stderr:
            if line.startswith("go: downloading"):
                downloads += 1
                step.at(f"{downloads} modules fetched")
            else:
                tail = [*tail[-30:], line]
        stale = process.stdout.read().count("x")
    if process.returncode:
        raise ToolBuildError(_failure(family, command, "".join(tail)))
    return stale


def _add_files(family: Family, target: Path, toolchain: go.Go) -> None:
    """What goes with the binaries: links, the module's own scripts and manifests, what the binaries print, C programs,
    the plugin's face.
    """
    for name, binary in family.links.items():
        (target / "bin" / name).symlink_to(binary)
    for name, (binary, *arguments) in family.makes.items():
        environment = go.environment(toolchain, cgo=False)
        command = [str(target / "bin" / binary), *arguments]
        (target / name).write_text(_run(family, command, environment))
    if family.files or family.c_programs:
        module = _module_folder(family, toolchain)
        for name, sources in family.files.items():
            # Joined only where there are several: a script must stay what it was.
            (target / name).write_text(
                "\n---\n".join((module / source).read_text() for source in sources)
            )
            if name.startswith("bin/"):
                (target / name).chmod(0o755)
        for name, source in family.c_programs.items():
            command = [
                "gcc",
                "-Os",
                "-static",
                f"-DVERSION={family.version}",
                "-o",
                str(target / "bin" / name),
            ]
            _run(family, [*command, str(module / source)], dict(os.environ))
            _run(family, ["strip", str(target / "bin" / name)], dict(os.environ))
    if family.name == "helm-unittest":
        _wrap_as_helm_plugin(family, target)


def _module_folder(family: Family, toolchain: go.Go) -> Path:
    command = [str(toolchain.command), "list", "-m", "-f", "{{.Dir}}", family.module]
    return Path(_run(family, command, go.environment(toolchain, cgo=False)).strip())


def _wrap_as_helm_plugin(family: Family, target: Path) -> None:
    """`helm unittest` in Helm 4 and 3 alike: HELM_PLUGINS=<target>/plugins.

    The legacy form of plugin.yaml: one v1 plugin in the folder would disable all of Helm 3's.
    """
    plugin = target / "plugins" / "unittest"
    plugin.mkdir(parents=True)
    (plugin / "untt").symlink_to("../../bin/untt")
    (plugin / "plugin.yaml").write_text(
        "name: unittest\n"
        f"version: {family.version.removeprefix('v')}\n"
        "usage: unit tests of charts\n"
        "description: unit tests of charts\n"
        'platformCommand: [{command: "$HELM_PLUGIN_DIR/untt"}]\n'
    )


def _run(family: Family, command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=family.folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ToolBuildError(_failure(family, command, done.stderr))
    return done.stdout


def _failure(family: Family, command: list[str], said: str) -> str:
    return (
        f"building {family.name} {family.version} failed: `{' '.join(command)}` in {family.folder} said: "
        f"{said.strip()[-1500:] or 'nothing'}"
    )
