"""The same release through every door: real Helm 4, Helm 3, kustomize, Argo CD's command, and the plain pipe.

Compared are values with their spelling (a quoted "1" is no 1), by object. What a door's owner adds or drops by itself
is named where it is taken out. How Argo CD runs its command is not shown here: only that the command gives the same
objects.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci import tools
from tests.postrender.conftest import CHART, NAME, PLUGIN, ROOT, Doors
from tests.unit.postrender.release import read_all

CONFIG = """apiVersion: helm-tidb.io/v1
kind: PostRender
rules:
  labels: {labels: {team: storage}, annotations: {reviewed: "yes"}}
  images: {mirrors: {docker.io: mirror.example.com/hub}}
"""
# Spellings that a reader or a writer on the way could change, and half of the resources to fill.
ODD_CHART = {
    "Chart.yaml": "apiVersion: v2\nname: odd\nversion: 0.1.0\n",
    "templates/cm.yaml": """apiVersion: v1
kind: ConfigMap
metadata: {name: odd}
data: {a: "y", b: "1e3", c: "0644", d: "12:30", e: "2001-01-01", f: "=", g: "a\\nb\\n", h: "ä 𝄞", i: " x "}
""",
    "templates/pod.yaml": """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0x2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers:
      - {name: init, image: busybox:1, resources: {requests: {cpu: 100m, memory: 64Mi}}}
      containers:
      - {name: web, image: "quay.io/x/web:1", resources: {limits: {cpu: 1, memory: 1Gi}}}
""",
    "templates/hook.yaml": """apiVersion: batch/v1
kind: Job
metadata:
  name: hook
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-weight: "-5"}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: job, image: busybox:1, resources: {limits: {cpu: 1, memory: 1Gi}}}
""",
}
BARE_CHART = {
    "Chart.yaml": "apiVersion: v2\nname: bare\nversion: 0.1.0\n",
    "templates/pod.yaml": """apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{name: a, image: "x:1"}]}
""",
}
BROKEN_CHART = {
    **BARE_CHART,
    "templates/pod.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: a, b: 1, b: 2}\n",
}
REASON = "container 'a' has neither a limit nor a request for cpu"


def chart(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / "chart" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "chart"


@pytest.fixture
def configured(doors: Doors, tmp_path: Path) -> Doors:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    return replace(doors, config=config)


def objects(done: subprocess.CompletedProcess[str], *, drop: str = "") -> dict[str, Any]:
    """The objects of an output by kind and name; annotations that start with `drop` left out."""
    assert done.returncode == 0, done.stderr
    found = {}
    for body in read_all(done.stdout):
        annotations = body["metadata"].get("annotations")
        if drop and annotations:
            for key in [each for each in annotations if each.startswith(drop)]:
                del annotations[key]
            if not annotations:
                del body["metadata"]["annotations"]
        name = f"{body['kind']}/{body['metadata']['name']}"
        assert name not in found, f"{name} came twice"
        found[name] = body
    assert found
    return found


def is_hook(body: dict[str, Any]) -> bool:
    return "helm.sh/hook" in body["metadata"].get("annotations", {})


@pytest.fixture(params=["own", "odd"])
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return CHART if request.param == "own" else chart(tmp_path, ODD_CHART)


def test_the_same_output_through_every_door(configured: Doors, release: Path) -> None:
    piped = objects(configured.pipe(configured.render("helm4", release)))
    assert all(body["metadata"]["labels"]["team"] == "storage" for body in piped.values())
    assert any(is_hook(body) for body in piped.values())

    assert objects(configured.helm4(release)) == piped
    assert objects(configured.argocd(release)) == piped
    # Kustomize respells what it reads ("0.1.0" loses its quotes): it does so to both sides.
    stream = configured.render("helm4", release)
    expected = objects(configured.kustomize(configured.pipe(stream).stdout, function=False))
    assert objects(configured.kustomize(stream), drop="config.kubernetes.io") == expected

    # Helm 3 keeps hooks from every post-renderer, and adds them unchanged.
    raw = objects(configured.pipe(configured.render("helm3", release)))
    expected = {name: body for name, body in raw.items() if not is_hook(body)}
    through_helm3 = objects(configured.helm3(release))
    assert {name: body for name, body in through_helm3.items() if not is_hook(body)} == expected
    hooks = {name for name, body in through_helm3.items() if is_hook(body)}
    assert hooks == set(raw) - set(expected)


def test_our_own_chart_needs_no_mending(doors: Doors) -> None:
    """By the default rules, which know nothing of this chart but its labels and its storage class."""
    stream = doors.render("helm4")
    done = doors.pipe(stream)
    assert (done.returncode, done.stdout, done.stderr) == (0, stream, "")


def test_a_second_pass_through_any_door_changes_nothing(configured: Doors, release: Path) -> None:
    once = configured.helm4(release).stdout
    assert configured.pipe(once).stdout == once
    first = configured.kustomize(once).stdout
    assert configured.kustomize(first).stdout == first


def test_a_stream_of_helm_4_keeps_the_annotation_that_it_is_cut_by(
    configured: Doors, tmp_path: Path
) -> None:
    """`# Source:` is made of that annotation: were it lost, every document would be "generated-by-postrender"."""
    done = configured.helm4(chart(tmp_path, ODD_CHART))
    sources = [line for line in done.stdout.splitlines() if line.startswith("# Source: ")]
    assert sorted(sources) == [
        "# Source: odd/templates/cm.yaml",
        "# Source: odd/templates/hook.yaml",
        "# Source: odd/templates/pod.yaml",
    ]


def test_helm_installs_the_plugin(configured: Doors, tmp_path: Path) -> None:
    folder = configured.run(configured.bin / NAME, "helm-plugin").stdout.strip()
    helm = tools.path("helm4")
    done = configured.run(helm, "plugin", "install", folder)
    assert done.returncode == 0, done.stderr
    assert NAME in configured.run(helm, "plugin", "list").stdout
    release = chart(tmp_path, ODD_CHART)
    template = (helm, "template", "db", release, "--post-renderer", NAME)
    config = ("--post-renderer-args", "--config", "--post-renderer-args", configured.config or "")
    through_plugin = configured.run(*template, *config)
    assert objects(through_plugin) == objects(configured.helm4(release))


@pytest.mark.parametrize(
    ("files", "code", "reason"), [(BARE_CHART, 4, REASON), (BROKEN_CHART, 1, "duplicate key 'b'")]
)
def test_what_is_wrong_stops_every_door_and_says_why(
    doors: Doors, tmp_path: Path, files: dict[str, str], code: int, reason: str
) -> None:
    release = chart(tmp_path, files)
    stream = (release / "templates" / "pod.yaml").read_text()
    piped = doors.pipe(stream)
    assert (piped.returncode, reason in piped.stderr) == (code, True)
    for name, done in (
        ("helm3", doors.helm3(release)),
        ("argocd", doors.argocd(release)),
        ("helm4", doors.helm4(release)),
    ):
        # Helm reads its own charts before us: what it refuses itself never comes here.
        assert done.returncode != 0, name
        assert not [line for line in done.stdout.splitlines() if not line.startswith("#")], name
        if code == 4:
            assert reason in done.stderr, name
    if code == 4:
        done = doors.kustomize(stream)
        assert (done.returncode, done.stdout, reason in done.stderr) == (1, "", True)


def test_helm_4_is_heard_where_its_stderr_is_a_file_by_the_report(
    doors: Doors, tmp_path: Path
) -> None:
    release = chart(tmp_path, BARE_CHART)
    report = tmp_path / "report.json"
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / NAME).symlink_to(PLUGIN)
    arguments = ["--post-renderer-args", "--report", "--post-renderer-args", str(report)]
    with (tmp_path / "stderr").open("w") as stderr:
        done = subprocess.run(
            [tools.path("helm4"), "template", "db", release, "--post-renderer", NAME, *arguments],
            env={"HELM_PLUGINS": str(tmp_path / "plugins"), "PATH": str(doors.bin)},
            stdout=subprocess.PIPE,
            stderr=stderr,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stdout) == (1, b"")
    # Helm's own line is whole: nothing of ours was written over it.
    assert (tmp_path / "stderr").read_text().startswith("Error: error while running post render")
    findings = json.loads(report.read_text())["objects"][0]["findings"]
    assert findings[0]["message"] == REASON


def test_a_copy_of_the_plugin_folder_finds_the_installed_command(
    doors: Doors, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("launch.py", "plugin.yaml"):
        (copy / name).write_text((PLUGIN / name).read_text())
    release = chart(tmp_path, ODD_CHART)
    # A python3 without our packages comes first on PATH.
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "python3").write_text(f'#!/bin/sh\nexec {doors.bin / "python3"} -S "$@"\n')
    (bare / "python3").chmod(0o755)
    (bare / NAME).symlink_to(doors.bin / NAME)
    expected = objects(doors.helm4(release))
    assert objects(replace(doors, bin=bare).helm4(release, plugin=copy)) == expected


def test_a_missing_library_is_said_aloud(doors: Doors, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "launch.py").write_text((PLUGIN / "launch.py").read_text())
    command = [str(doors.bin / "python3"), "-S", str(copy / "launch.py")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PATH": ""}, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"tidb-postrender: {command[0]} lacks postrender, yaml, jsonschema, and no tidb-postrender is on PATH:"
        " pip install the project (docs/postrender.md) into the Python that Helm finds first\n"
    )


def test_the_installation_is_the_post_renderer_alone(doors: Doors) -> None:
    code = (
        "import postrender.cli, schema, importlib.util as u;"
        "print(u.find_spec('kubernetes'), postrender.cli.__file__)"
    )
    done = doors.run(doors.bin / "python3", "-c", code, cwd=doors.home)
    assert done.stdout.startswith("None ")
    assert str(ROOT) not in done.stdout
    # The words for a wrong configuration need a library and files that a good one does not.
    wrong = doors.home / "wrong.yaml"
    wrong.write_text(CONFIG.replace("labels: {labels", "label: {labels"))
    told = replace(doors, config=wrong).pipe(BARE_CHART["templates/pod.yaml"])
    assert (told.returncode, told.stdout) == (1, "")
    assert "wrong.yaml: rules: unknown key 'label', did you mean 'labels'?" in told.stderr


def test_argo_cds_manifest_stops_when_helm_does(doors: Doors, tmp_path: Path) -> None:
    files = {**BARE_CHART, "templates/z.yaml": '{{ fail "no" }}'}
    done = doors.argocd(chart(tmp_path, files))
    assert done.returncode != 0
    assert done.stdout == ""
    assert "no" in done.stderr
