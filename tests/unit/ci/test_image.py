"""Images: the same inputs give the same bytes, and a bad recipe gives one clear sentence and no image."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pytest

from ci import image
from ci.env import ROOT
from ci.image import __main__ as command
from ci.image import builder, debs, oci, wheels
from ci.image.recipes import RECIPES, Recipe

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs Debian's dpkg-deb")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HELM_TIDB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    """Make a recipe of the image "trial", whose code is a folder of this test."""
    monkeypatch.setattr(builder, "ROOT", tmp_path)
    (tmp_path / "code" / "deep").mkdir(parents=True)
    (tmp_path / "code" / "deep" / "main.py").write_text("print('hello')\n")

    def make(**changes: object) -> Recipe:
        fields = {"entrypoint": ("python",), "code": ("code",), "scripts": {"run": "#!/bin/sh\n"}}
        recipe = Recipe("trial", **(fields | changes))  # type: ignore[arg-type]
        monkeypatch.setitem(RECIPES, "trial", recipe)
        return recipe

    return make


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    yield
    os.umask(before)


def read(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {item.name: tar.extractfile(item).read() for item in tar}  # type: ignore[union-attr]


def test_the_same_inputs_give_the_same_bytes_under_another_umask_time_and_cache(
    trial: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial()
    with umask(0o022):
        first = image.build("trial")
    monkeypatch.setenv("HELM_TIDB_CACHE", str(tmp_path / "other" / "cache"))
    os.utime(tmp_path / "code" / "deep" / "main.py", (1, 1))
    with umask(0o077):
        second = image.build("trial")
    assert first.archive != second.archive
    assert first.archive.read_bytes() == second.archive.read_bytes()
    assert first.digest == second.digest


def test_an_image_is_built_once_and_anew_when_its_code_changes(
    trial: Callable[..., Recipe], tmp_path: Path
) -> None:
    trial()
    first = image.build("trial")
    before = first.archive.stat()
    assert image.build("trial") == first
    assert first.archive.stat() == before

    (tmp_path / "code" / "__pycache__").mkdir()
    (tmp_path / "code" / "__pycache__" / "x.pyc").write_text("x")
    (tmp_path / "code" / "README.md").write_text("x")
    assert image.build("trial") == first

    (tmp_path / "code" / "deep" / "main.py").write_text("print('bye')\n")
    second = image.build("trial")
    assert second.digest != first.digest
    assert second.ref == first.ref == "helm-tidb/trial:dev"


def test_the_archive_is_an_oci_layout_that_docker_reads_too(trial: Callable[..., Recipe]) -> None:
    trial(environment={"A": "b"}, user=65532)
    built = image.build("trial")
    files = read(built.archive)
    for name, content in files.items():
        if name.startswith("blobs/sha256/"):
            assert name.removeprefix("blobs/sha256/") == hashlib.sha256(content).hexdigest()
    entry = json.loads(files["index.json"])["manifests"][0]
    assert entry["digest"] == built.digest
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/helm-tidb/trial:dev"
    manifest = json.loads(files[f"blobs/sha256/{built.digest.removeprefix('sha256:')}"])
    config = json.loads(files[f"blobs/{manifest['config']['digest'].replace(':', '/')}"])
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Entrypoint"] == ["python"]
    assert config["config"]["WorkingDir"] == "/app"
    assert "A=b" in config["config"]["Env"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    docker = json.loads(files["manifest.json"])[0]
    assert docker["RepoTags"] == ["helm-tidb/trial:dev"]
    assert all(layer in files for layer in docker["Layers"])

    with tarfile.open(fileobj=io.BytesIO(files[docker["Layers"][-1]])) as upper:
        modes = {item.name: item.mode for item in upper if item.isfile()}
    assert modes == {"app/code/deep/main.py": 0o644, "usr/local/bin/run": 0o755}


def test_a_layer_forgets_owners_times_and_setuid_and_keeps_links_and_sticky(
    tmp_path: Path,
) -> None:
    root = tmp_path / "root"
    (root / "tmp").mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    (root / "program").write_text("x")
    (root / "program").chmod(0o4711)
    (root / "link").symlink_to("program")
    oci.write_layer(root, tmp_path / "layer.tar")
    with tarfile.open(tmp_path / "layer.tar") as tar:
        found = {item.name: item for item in tar}
    assert list(found) == ["link", "program", "tmp"]
    assert found["program"].mode == 0o755
    assert found["tmp"].mode == 0o1777
    assert found["link"].linkname == "program"
    for item in found.values():
        assert (item.uid, item.gid, item.uname, item.mtime) == (0, 0, "", 0)


def test_an_image_over_its_limit_is_refused_with_both_numbers_and_nothing_is_left(
    trial: Callable[..., Recipe], tmp_path: Path, own_cache: Path
) -> None:
    trial(limit_mb=1)
    (tmp_path / "code" / "big").write_bytes(bytes(2_000_000))
    with pytest.raises(image.ImageTooLargeError) as caught:
        image.build("trial")
    assert str(caught.value) == (
        "image trial has 2 MB, its recipe (ci/image/recipes.py) allows 1: leave something out (`without`), "
        "or raise limit_mb and say why"
    )
    assert [path.name for path in (own_cache / "images").iterdir()] == ["layers"]


def test_a_pattern_that_cuts_nothing_is_out_of_date(trial: Callable[..., Recipe]) -> None:
    trial(without=("usr/lib/gone",))
    with pytest.raises(image.ImageError, match=r"nothing in the image matches 'usr/lib/gone'"):
        image.build("trial")


def test_only_the_last_few_archives_of_an_image_are_kept(
    trial: Callable[..., Recipe], tmp_path: Path, own_cache: Path
) -> None:
    trial()
    for number in range(builder.KEPT_ARCHIVES + 2):
        (tmp_path / "code" / "deep" / "main.py").write_text(str(number))
        newest = image.build("trial")
    assert newest.archive.exists()
    assert len(list((own_cache / "images").glob("trial-*"))) == builder.KEPT_ARCHIVES
    assert len(list((own_cache / "images" / "layers").glob("trial-*"))) == 1


def test_what_a_killed_builder_left_is_cleared_and_never_taken_for_done(
    trial: Callable[..., Recipe],
) -> None:
    trial()
    folder = image.build("trial").archive.parent
    left = folder.with_name(f".{folder.name}.partial")
    folder.rename(left)
    (left / "half").write_text("x")
    assert image.build("trial").archive.parent == folder
    assert not left.exists()
    assert not (folder / "half").exists()


def test_an_unknown_image_is_told_with_all_there_are() -> None:
    with pytest.raises(
        image.UnknownImageError, match=r"no image is called 'hook'; there are: pause, "
    ):
        image.build("hook")


@needs_dpkg
def test_a_package_is_unpacked_below_usr_without_its_documentation(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in (
        "DEBIAN/control", "bin/tool", "usr/share/doc/tool/copyright", "usr/share/doc/tool/changelog.gz",
        "usr/share/man/man1/tool.1", "usr/share/locale/de/tool.mo", "etc/tool.conf",
    ):  # fmt: skip
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("x")
    (tree / "DEBIAN/control").write_text(
        "Package: tool\nVersion: 1\nArchitecture: all\nMaintainer: t <t@example.com>\nDescription: t\n"
    )
    file = tmp_path / "tool.deb"
    subprocess.run(["dpkg-deb", "--build", tree, file], check=True, capture_output=True)
    root = tmp_path / "root"
    root.mkdir()
    debs.unpack(debs.Deb("tool", "tool_1_all.deb", "00"), file, root)
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert files - {"bin/tool"} == {
        "usr/bin/tool", "usr/share/doc/tool/copyright", "etc/tool.conf", "var/lib/dpkg/status.d/tool",
    }  # fmt: skip
    assert (root / "bin").is_symlink()
    assert "Version: 1" in (root / "var/lib/dpkg/status.d/tool").read_text()


@needs_dpkg
def test_a_package_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.deb").write_text("no archive")
    (tmp_path / "root").mkdir()
    with pytest.raises(image.ImagePackagesError, match=r"dpkg-deb cannot read broken_1\.deb"):
        debs.unpack(
            debs.Deb("broken", "broken_1.deb", "00"), tmp_path / "broken.deb", tmp_path / "root"
        )


def test_a_machine_without_apt_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        image.ImagePackagesError, match=r"this machine has no apt-get; use Debian 12"
    ):
        debs.resolve(("libc6",))


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs Debian's apt-get")
def test_a_package_that_apt_does_not_know_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # as root it would first update the lists
    with pytest.raises(
        image.ImagePackagesError, match=r"knows no package for libnope-at-all; run `apt"
    ):
        debs.resolve(("libnope-at-all",))


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs Debian's apt-get")
def test_apts_answer_is_remembered_until_its_lists_or_settings_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debs, "_APT", (tmp_path / "lists",))
    (tmp_path / "lists").mkdir()
    asked: list[tuple[str, ...]] = []
    answer = [debs.Deb("libc6", "libc6_1_amd64.deb", "00")]

    def ask(packages: tuple[str, ...]) -> list[debs.Deb]:
        asked.append(packages)
        return answer

    monkeypatch.setattr(debs, "_ask_apt", ask)
    assert debs.resolve(("libc6",)) == debs.resolve(("libc6",)) == answer
    assert len(asked) == 1
    (tmp_path / "lists" / "bookworm").write_text("newer")
    assert debs.resolve(("libc6",)) == answer
    assert len(asked) == 2
    assert debs.resolve(("libc6", "zlib1g")) == answer
    assert len(asked) == 3


def test_an_environment_that_is_not_the_pinned_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "1.0")
    with pytest.raises(image.ImagePackagesError) as caught:
        wheels.closure("hooks", ())
    assert "is installed in 1.0, which is not the pinned version" in str(caught.value)
    assert str(caught.value).endswith("run `make env`, then use .venv/bin/python")

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(
        image.ImagePackagesError, match=r"which the hooks image needs, is not installed in"
    ):
        wheels.closure("hooks", ())


def test_the_closure_follows_the_pins_and_leaves_out_what_is_left_out() -> None:
    with_all = wheels.closure("hooks", ())
    less = wheels.closure("hooks", ("aiohttp", "aiohttp-retry"))
    assert {"kubernetes", "pyyaml", "urllib3"} <= set(less)
    assert set(with_all) - set(less) >= {"aiohttp", "aiohttp-retry", "yarl"}
    assert "pytest" not in with_all
    for line in wheels.pins(less).splitlines():
        assert "==" in line or "--hash=sha256:" in line


def test_an_unknown_group_or_an_unpinned_name_is_told() -> None:
    with pytest.raises(
        image.ImagePackagesError, match=r"no extra and no group 'hoks'; it has: hooks"
    ):
        wheels.closure("hoks", ())
    with pytest.raises(image.ImagePackagesError, match=r"pins no nothing-such; run `make pins`"):
        wheels.pins(["nothing-such"])


@pytest.mark.parametrize("name", ["hooks", "standin"])
def test_all_that_an_images_code_imports_is_in_the_image(name: str) -> None:
    """Follows imports from the first folder of the image's code; what nobody there imports is not looked at."""
    recipe = RECIPES[name]
    provides = metadata.packages_distributions()
    installed = set(wheels.closure(recipe.python, recipe.python_without))
    cut = {Path(pattern).name.split("*")[0] for pattern in recipe.without}
    own = {folder.split("/")[0] for folder in recipe.code}
    code = sorted(ROOT / name for name in builder.read_code(recipe) if name.endswith(".py"))
    waiting, seen, lost = (
        [path for path in code if path.is_relative_to(ROOT / recipe.code[0])],
        set[Path](),
        [],
    )
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for module in _imports(path):
            top = module.split(".")[0]
            if top in own:
                waiting += [found for found in _files(module) if found.exists()]
                continue
            makers = {wheels.canonical(maker) for maker in provides.get(top, [])}
            there = top not in cut if top in sys.stdlib_module_names else bool(makers & installed)
            if not there and top != "ci":  # where the stand-in finds etcd when it is not on PATH
                lost.append(f"{path.relative_to(ROOT)} imports {module}")
    assert lost == [], (
        f"add it to `{recipe.python}` in pyproject.toml and run `make pins`; of Python's own, see recipes.py"
    )


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(module: str) -> list[Path]:
    place = ROOT.joinpath(*module.split("."))
    return [place.with_suffix(".py"), place / "__init__.py"]


def test_the_command_lists_recipes_and_tells_errors_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.main(["list"]) == 0
    assert "helm-tidb/hooks:dev" in capsys.readouterr().out
    monkeypatch.setenv("PATH", "")
    assert command.main(["build", "busybox"]) == 1
    refused = capsys.readouterr()
    assert refused.out == ""
    assert refused.err.startswith("image: images are made of Debian packages")
