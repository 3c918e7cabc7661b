"""Real Argo CD syncs a chart from a git repository of this machine: what `up --argocd` promises to chart tests. And
the documents that README.md has for Argo CD and Flux are what these take.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from ci import tools
from ci.cluster.api import Api, wait_until
from ci.cluster.argocd import NAMESPACE, PROCESSES
from ci.cluster.cluster import Cluster
from ci.cluster.errors import ClusterError
from tests.postrender.conftest import ROOT, install

APPLICATIONS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/applications"
SYNC_SECONDS = 60.0
PLUGIN = ROOT / "postrender" / "argocd"
TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-probe"}
data: {colour: COLOUR}
"""


@pytest.fixture(scope="module")
def argo() -> Iterator[Cluster]:
    """A control plane alone: Argo CD needs no node to render, compare and apply."""
    made = Cluster.up(f"argocd-{os.getpid()}", nodes=0, with_argocd=True)
    yield made
    made.down()


class Repository:
    """A git repository with one chart; every `commit` is what a user would push."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "chart/templates").mkdir(parents=True)
        self._git("init", "--quiet", "--initial-branch=main")
        (folder / "chart/Chart.yaml").write_text("apiVersion: v2\nname: probe\nversion: 0.1.0\n")

    def commit(self, template: str) -> str:
        """Commit this as the chart's only template; returns the commit's hash."""
        (self.folder / "chart/templates/probe.yaml").write_text(template)
        return self.push()

    def push(self) -> str:
        """Commit what is there; returns the commit's hash."""
        self._git("add", "--all")
        self._git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "change")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_an_application_follows_its_git_repository(argo: Cluster, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    first = repository.commit(TEMPLATE.replace("COLOUR", "blue"))
    _create(argo.api, "follows", repository)
    _wait_synced(argo.api, "follows", first)
    assert _colour(argo.api, "follows") == "blue"

    second = repository.commit(TEMPLATE.replace("COLOUR", "green"))
    _wait_synced(argo.api, "follows", second)
    assert _colour(argo.api, "follows") == "green"


def test_a_chart_that_does_not_render_is_told_and_changes_nothing(
    argo: Cluster, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "repo")
    first = repository.commit(TEMPLATE.replace("COLOUR", "blue"))
    _create(argo.api, "broken", repository)
    _wait_synced(argo.api, "broken", first)

    repository.commit('{{ fail "a refusal of the chart" }}')
    wait_until(
        lambda: "a refusal of the chart" in _conditions(argo.api, "broken"),
        "Argo CD shows why the chart does not render",
        SYNC_SECONDS,
        seen=lambda: _conditions(argo.api, "broken"),
    )
    assert _colour(argo.api, "broken") == "blue"


@contextmanager
def postrender_plugin(argo: Cluster, folder: Path) -> Iterator[None]:
    """The sidecar's program with the plugin that we ship, beside the repo server: they meet in a folder of sockets."""
    sockets = argo.layout.folder / "argocd" / "plugins"
    for name in ("config", "tmp"):
        (folder / name).mkdir()
    (folder / "config" / "plugin.yaml").write_text((PLUGIN / "plugin.yaml").read_text())
    server = folder / "argocd-cmp-server"
    server.symlink_to(tools.path("argocd"))
    environment = {
        "ARGOCD_PLUGINSOCKFILEPATH": str(sockets),
        "HOME": str(folder),
        "PATH": f"{install(folder)}:/usr/bin:/bin",
        "TMPDIR": str(folder / "tmp"),
    }
    with (folder / "log").open("w") as log:
        program = subprocess.Popen(
            [server, "--config-dir-path", folder / "config"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(
            (sockets / "tidb-postrender.sock").exists,
            "the plugin serves",
            SYNC_SECONDS,
            seen=lambda: (folder / "log").read_text(),
        )
        yield
    finally:
        # Asked to end, it would wait for the repo server, which keeps its connection.
        program.kill()
        program.wait()
        (sockets / "tidb-postrender.sock").unlink(missing_ok=True)


def test_the_post_renderers_plugin_mends_and_refuses(argo: Cluster, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    rules = "rules: {labels: {labels: {team: storage}}}\n"
    (tmp_path / "repo/chart/postrender.yaml").write_text(
        f"apiVersion: helm-tidb.io/v1\nkind: PostRender\n{rules}"
    )
    first = repository.commit(TEMPLATE.replace("COLOUR", "blue"))
    env = [{"name": "CONFIG", "value": "postrender.yaml"}]
    (tmp_path / "plugin").mkdir()
    with postrender_plugin(argo, tmp_path / "plugin"):
        _create(argo.api, "mended", repository, plugin={"name": "tidb-postrender", "env": env})
        _wait_synced(argo.api, "mended", first)
        probe = argo.api.get("/api/v1/namespaces/default/configmaps/mended-probe")
        assert probe["metadata"]["labels"]["team"] == "storage"

        bare = "kind: Pod\napiVersion: v1\nmetadata: {name: p}\nspec: {containers: [{name: a, image: 'x:1'}]}\n"
        repository.commit(TEMPLATE.replace("COLOUR", "green") + "---\n" + bare)
        wait_until(
            lambda: "neither a limit nor a request for cpu" in _conditions(argo.api, "mended"),
            "Argo CD shows why the post-renderer refused",
            SYNC_SECONDS,
            seen=lambda: _conditions(argo.api, "mended"),
        )
        assert _colour(argo.api, "mended") == "blue"


# What the patch builds on: the volumes that the Deployment of Argo CD's own manifests has.
REPO_SERVER = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: argocd-repo-server}
spec:
  selector: {matchLabels: {app: repo-server}}
  template:
    metadata: {labels: {app: repo-server}}
    spec:
      containers: [{name: argocd-repo-server, image: "quay.io/argoproj/argocd:v3.5.0"}]
      volumes: [{name: var-files, emptyDir: {}}, {name: plugins, emptyDir: {}}]
"""


def test_the_post_renderers_sidecar_goes_into_the_repo_server_by_its_own_commands(
    argo: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "kubectl").symlink_to(tools.path("kubectl"))
    path = f"{tmp_path}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(tmp_path), "KUBECONFIG": str(argo.layout.kubeconfig)}

    def run(command: str, stdin: str = "") -> None:
        done = subprocess.run(
            command,
            shell=True,
            input=stdin,
            cwd=PLUGIN,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command

    run(f"kubectl -n {NAMESPACE} apply -f -", REPO_SERVER)
    lines = (PLUGIN / "sidecar.yaml").read_text().splitlines()
    commands = [line.removeprefix("#").strip() for line in lines if line.startswith("#   kubectl ")]
    assert len(commands) == 2
    for command in commands:
        run(command)
    deployment = argo.api.get(
        f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/argocd-repo-server"
    )
    pod = deployment["spec"]["template"]["spec"]
    # The API server has checked that each mount has its volume; none of a strategic patch may have replaced a list.
    assert {each["name"] for each in pod["containers"]} == {"argocd-repo-server", "tidb-postrender"}
    mounted = {each["name"] for box in pod["containers"] for each in box.get("volumeMounts", [])}
    assert mounted == {each["name"] for each in pod["volumes"]}
    plugin = argo.api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/tidb-postrender")
    assert plugin["data"] == {"plugin.yaml": (PLUGIN / "plugin.yaml").read_text()}


def documents() -> list[dict[str, Any]]:
    """The Application and the HelmRelease of README.md."""
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found = [yaml.safe_load(block) for block in blocks]
    return [one for one in found if one.get("kind") in ("Application", "HelmRelease")]


def test_the_readmes_application_and_helm_release_are_what_argo_cd_and_flux_take(
    argo: Cluster,
) -> None:
    """By the API server, strictly: Argo CD's own CRD, and Flux's as its releases make it."""
    argo.kubectl("apply", "--server-side", "-f", str(tools.path("flux-crds")))
    crd = "crd/helmreleases.helm.toolkit.fluxcd.io"
    argo.kubectl("wait", "--for=condition=Established", crd)
    argo.kubectl("create", "namespace", "tidb")
    found = documents()
    assert [one["kind"] for one in found] == ["Application", "HelmRelease"]
    strict = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
    for one in found:
        argo.kubectl(*strict, stdin=json.dumps(one))
        with pytest.raises(ClusterError, match=r"spec\.pathh"):
            argo.kubectl(*strict, stdin=json.dumps({**one, "spec": {**one["spec"], "pathh": "x"}}))
    # Each source says all that its kind must.
    for kind, part in (("Application", "project"), ("HelmRelease", "interval")):
        (one,) = (one for one in found if one["kind"] == kind)
        del one["spec"][part]
        with pytest.raises(ClusterError, match=part):
            argo.kubectl(*strict, stdin=json.dumps(one))


def test_real_argo_cd_renders_the_chart_by_the_readmes_application(
    argo: Cluster, tmp_path: Path
) -> None:
    """As it is, but for where git is; compared with the cluster and not applied, for there is no node."""
    repository = Repository(tmp_path / "repo")
    shutil.rmtree(tmp_path / "repo/chart")
    shutil.copytree(ROOT / "chart", tmp_path / "repo/chart")
    repository.push()
    application, _ = documents()
    application["spec"]["source"]["repoURL"] = f"file://{tmp_path}/repo"
    del application["spec"]["syncPolicy"]["automated"]
    argo.api.create(APPLICATIONS, application)

    def rendered() -> dict[tuple[str, str], str]:
        status = argo.api.get(f"{APPLICATIONS}/demo").get("status", {})
        return {(one["kind"], one["name"]): one["status"] for one in status.get("resources", [])}

    wait_until(
        lambda: ("StatefulSet", "demo-tikv") in rendered(),
        "Argo CD has rendered the chart",
        SYNC_SECONDS,
        seen=lambda: _conditions(argo.api, "demo"),
    )
    assert rendered()["StatefulSet", "demo-tikv"] == "OutOfSync"
    assert "Error" not in _conditions(argo.api, "demo")


def test_argocd_is_part_of_the_cluster_and_starts_once(argo: Cluster) -> None:
    from ci.cluster import argocd

    assert set(PROCESSES) <= set(argo.memory.processes)
    with pytest.raises(ClusterError, match=r"has Argo CD already"):
        argocd.start(argo)
    assert set(PROCESSES) <= set(argo.memory.processes)


def _create(api: Api, name: str, repository: Repository, **source: Any) -> None:
    application = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name},
        "spec": {
            "project": "default",
            "source": {
                "repoURL": f"file://{repository.folder}",
                "path": "chart",
                "targetRevision": "main",
                **source,
            },
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "default"},
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
        },
    }
    api.create(APPLICATIONS, application)


def _status(api: Api, name: str) -> dict[str, Any]:
    status: dict[str, Any] = api.get(f"{APPLICATIONS}/{name}").get("status", {})
    return status


def _conditions(api: Api, name: str) -> str:
    return " ".join(item["message"] for item in _status(api, name).get("conditions") or [])


def _wait_synced(api: Api, name: str, revision: str) -> None:
    def synced() -> bool:
        status = _status(api, name)
        sync, done = status.get("sync", {}), status.get("operationState", {})
        return bool(
            sync.get("status") == "Synced"
            and sync.get("revision") == revision
            and done.get("phase") == "Succeeded"
            and status["health"]["status"] == "Healthy"
        )

    wait_until(
        synced,
        f"Application {name} Synced and Healthy at {revision[:8]}",
        SYNC_SECONDS,
        pause=0.2,
        seen=lambda: str(_status(api, name))[:1500],
    )


def _colour(api: Api, name: str) -> str:
    return str(api.get(f"/api/v1/namespaces/default/configmaps/{name}-probe")["data"]["colour"])
