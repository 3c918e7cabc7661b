"""The post-renderer against a real API server and real kubelets.

- The API server reads a document that was written anew as it read the original (its own YAML reader, not a client's).
- `helm upgrade` through the Helm 4 plugin: every pod is Guaranteed and runs from the mirror, hook and sub-chart too.
- A refused release changes nothing, and Helm's user reads why.

The doors are compared with each other in tests/postrender, without a cluster.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ci import tools
from ci.cluster import Cluster
from postrender.errors import StreamError
from tests.cluster.conftest import WaitFor
from tests.cluster.kube import Kubectl
from tests.postrender.conftest import NAME, PLUGIN
from tests.postrender.documents import WORDS, manifests
from tests.unit.postrender.release import release

GROUP = "samples.helm-tidb.io"
PATH = f"/apis/{GROUP}/v1/samples?dryRun=All"
HEAD = f"apiVersion: {GROUP}/v1\nkind: Sample\nmetadata: {{name: x}}\n"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"samples.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Cluster",
        "names": {"kind": "Sample", "plural": "samples", "singular": "sample"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def server(cluster: Cluster, kube: Kubectl, wait_for: WaitFor) -> Iterator[Cluster]:
    """The cluster with a kind whose objects may hold anything."""
    kube.apply(CRD)
    wait_for(lambda: cluster.api.request("GET", PATH)[0] == 200, 20, "samples are served")
    yield cluster
    kube.run("delete", "crd", f"samples.{GROUP}", "--wait=false")


def answer(server: Cluster, document: str) -> Any:
    """What the API server makes of a document's bytes: the object's fields, or its refusal's status."""
    status, body = server.api.request(
        "POST", PATH, document.encode(), content_type="application/yaml"
    )
    if status != 201:
        return status
    body["metadata"] = {"labels": body["metadata"].get("labels", {})}
    return body


def compare(server: Cluster, document: str) -> bool:
    """Whether the server takes the document; fails when it reads the rewritten one otherwise."""
    done = release(document, only="labels", labels={"labels": {"marked": "true"}})
    assert done.done.changed == 1
    before, after = answer(server, document), answer(server, done.output)
    if isinstance(before, int):
        assert after == before, f"{document}\n-- became --\n{done.output}"
        return False
    assert after["metadata"]["labels"].pop("marked") == "true"
    assert after == before, f"{document}\n-- became --\n{done.output}"
    return True


def test_the_api_server_reads_what_it_would_have_read(server: Cluster) -> None:
    lists = "".join(
        f"  - {word}\n"
        for word in WORDS
        if word not in ("-", "---", "...", ".inf", "-.inf", ".nan")
    )
    assert compare(server, f"{HEAD}data:\n{lists}")
    taken = 0

    @settings(
        max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(manifests(head=HEAD))
    def run(document: str) -> None:
        nonlocal taken
        try:
            release(document)
        except StreamError:
            return
        taken += compare(server, document)

    run()
    assert taken > 20


# Requests alone make a pod Burstable; the API server would fill limits that stand alone by itself.
RESOURCES = "resources: {requests: {cpu: 20m, memory: 16Mi}}"
ELSEWHERE = "registry.example.com/tools/busybox:dev"
SLEEP = 'command: [sh, -c, "trap exit TERM; sleep 3600 & wait"]'


def container(name: str, command: str = SLEEP, resources: str = RESOURCES) -> str:
    return f"{{name: {name}, image: {ELSEWHERE}, {command}, {resources}}}"


def workload(kind: str, name: str, inits: str = "", resources: str = RESOURCES) -> str:
    service = "\n  serviceName: x" if kind == "StatefulSet" else ""
    return f"""apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:{service}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      initContainers: [{inits}]
      containers: [{container("main", resources=resources)}]
"""


# A start-up container and a sidecar among them; a hook; a list, which Helm takes apart only behind us; a sub-chart.
FILES = {
    "Chart.yaml": "apiVersion: v2\nname: odd\nversion: 0.1.0\n",
    "templates/web.yaml": workload(
        "Deployment",
        "web",
        container("init", 'command: ["true"]')
        + ", "
        + container("side", SLEEP + ", restartPolicy: Always"),
    ),
    "templates/hook.yaml": f"""apiVersion: batch/v1
kind: Job
metadata: {{name: hook, annotations: {{helm.sh/hook: "pre-install,pre-upgrade"}}}}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{container("job", 'command: ["true"]')}]
""",
    "templates/listed.yaml": "apiVersion: apps/v1\nkind: DeploymentList\nitems:\n- "
    + workload("Deployment", "listed").replace("\n", "\n  ").rstrip(" "),
    "charts/neighbour/Chart.yaml": "apiVersion: v2\nname: neighbour\nversion: 0.1.0\n",
    "charts/neighbour/templates/all.yaml": workload("StatefulSet", "neighbour"),
}
CONFIG = """apiVersion: helm-tidb.io/v1
kind: PostRender
rules:
  images: {mirrors: {registry.example.com/tools: docker.io/helm-tidb}, unmirrored: refuse}
"""


class Helm:
    """Helm 4 with the plugin, in the test's namespace."""

    def __init__(self, kube: Kubectl, home: Path) -> None:
        self.kube = kube
        self.home = home
        (home / "plugins").mkdir()
        (home / "plugins" / NAME).symlink_to(PLUGIN)
        (home / "config.yaml").write_text(CONFIG)

    def upgrade(self, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
        for name, text in files.items():
            path = self.home / "chart" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return subprocess.run(
            [
                *(
                    tools.path("helm4"),
                    "upgrade",
                    "--install",
                    "odd",
                    self.home / "chart",
                    "--wait",
                ),
                *("--namespace", self.kube.namespace, "--timeout", "60s"),
                *("--post-renderer", NAME, "--post-renderer-args", "--config"),
                *("--post-renderer-args", self.home / "config.yaml"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={
                "HELM_PLUGINS": str(self.home / "plugins"),
                "HOME": str(self.home),
                "KUBECONFIG": str(self.kube.cluster.layout.kubeconfig),
                "PATH": os.environ["PATH"],
            },
        )


def test_helm_upgrade_through_the_plugin(kube: Kubectl, tmp_path: Path, wait_for: WaitFor) -> None:
    helm = Helm(kube, tmp_path)
    done = helm.upgrade(FILES)
    assert done.returncode == 0, done.stderr
    done = helm.upgrade({**FILES, "templates/more.yaml": workload("Deployment", "more")})
    assert done.returncode == 0, done.stderr
    wait_for(
        lambda: (
            {"web", "neighbour", "listed", "more"}
            == {pod["metadata"]["labels"]["app"] for pod in kube.running("app")}
        ),
        30,
        "all workloads run",
    )
    pods = kube.all("pods")
    assert len(pods) >= 5  # the hook's too
    for pod in pods:
        name = pod["metadata"]["name"]
        assert pod["status"]["qosClass"] == "Guaranteed", name
        for each in pod["spec"]["containers"] + pod["spec"].get("initContainers", []):
            assert each["image"] == "docker.io/helm-tidb/busybox:dev", name

    # A release that a rule refuses: Helm fails, its user reads why, and nothing was changed.
    before = {pod["metadata"]["uid"] for pod in pods}
    bare = workload("Deployment", "more", resources="resources: {}")
    done = helm.upgrade({**FILES, "templates/more.yaml": bare})
    assert done.returncode == 1
    assert "container 'main' has neither a limit nor a request for cpu" in done.stderr
    assert kube.get("deployment", "more")["metadata"]["generation"] == 1
    assert {pod["metadata"]["uid"] for pod in kube.all("pods")} == before
