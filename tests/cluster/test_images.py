"""Our images on real nodes: what each recipe promises beyond being importable (tests/unit/ci covers the rest)."""

from __future__ import annotations

from typing import Any

from ci.cluster import Cluster
from tests.cluster.conftest import WaitFor
from tests.cluster.kube import Kubectl, Object

# The strictest that a namespace may ask for (Pod Security "restricted"), and a root file system nobody can write.
RESTRICTED: Object = {
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}

INSIDE = """
import importlib.util, os, pathlib, ssl, json
print("user", os.getuid(), os.getgid())
print("shell", pathlib.Path("/bin/sh").exists())
try:
    pathlib.Path("/app/mark").write_text("x")
except OSError as error:
    print("write", error.strerror)
import kubernetes.client
print("compiled", pathlib.Path(kubernetes.client.__cached__).exists())
print("aio", importlib.util.find_spec("kubernetes.aio"))
"""


def job(name: str, image: str, **container: Any) -> Object:
    """A pod that runs once; `container` adds to its only container."""
    main = {"name": "main", "image": f"helm-tidb/{image}:dev", "imagePullPolicy": "IfNotPresent"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [main | container],
        },
    }


def output(kube: Kubectl, wait_for: WaitFor, pod: Object) -> str:
    """Run the pod to its end, which must be a success; what it printed."""
    name = pod["metadata"]["name"]
    kube.apply(pod)
    wait_for(
        lambda: kube.get("pod", name)["status"]["phase"] in ("Succeeded", "Failed"),
        60,
        f"{name} has ended",
        lambda: kube.get("pod", name)["status"],
    )
    said = kube.run("logs", name)
    assert kube.get("pod", name)["status"]["phase"] == "Succeeded", said
    return said


def test_hooks_run_by_their_entry_point_in_a_restricted_pod(
    kube: Kubectl, wait_for: WaitFor
) -> None:
    pod = job("help", "hooks", args=["--help"], securityContext=RESTRICTED)
    assert output(kube, wait_for, pod).startswith("usage: python -m hooks")


def test_hooks_have_no_root_no_shell_and_nothing_to_compile(
    kube: Kubectl, wait_for: WaitFor
) -> None:
    command = ["python", "-c", INSIDE]
    pod = job("inside", "hooks", command=command, securityContext=RESTRICTED)
    assert output(kube, wait_for, pod).splitlines() == [
        "user 65532 65532",
        "shell False",
        "write Read-only file system",
        "compiled True",
        "aio None",
    ]


def test_busybox_looks_names_up_and_fetches(
    session_cluster: Cluster, kube: Kubectl, wait_for: WaitFor
) -> None:
    """Debian's static busybox crashes here; ours is the dynamic one."""
    script = (
        "nslookup kubernetes.default.svc.cluster.local && "
        f"wget -q -O - http://{session_cluster.layout.address}:8181/ready"
    )
    said = output(kube, wait_for, job("ask", "busybox", command=["sh", "-c", script]))
    assert session_cluster.layout.api_service in said
    assert said.endswith("OK")


def test_the_stand_ins_are_where_the_real_images_have_theirs(
    kube: Kubectl, wait_for: WaitFor
) -> None:
    script = "for name in pd tikv tidb; do /$name-server -V; command -v $name-server; done; etcd --version"
    said = output(kube, wait_for, job("names", "standin", command=["sh", "-c", script]))
    for name in ("pd", "tikv", "tidb"):
        assert f"{name}-server stand-in for tests and the demo" in said
        assert f"/usr/local/bin/{name}-server" in said
    assert "etcd Version: 3." in said


def test_prometheus_gets_ready_as_nobody(
    session_cluster: Cluster, kube: Kubectl, wait_for: WaitFor
) -> None:
    session_cluster.load_image("prometheus")
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "prometheus"},
        "data": {"prometheus.yml": "global: {scrape_interval: 5s}\n"},
    }
    pod = job(
        "prometheus",
        "prometheus",
        securityContext=RESTRICTED,
        readinessProbe={"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1},
        volumeMounts=[
            {"name": "config", "mountPath": "/etc/prometheus"},
            {"name": "data", "mountPath": "/prometheus"},
        ],
    )
    pod["spec"]["securityContext"] = {"fsGroup": 65532}
    pod["spec"]["volumes"] = [
        {"name": "config", "configMap": {"name": "prometheus"}},
        {"name": "data", "emptyDir": {}},
    ]
    kube.apply(config, pod)
    wait_for(
        lambda: kube.running("app=prometheus"),
        60,
        "Prometheus Ready",
        lambda: kube.run("logs", "prometheus", "--tail=5"),
    )
