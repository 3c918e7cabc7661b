"""The demo tells its story to the end, and every command of README.md and docs/ works on the cluster that it leaves.

One run of `python -m ci.demo --keep` serves both, the way a newcomer does it; at the end its cluster is taken down and
nothing of it is left. Commands are those of ```sh blocks; what stands in prose is none. A comment `# refused`
says that a command must fail. What a test adds: small sizes and the images that were built here.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ci.cluster import Cluster
from ci.demo import release
from ci.demo.tools import ROOT, Shell
from tests.unit.docs.pages import PAGES, commands

NAME = f"demo-{os.getpid()}"
# These are what the fixtures here do, or other suites.
ELSEWHERE = {
    "make demo": "the fixture `told` runs what the target runs",
    "make demo KEEP=1": "with --keep",
    "make test": "it is what runs this",
    "make clean": "would take this test's cluster down; its `down` is in test_up_down.py",
    "pip install '.[hooks]'": "the fixture `installed`, with uv and the tested pins",
}
# kubectl tidb: 3 and 4 say that something isn't well.
TELLING = {"status": (0, 3), "doctor": (0, 3, 4), "plan": (0, 3, 4)}


@dataclass(frozen=True)
class Told:
    text: str
    code: int
    shell: Shell


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """The demo, told to the end and left running.

    `HELM_TIDB_DEMO=NAME:LOG` takes one that was left before, and leaves it: the quick way while writing a page.
    """
    named, _, log = os.environ.get("HELM_TIDB_DEMO", "").partition(":")
    if named:
        shell = Shell(ROOT / "build" / f"demo-{named}", Cluster.find(named).kubeconfig)
        yield Told(Path(log).read_text() + "try next:", 0, shell)
        return
    done = subprocess.run(
        [sys.executable, "-m", "ci.demo", "--keep", "--name", NAME],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    home = ROOT / "build" / f"demo-{NAME}"
    kubeconfig = re.search(r"KUBECONFIG=(\S+)", done.stdout)
    shell = Shell(home, Path(kubeconfig[1]) if kubeconfig else home / "none")
    yield Told(done.stdout + done.stderr, done.returncode, shell)
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "ci.cluster", "down", "--name", NAME], cwd=ROOT, check=True
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with this checkout and its extra `hooks`; the folder with its programs."""
    home = tmp_path_factory.mktemp("installed")
    uv = Path(sys.executable).parent / "uv"
    pins = home / "pins"
    lines = (ROOT / "ci" / "requirements.txt").read_text()
    pins.write_text("\n".join(re.findall(r"^([\w.-]+==\S+)", lines, re.MULTILINE)))
    python = home / "env" / "bin" / "python"
    for command in (
        [uv, "venv", "--python", sys.executable, home / "env"],
        [uv, "pip", "install", "--python", python, "-c", pins, f"{ROOT}[hooks]"],
    ):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return home / "env" / "bin"


def test_the_story_is_told_to_the_end(told: Told) -> None:
    assert told.code == 0, told.text
    order = [
        "4 nodes are Ready", "8 disks found, told in 4 ConfigMaps", "8 TidbVolumes made of them",
        "8 PersistentVolumes offered", "6 claims of PD and TiKV bound", "SQL answers: ", "200 rows written",
        " is off", "$ kubectl tidb doctor", "$ kubectl tidb plan failover", "3 stores are Up, one with a new id",
        "all 200 rows are there, each with its value", "200 more rows written", "saw no region without a majority",
        "are cleared and offered again, under a new generation", "all 400 rows are there",
        "release demo: nothing is wrong", "try next:",
    ]  # fmt: skip
    place = -1
    for words in order:
        found = told.text.find(words, place + 1)
        assert found > place, f"{words!r} is not told, or not in its place:\n{told.text}"
        place = found
    # The doctor named the lost node as the cause, and quoted what becomes of each pod.
    assert re.search(r"Node n\d: it is not Ready for \d+ s; .*demo-tikv-\d", told.text)


def test_kubectl_completes_the_commands(told: Told, installed: Path) -> None:
    """kubectl itself asks kubectl_complete-tidb."""
    environment = told.shell.environment
    environment["PATH"] = f"{installed}:{environment['PATH']}"
    for typed, expected in (
        (("tidb", "pl"), "plan"),
        (("tidb", "doctor", "-n", "tidb", "demo-pd-"), "demo-pd-0"),
    ):
        done = subprocess.run(
            ["kubectl", "__complete", *typed],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert expected in done.stdout.split(), done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_works(
    page: str, told: Told, installed: Path, tmp_path: Path
) -> None:
    assert told.code == 0, told.text
    place = _workplace(tmp_path)
    environment = told.shell.environment
    # The installed kubectl-tidb, before the demo's own.
    environment["PATH"] = f"{installed}:{environment['PATH']}"
    for command, comment in commands(page):
        if command in ELSEWHERE:
            continue
        done = subprocess.run(
            ["bash", "-ec", _with_small_values(command)],
            cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=180,
        )  # fmt: skip
        said = f"{page}: {command}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        if comment.startswith("refused"):
            assert done.returncode != 0, said
        else:
            words = shlex.split(command)
            expected = TELLING.get(words[2], (0,)) if words[:2] == ["kubectl", "tidb"] else (0,)
            assert done.returncode in expected, said
        assert "Traceback" not in done.stderr, said


def _workplace(folder: Path) -> Path:
    """The checkout's root as links, so that what a command writes stays out of it; the README's values file."""
    for entry in ROOT.iterdir():
        if entry.name not in (".git", "build"):
            (folder / entry.name).symlink_to(entry)
    (values,) = re.findall(
        r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    (folder / "my-values.yaml").write_text(values)
    (folder / "case.json").write_text("")
    return folder


def _with_small_values(command: str) -> str:
    """Helm gets the demo's small sizes and the images that are on its nodes, over the page's own values."""
    if not command.startswith("helm upgrade"):
        return command
    small = [
        "--values", str(release.VALUES), *release.image_values(), "--set-string", "imageRegistry=",
        "--set", "tikv.replicas=3", "--wait=hookOnly",
    ]  # fmt: skip
    return f"{command} {shlex.join(small)}"
