"""Real Argo CD beside the control plane: application controller, repo server and Redis, as processes.

They live in the control plane's network namespace (fixed ports meet nobody) and in the host's file system, so that an
Application may name a git repository of this machine: `repoURL: file:///path/to/repo`. Its destination is
`https://kubernetes.default.svc`, which stands for this cluster. Not there, because nothing here needs them: the web
server, Dex, the ApplicationSet and notification controllers.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci import debian, tools
from ci.cluster import processes
from ci.cluster.api import Api, http_ok, wait_until
from ci.cluster.errors import ClusterError
from ci.cluster.pki import Authority
from ci.cluster.run import run
from ci.progress import step

if TYPE_CHECKING:
    from ci.cluster.cluster import Cluster

NAMESPACE = "argocd"
PROCESSES = ("argocd-application-controller", "argocd-repo-server", "argocd-redis")
READY_SECONDS = 60.0

_REDIS = "127.0.0.1:6379"
_REPO_SERVER = "127.0.0.1:8081"
_REPO_METRICS = 8084
_CONTROLLER_METRICS = 8082


def start(cluster: Cluster) -> None:
    """Start Argo CD and wait until the controller and the repo server say that they are healthy.

    Raises ClusterError; then none of its processes is left, and the cluster goes on without it.
    """
    memory, layout = cluster.memory, cluster.layout
    if any(name in memory.processes for name in PROCESSES):
        raise ClusterError(f"cluster {cluster.name!r} has Argo CD already")
    debian.ensure("argocd")
    tools.build("argocd", "helm4", "kustomize", "kubectl")
    folder = layout.folder / "argocd"
    environment = _prepare(folder)
    authority = Authority(layout)
    admin = authority.issue("argocd", "argocd", "system:masters")
    # Where Argo CD looks for "its own" cluster (ARGOCD_FAKE_IN_CLUSTER).
    kubeconfig = authority.kubeconfig(folder / "home/.kube/config", admin, namespace=NAMESPACE)
    redis_host, redis_port = _REDIS.split(":")
    commands: dict[str, list[str | Path]] = {
        "argocd-redis": [
            *(folder / "bin/redis-server", "--bind", redis_host, "--port", redis_port),
            *("--save", "", "--appendonly", "no"),
        ],
        "argocd-repo-server": [
            *(folder / "bin/argocd-repo-server", "--redis", _REDIS, "--port", _REPO_SERVER.split(":")[1]),
            *("--disable-tls", "--client-ca-path", "", "--metrics-port", str(_REPO_METRICS)),
        ],
        "argocd-application-controller": [
            *(folder / "bin/argocd-application-controller", "--kubeconfig", kubeconfig),
            *("--namespace", NAMESPACE, "--redis", _REDIS),
            *("--repo-server", _REPO_SERVER, "--repo-server-plaintext"),
            *("--metrics-port", str(_CONTROLLER_METRICS)),
            *("--app-resync-jitter", "0"),
            # A chart that does not render is told at once, not after three minutes.
            *("--repo-error-grace-period-seconds", "0"),
        ],
    }  # fmt: skip
    try:
        with step("Argo CD") as running:
            running.at("objects")
            _create_objects(cluster)
            for name, command in commands.items():
                running.at(name)
                memory.processes[name] = processes.spawn(
                    name,
                    command,
                    layout.logs / f"{name}.log",
                    netns=layout.netns,
                    environment=environment,
                )
                memory.save()
            for name, port in (
                ("argocd-repo-server", _REPO_METRICS),
                ("argocd-application-controller", _CONTROLLER_METRICS),
            ):
                running.at(f"waiting for {name}")
                _wait_healthy(cluster, name, f"http://{layout.address}:{port}/healthz")
    except BaseException:
        stop(cluster)
        raise


def stop(cluster: Cluster) -> None:
    """End Argo CD's processes; its objects stay in the API. Does nothing when there are none."""
    memory = cluster.memory
    processes.end([memory.processes[name] for name in PROCESSES if name in memory.processes])
    for name in PROCESSES:
        memory.processes.pop(name, None)
    memory.save()
    _remove(cluster.layout.folder / "argocd")


def _prepare(folder: Path) -> dict[str, str]:
    """Make the folders and the PATH that Argo CD expects; returns its environment."""
    _remove(folder)
    places = {
        name: folder / name
        for name in ("bin", "home", "tmp", "gnupg", "tls", "ssh", "gpg", "plugins")
    }
    for place in (*places.values(), places["home"] / ".kube"):
        place.mkdir(parents=True)
    argocd = tools.path("argocd").parent
    for name in ("argocd-application-controller", "argocd-repo-server"):
        (places["bin"] / name).symlink_to(argocd / "argocd")
    for script in argocd.glob("git-*.sh"):
        (places["bin"] / script.name).symlink_to(script)
    (places["bin"] / "helm").symlink_to(tools.path("helm4"))
    (places["bin"] / "kustomize").symlink_to(tools.path("kustomize"))
    # One program, by its name a server or a checker; Debian's redis-server package would start a daemon on this host.
    (places["bin"] / "redis-server").symlink_to("/usr/bin/redis-check-rdb")
    # Repositories belong to whoever made them, and git refuses those of others.
    (places["home"] / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
    return {
        "PATH": f"{places['bin']}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(places["home"]),
        "TMPDIR": str(places["tmp"]),
        # How often the controller compares, and how long the repo server believes what it saw in git: three minutes by
        # default, and a test that commits should not wait for that.
        "ARGOCD_RECONCILIATION_TIMEOUT": "2s",
        # Without it, "https://kubernetes.default.svc" would need a service account's files.
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_GNUPGHOME": str(places["gnupg"]),
        "ARGOCD_GPG_DATA_PATH": str(places["gpg"]),
        "ARGOCD_TLS_DATA_PATH": str(places["tls"]),
        "ARGOCD_SSH_DATA_PATH": str(places["ssh"]),
        # Where the repo server finds the sockets of config-management plugins, which a test may start.
        "ARGOCD_PLUGINSOCKFILEPATH": str(places["plugins"]),
    }


def _create_objects(cluster: Cluster) -> None:
    """CRDs and the few objects without which the controllers do not start."""
    cluster.kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", str(tools.path("argocd-crds"))
    )
    api = cluster.api
    # `kubectl wait` fails on an object whose status has no conditions yet.
    kinds = ("applications", "applicationsets", "appprojects")
    wait_until(
        lambda: all(_established(api, kind) for kind in kinds),
        "Argo CD's CRDs Established",
        READY_SECONDS,
    )
    api.create(
        "/api/v1/namespaces",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    )
    core = f"/api/v1/namespaces/{NAMESPACE}"
    api.create(f"{core}/configmaps", _labelled("ConfigMap", "argocd-cm"))
    api.create(f"{core}/configmaps", _labelled("ConfigMap", "argocd-rbac-cm"))
    secret = _labelled("Secret", "argocd-secret") | {
        "stringData": {"server.secretkey": "no-server-runs-here"}
    }
    api.create(f"{core}/secrets", secret)
    api.create(
        f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/appprojects",
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AppProject",
            "metadata": {"name": "default"},
            "spec": {
                "sourceRepos": ["*"],
                "destinations": [{"server": "*", "namespace": "*"}],
                "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
            },
        },
    )


def _established(api: Api, kind: str) -> bool:
    crd = api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind}.argoproj.io")
    conditions = crd.get("status", {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def _labelled(kind: str, name: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/part-of": "argocd"}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels}}


def _wait_healthy(cluster: Cluster, name: str, url: str) -> None:
    log = cluster.layout.logs / f"{name}.log"
    process = cluster.memory.processes[name]

    def healthy_or_dead() -> bool:
        return not processes.alive(process) or http_ok(url)

    wait_until(
        healthy_or_dead,
        f"{name} healthy ({url})",
        READY_SECONDS,
        pause=0.2,
        seen=lambda: processes.tail(log),
    )
    if not processes.alive(process):
        raise ClusterError(f"{name} died; its log {log} ends: {processes.tail(log)}")


def _remove(folder: Path) -> None:
    """The repo server leaves checkouts without any permission."""
    if folder.exists():
        run("chmod", "-R", "u+rwX", folder)
        shutil.rmtree(folder)
