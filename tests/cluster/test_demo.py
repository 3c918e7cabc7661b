"""The demo tells its story to the end, and every command of README.md and docs/ works on the cluster that it leaves.

One run of `python -m ci.demo --keep` serves both, the way a newcomer does it; at the end its cluster is taken down and
nothing of it is left. Commands are those of ```sh and ```console blocks; what stands in prose is none. A comment `#
refused` says that a command must fail. What a test adds: small sizes and the images that were built here; VOLUME is a
volume in use, another one each time.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ci.cluster import Cluster
from ci.demo import release
from ci.demo.tools import ROOT, Shell
from tests.cluster.conftest import WaitFor
from tests.unit.docs.pages import PAGES, commands

NAME = f"demo-{os.getpid()}"
# These are what the fixtures here do, or other suites.
ELSEWHERE = {
    "make demo": "the fixture `told` runs what the target runs",
    "make demo KEEP=1": "with --keep",
    "make test": "it is what runs this",
    "make clean": "would take this test's cluster down; its `down` is in test_up_down.py",
    "pip install '.[hooks]'": "the fixture `installed`, with uv and the tested pins",
    "python -m ci.cluster up --name dev": "test_up_down.py; the fixture `told` brought one up in the same way",
}
# kubectl tidb: 3 and 4 say that something isn't well.
TELLING = {"status": (0, 3), "doctor": (0, 3, 4), "plan": (0, 3, 4)}


@dataclass(frozen=True)
class Told:
    text: str
    code: int
    shell: Shell
    name: str

    def kubectl(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        return self.shell.run("kubectl", *words, codes=codes)

    def get(self, kind: str, name: str) -> Any:
        """The object as `kubectl get -o json` has it, a list when there is no name."""
        return json.loads(
            self.kubectl("get", kind, *([name] if name else []), "-n", "tidb", "-o", "json")
        )

    def apply(self, *objects: dict[str, Any]) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        subprocess.run(
            ["kubectl", "apply", "-f", "-"], env=self.shell.environment, input=text, text=True, check=True
        )  # fmt: skip

    def volume_of(self, claim: str) -> str:
        """The TidbVolume behind a claim."""
        return str(self.get("pvc", claim)["spec"]["volumeName"]).rpartition("-g")[0]

    def in_use(self) -> list[str]:
        """TidbVolumes that are Bound."""
        volumes = self.get("tidbvolumes", "")["items"]
        return [v["metadata"]["name"] for v in volumes if v["status"]["phase"] == "Bound"]


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """The demo, told to the end and left running.

    `HELM_TIDB_DEMO=NAME:LOG` takes one that was left before, and leaves it: the quick way while writing a page.
    """
    named, _, log = os.environ.get("HELM_TIDB_DEMO", "").partition(":")
    if named:
        shell = Shell(ROOT / "build" / f"demo-{named}", Cluster.find(named).kubeconfig)
        yield Told(Path(log).read_text() + "try next:", 0, shell, named)
        return
    done = subprocess.run(
        [sys.executable, "-m", "ci.demo", "--keep", "--name", NAME],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    home = ROOT / "build" / f"demo-{NAME}"
    kubeconfig = re.search(r"KUBECONFIG=(\S+)", done.stdout)
    shell = Shell(home, Path(kubeconfig[1]) if kubeconfig else home / "none")
    yield Told(done.stdout + done.stderr, done.returncode, shell, NAME)
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
        "SQL answers: ", "200 rows written",
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
    # A claim can be bound before the demo has counted the last volume.
    installed = told.text[: told.text.index("SQL answers: ")]
    assert "8 PersistentVolumes offered" in installed
    assert "6 claims of PD and TiKV bound, each to a whole disk" in installed
    # The doctor named the lost node as the cause, and quoted what becomes of each pod.
    named = re.search(r"Node n\d: it is not Ready for \d+ s; .*demo-tikv-\d", told.text)
    assert named, told.text


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


def holder(node: str, folder: str) -> dict[str, Any]:
    """A pod that keeps a file of that folder open, as a process does that nobody remembers."""
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "holder", "namespace": "tidb"},
        "spec": {
            "nodeName": node, "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "data", "hostPath": {"path": folder}}],
            "containers": [{
                "name": "main", "image": "helm-tidb/hooks:dev", "securityContext": {"runAsUser": 0},
                "command": ["python3", "-c", "import signal; f = open('/data/open', 'w'); signal.pause()"],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
        },
    }  # fmt: skip


def asking(size: str) -> list[dict[str, Any]]:
    """A pod of the release that wants a disk of that size, and its claim."""
    labels = {
        "app.kubernetes.io/name": "tidb", "app.kubernetes.io/instance": "demo", "app.kubernetes.io/component": "asks",
    }  # fmt: skip
    meta = {"name": "asks", "namespace": "tidb", "labels": labels}
    claim = {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "tidb-local",
        "resources": {"requests": {"storage": size}},
    }  # fmt: skip
    spec = {
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "asks"}}],
        "containers": [{"name": "main", "image": "none"}],
    }
    return [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": claim},
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec},
    ]


SUSPEND = ("patch", "cronjob", "demo-failover", "-n", "tidb", "--patch")


@pytest.fixture
def by_hand(told: Told) -> Iterator[Told]:
    """The release without failover by the clock, which would be faster than the test; as it was, afterwards."""
    assert told.code == 0, told.text
    told.kubectl(*SUSPEND, '{"spec":{"suspend":true}}')
    yield told
    told.kubectl(*SUSPEND, '{"spec":{"suspend":false}}')
    gone = ("delete", "pod/asks", "pvc/asks", "pod/holder", "-n", "tidb")
    told.kubectl(*gone, "--ignore-not-found", "--wait=false")


def test_a_claim_deleted_by_hand_is_explained_its_disk_wiped_and_failover_ends_it(
    by_hand: Told, wait_for: WaitFor
) -> None:
    """What only a release with PD and disks of its own can show: `duplicated store address`, each disk's reason, and
    `kubectl tidb wipe` from a Released disk to an Available one.
    """
    told = by_hand
    pd = "/api/v1/namespaces/tidb/services/http:demo-pd:2379/proxy/pd/api/v1/stores"

    def ids(*states: str) -> list[int]:
        """Stores at demo-tikv-2 that PD has not retired and calls so."""
        stores = [one["store"] for one in json.loads(told.kubectl("get", "--raw", pd))["stores"]]
        return [
            one["id"]
            for one in stores
            if one["address"].startswith("demo-tikv-2.")
            and one["state_name"] in states
            and not one.get("physically_destroyed")
        ]

    def volume(name: str) -> Any:
        return told.get("tidbvolume", name)

    def findings(pod: str) -> dict[str, Any]:
        """By code; none while the pod is not there."""
        done = subprocess.run(
            ["kubectl", "tidb", "doctor", pod, "-n", "tidb", "-o", "json"],
            env=told.shell.environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        found = json.loads(done.stdout)["findings"] if done.stdout else []
        return {one["code"]: one for one in found}

    old = told.volume_of("tikv-demo-tikv-2")
    before, bound, number = volume(old), told.volume_of("tikv-demo-tikv-0"), ids("Up")[0]
    home = (
        before["status"]["node"],
        f"{before['status']['path']}/{before['status']['pv']['name']}",
    )
    told.apply(holder(*home))
    wait_for(
        lambda: told.get("pod", "holder")["status"]["phase"] == "Running", 30, "the file is open"
    )
    told.kubectl("delete", "pvc", "tikv-demo-tikv-2", "-n", "tidb", "--wait=false")
    told.kubectl("delete", "pod", "demo-tikv-2", "-n", "tidb")

    explained = f"store {number} is still registered at this address, and PD calls that store"

    def crash() -> str:
        found = findings("demo-tikv-2").get("duplicated-store-address")
        return f"{found['why']}; {found['remedy']}" if found else ""

    # Between two starts there is nothing to explain: one look that has all of it.
    wait_for(lambda: re.search(f"{explained} .*failover", crash()), 90, "doctor explains the crash loop",
             lambda: findings("demo-tikv-2"), 1.0)  # fmt: skip
    plan = told.kubectl("tidb", "plan", "failover", "-n", "tidb", codes=(0, 3))
    assert f"Store {number}" in plan, plan

    # Wiping: only what nobody uses, and only when its name was said again.
    wait_for(lambda: volume(old)["status"]["phase"] == "Released", 60, "the old disk is Released")
    assert f"{old} is not confirmed: say --confirm {old}" in told.kubectl(
        "tidb", "wipe", old, codes=(1,)
    )
    said = told.kubectl("tidb", "wipe", bound, "--confirm", bound, codes=(1,))
    assert f"{bound} (" in said
    assert "is Bound: it is in use by claim tidb/tikv-demo-tikv-0" in said
    phases = {volume(old)["status"]["phase"], volume(bound)["status"]["phase"]}
    assert phases == {"Released", "Bound"}
    assert "told to be wiped" in told.kubectl("tidb", "wipe", old, "--confirm", old)
    wait_for(lambda: "is open in some process" in volume(old)["status"].get("message", ""), 60,
             "the wipe waits for the open file", lambda: volume(old)["status"])  # fmt: skip

    # The last free disk gets a file that nobody knows.
    (free,) = (
        v for v in told.get("tidbvolumes", "")["items"] if v["status"]["phase"] == "Available"
    )
    cluster, machine = Cluster.find(told.name), free["status"]["node"]
    foreign = f"{free['status']['path']}/backup.tar"
    cluster.enter(machine, "touch", foreign)
    told.apply(*asking("5Gi"))

    def disk_lines() -> str:
        found = findings("asks").get("unschedulable-no-volume", {})
        return "\n".join(found.get("details", []))

    wait_for(lambda: "backup.tar" in disk_lines(), 60, "each disk's reason", disk_lines, 1.0)
    lines = disk_lines()
    assert "claim asks asks 5Gi of class tidb-local:" in lines
    assert lines.count("in use by claim tidb/") == 6, lines
    assert re.search(r"/mnt/disks/d\d \S+: Refused: .*backup\.tar", lines), lines
    assert re.search(r"/mnt/disks/d\d \S+: \w+: .*is open in some process", lines), lines
    cluster.enter(machine, "rm", foreign)
    wait_for(
        lambda: re.search(r": free, but \S+ too small", disk_lines()),
        60,
        "the free one is too small",
        disk_lines,
        1.0,
    )
    told.kubectl("delete", "pod/asks", "pvc/asks", "-n", "tidb", "--wait=false")

    # Nobody holds it any more: it is cleared and offered anew.
    told.kubectl("delete", "pod", "holder", "-n", "tidb")
    wait_for(lambda: volume(old)["status"]["phase"] == "Available", 90, "the disk is offered again",
             lambda: volume(old)["status"])  # fmt: skip
    after = volume(old)
    assert after["spec"]["generation"] == before["spec"]["generation"] + 1
    assert after["status"]["lastWipe"]["cause"] == "now", after["status"]["lastWipe"]
    assert cluster.enter(home[0], "find", before["status"]["path"], "-name", "open") == ""

    told.kubectl("create", "job", "now", "-n", "tidb", "--from=cronjob/demo-failover")
    wait_for(lambda: not ids("Up", "Disconnected", "Down"), 180, "failover retires the store",
             lambda: told.kubectl("tidb", "plan", "failover", "-n", "tidb", codes=(0, 3, 4)), 1.0)  # fmt: skip
    # Its container would wait for minutes by now, before it starts again.
    told.kubectl("delete", "pod", "demo-tikv-2", "-n", "tidb", "--wait=false")
    wait_for(lambda: ids("Up"), 120, "the new store is Up", lambda: ids("Up", "Down"), 1.0)
    wait_for(lambda: "nothing is wrong" in told.kubectl("tidb", "doctor", "-n", "tidb", codes=(0, 3, 4)), 120,
             "everything well", lambda: told.kubectl("tidb", "status", "-n", "tidb", codes=(0, 3)), 1.0)  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_works(
    page: str, told: Told, installed: Path, tmp_path: Path
) -> None:
    assert told.code == 0, told.text
    place = _workplace(tmp_path)
    environment = told.shell.environment
    # The installed kubectl-tidb, before the demo's own.
    environment["PATH"] = f"{installed}:{environment['PATH']}"
    used = told.in_use()
    for command, comment in commands(page):
        if command in ELSEWHERE:
            continue
        done = subprocess.run(
            ["bash", "-ec", _filled_in(command, told, used)],
            cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=180,
        )  # fmt: skip
        said = f"{page}: {command}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        if comment.startswith("refused"):
            assert done.returncode != 0, said
        else:
            assert done.returncode in _expected(shlex.split(command)), said
        assert "Traceback" not in done.stderr, said


def _expected(words: list[str]) -> tuple[int, ...]:
    if words[:2] == ["kubectl", "tidb"]:
        return TELLING.get(words[2], (0,))
    return (0, 3) if "--dry-run" in words else (0,)  # a plan may wait for something


def _workplace(folder: Path) -> Path:
    """The checkout's root as links, so that what a command writes stays out of it; the README's values file."""
    for entry in ROOT.iterdir():
        if entry.name not in (".git", "build"):
            (folder / entry.name).symlink_to(entry)
    values, *_ = re.findall(
        r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    (folder / "my-values.yaml").write_text(values)
    (folder / "case.json").write_text("")
    return folder


def _filled_in(command: str, told: Told, used: list[str]) -> str:
    """The command with what only a run can know. Helm gets the demo's small sizes and the images that are on its
    nodes, over the page's own values.
    """
    command = command.replace("--name dev", f"--name {told.name}")
    if "VOLUME" in command:
        command = command.replace("VOLUME", used.pop())
    if command.startswith("python -m"):
        command = command.replace("python", sys.executable, 1)
    if not command.startswith("helm upgrade"):
        return command
    small = [
        "--values", str(release.VALUES), *release.image_values(), "--set-string", "imageRegistry=",
        "--set", "tikv.replicas=3", "--wait=hookOnly",
    ]  # fmt: skip
    return f"{command} {shlex.join(small)}"
