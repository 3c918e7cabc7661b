"""Make images and keep them, keyed by all that goes into them: same inputs, same digest, and nothing made twice.

An image has two layers so that a change of our own code, the common case, rewrites one small layer and nodes import
only that one. Each layer has a key of its own; so has the archive.
"""

from __future__ import annotations

import fnmatch
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ci import cache, progress, tools
from ci.env import ROOT
from ci.image import debs, oci, wheels
from ci.image.errors import ImageError, ImageTooLargeError
from ci.image.recipes import NOBODY, Recipe, recipe_of

# Of each image. An archive holds all its layers; a lower layer is needed again only to build.
KEPT_ARCHIVES = 4
KEPT_LAYERS = 2
# Tests of a program lie beside it in tests/standin; they need more than its image has.
_NOT_CODE = ("__pycache__", "Dockerfile", "*.md", ".*", "test_*.py", "conftest.py")


@dataclass(frozen=True)
class Image:
    """An image on disk, ready for `ctr image import` or `docker load`.

    ref: "helm-tidb/hooks:dev"; digest: "sha256:…" of its manifest; size_bytes: of its unpacked layers.
    """

    ref: str
    digest: str
    archive: Path
    size_bytes: int


@dataclass(frozen=True)
class _Inputs:
    """What an image's lower layer is made of, resolved to exact versions."""

    debs: list[debs.Deb]
    pins: str
    programs: dict[str, Path]

    @property
    def key(self) -> str:
        return repr(
            (self.debs, self.pins, [(to, path.parts[-3:]) for to, path in self.programs.items()])
        )


def build(name: str) -> Image:
    """The image of that recipe, built if need be.

    Raises UnknownImageError, ImagePackagesError, ImageTooLargeError, and the errors of ci.tools.
    """
    recipe = recipe_of(name)
    inputs = _resolve(recipe)
    source = cache.folder_key(Path(__file__).parent, platform.machine().encode())
    key = cache.key(source.encode(), repr(_lower_part(recipe)).encode(), inputs.key.encode())
    lower = cache.root() / "images" / "layers" / f"{name}-{key}"
    code = read_code(recipe)
    whole = cache.key(key.encode(), repr(recipe).encode(), repr(code).encode())
    folder = cache.root() / "images" / f"{name}-{whole}"
    if not folder.exists():
        with progress.step(f"image: {name}") as step, cache.lock(f"image-{name}"):
            if not folder.exists():
                _write(recipe, inputs, code, lower, folder, step)
                _prune(folder.parent, name, KEPT_ARCHIVES)
                _prune(lower.parent, name, KEPT_LAYERS)
    digest, size = (folder / "digest").read_text().split()
    return Image(recipe.ref, digest, folder / "image.tar", int(size))


def working_directory(recipe: Recipe) -> str:
    return "/app" if recipe.code else "/"


def _resolve(recipe: Recipe) -> _Inputs:
    pins = ""
    if recipe.python:
        pins = wheels.pins(wheels.closure(recipe.python, recipe.python_without))
    tools.build(*recipe.programs.values()) if recipe.programs else None
    programs = {target: tools.path(tool) for target, tool in recipe.programs.items()}
    return _Inputs(debs.resolve(recipe.debian), pins, programs)


def _lower_part(recipe: Recipe) -> tuple[object, ...]:
    """The recipe's entries that the lower layer follows from; a new entry point must not remake it."""
    return (
        recipe.debian,
        recipe.python,
        recipe.programs,
        recipe.links,
        recipe.busybox,
        recipe.without,
    )


def read_code(recipe: Recipe) -> dict[str, bytes]:
    """Path below /app → content. Read once: an edit between key and copy would give an old key to new code."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for folder in recipe.code
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and not _left_out(path.relative_to(ROOT / folder))
    }


def _write(
    recipe: Recipe,
    inputs: _Inputs,
    code: dict[str, bytes],
    base: Path,
    folder: Path,
    step: progress.Step,
) -> None:
    with _appearing(base) as partial:
        if partial is not None:
            _write_lower(recipe, inputs, partial, step)
    layers = [oci.read_layer(base / "layer.tar")]
    with _appearing(folder) as partial:
        if partial is None:
            return
        if recipe.code or recipe.scripts:
            step.at("our own code")
            layers.append(_write_upper(recipe, code, base, partial))
        size = sum(layer.size for layer in layers)
        if size > recipe.limit_mb * 1_000_000:
            raise ImageTooLargeError(
                f"image {recipe.name} has {size / 1e6:.0f} MB, its recipe (ci/image/recipes.py) allows "
                f"{recipe.limit_mb}: leave something out (`without`), or raise limit_mb and say why"
            )
        step.at("writing the archive")
        config = {
            "User": f"{recipe.user}:{recipe.user}",
            "Env": [
                "PATH=/usr/local/bin:/usr/bin:/usr/sbin",
                *(f"{name}={value}" for name, value in recipe.environment.items()),
            ],
            "Entrypoint": list(recipe.entrypoint),
            "Cmd": list(recipe.command),
            "WorkingDir": working_directory(recipe),
        }
        archive = partial / "image.tar"
        digest = oci.write_archive(archive, recipe.ref, layers, config, platform.machine())
        for layer in layers[1:]:
            layer.path.unlink()
        (partial / "digest").write_text(f"{digest} {size}\n")


def _write_lower(recipe: Recipe, inputs: _Inputs, target: Path, step: progress.Step) -> None:
    root = target / "root"
    root.mkdir()
    files = debs.fetch(inputs.debs)
    for number, (deb, file) in enumerate(zip(inputs.debs, files, strict=True), 1):
        step.at(f"unpacking Debian package {number} of {len(files)}")
        debs.unpack(deb, file, root)
    if inputs.pins:
        step.at("installing wheels")
        site = root / f"usr/local/lib/python{wheels.PYTHON}/dist-packages"
        wheels.install(inputs.pins, site)
        # What an installer notes about its own run differs from run to run, and scripts point to the host's Python.
        shutil.rmtree(site / "bin", ignore_errors=True)
        for noise in (
            ".lock",
            "*.dist-info/RECORD",
            "*.dist-info/uv_cache.json",
            "*.dist-info/direct_url.json",
        ):
            for path in site.glob(noise):
                path.unlink()
    for place, program in inputs.programs.items():
        _copy(program, root / place, 0o755)
    for place, to in recipe.links.items():
        (root / place).symlink_to(to)
    if recipe.busybox:
        _link_busybox(root)
    if recipe.debian:
        _write_accounts(root)
    for pattern in recipe.without:
        _cut(root, pattern)
    if recipe.python:
        step.at("compiling Python")
        _compile(root, root / "usr/lib", root / "usr/local/lib")
    oci.write_layer(root, target / "layer.tar")
    if not recipe.code:
        shutil.rmtree(root)  # the image's own Python is wanted again only to compile code


def _write_upper(recipe: Recipe, code: dict[str, bytes], base: Path, target: Path) -> oci.Layer:
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        root = Path(scratch)
        for name, content in code.items():
            file = root / "app" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        for name, text in recipe.scripts.items():
            script = root / "usr/local/bin" / name
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text(text)
            script.chmod(0o755)
        if recipe.python and recipe.code:
            _compile(base / "root", root / "app", strip=root)
        oci.write_layer(root, target / "upper.tar")
    return oci.read_layer(target / "upper.tar")


def _compile(interpreter: Path, *folders: Path, strip: Path | None = None) -> None:
    """Compile with the image's own Python. Unchecked hashes in place of times, one process and one hash seed: the same
    sources give the same bytes."""
    command = [
        *_program(interpreter, f"usr/bin/python{wheels.PYTHON}"),
        "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
        "-s", str(strip or interpreter), "-p", "/", *map(str, folders),
    ]  # fmt: skip
    environment = {
        "PYTHONHOME": str(interpreter / "usr"),
        "PYTHONHASHSEED": "0",
        "LANG": "C.UTF-8",
        # Else what compileall itself imports would be compiled first, with this machine's paths in it.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ImageError(
            f"compiling Python for an image failed: {(done.stdout + done.stderr)[-1500:]}"
        )


def _program(root: Path, program: str) -> list[str]:
    """The command that runs an image's program here, with the image's own loader and libraries: no root, no chroot."""
    loader = next(
        path for lib in ("lib64", "lib") for path in (root / "usr" / lib).glob("ld-linux-*")
    )
    libraries = next((root / "usr/lib").glob("*-linux-gnu"))
    return [str(loader), "--library-path", str(libraries), str(root / program)]


def _write_accounts(root: Path) -> None:
    """The files that a package's maintainer scripts would have made."""
    (root / "etc/passwd").write_text(
        f"root:x:0:0:root:/root:/bin/sh\nnonroot:x:{NOBODY}:{NOBODY}:nonroot:/:/bin/false\n"
    )
    (root / "etc/group").write_text(f"root:x:0:\nnonroot:x:{NOBODY}:\n")
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)


def _link_busybox(root: Path) -> None:
    """A link for every applet that no package brought as a program of its own."""
    listed = subprocess.run(
        ["busybox", "--list"],
        executable=root / "usr/bin/busybox",
        capture_output=True,
        text=True,
        check=True,
    )
    for applet in listed.stdout.split():
        if not (root / "usr/bin" / applet).exists():
            (root / "usr/bin" / applet).symlink_to("busybox")


def _cut(root: Path, pattern: str) -> None:
    """Remove what matches; a pattern that matches nothing is out of date and must not pass for done."""
    found = list(root.glob(pattern))
    if not found:
        raise ImageError(
            f"nothing in the image matches {pattern!r} of its recipe's `without`; take it out"
        )
    for path in found:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _left_out(path: Path) -> bool:
    return any(fnmatch.fnmatch(part, pattern) for part in path.parts for pattern in _NOT_CODE)


def _copy(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


@contextmanager
def _appearing(folder: Path) -> Iterator[Path | None]:
    """A scratch folder that becomes `folder` when the block ends well; None if it is there already.

    Call it under the image's lock. What a killed builder left is cleared by the next one.
    """
    if folder.exists():
        yield None
        return
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _prune(parent: Path, name: str, kept: int) -> None:
    """Keep the newest few that an image had: each edit of our code makes another archive of 100 MB."""
    siblings = [
        path for path in parent.glob(f"{name}-*") if path.name.removeprefix(f"{name}-").isalnum()
    ]
    for old in sorted(siblings, key=lambda path: path.stat().st_mtime)[:-kept]:
        shutil.rmtree(old, ignore_errors=True)
