"""The control plane: etcd, API server, controller manager, scheduler and CoreDNS, as processes on the rack.

They live in the control plane's network namespace, so killing a node never takes the API or DNS away, and their ports
never meet the host's.
"""

from __future__ import annotations

import signal
from pathlib import Path

from ci import tools
from ci.cluster import processes
from ci.cluster.api import Api, wait_until
from ci.cluster.errors import ClusterError
from ci.cluster.layout import Layout
from ci.cluster.pki import Authority
from ci.cluster.state import State

API_SECONDS = 60.0
ETCD = "http://127.0.0.1:2379"

# Waits that a person's cluster makes long and a test's must not: seconds for minutes, same code.
GRACE = ("--node-monitor-period=1s", "--node-monitor-grace-period=8s")
TOLERATIONS = (
    "--default-not-ready-toleration-seconds=5",
    "--default-unreachable-toleration-seconds=5",
)

DNS_RULES = [
    {
        "apiGroups": [""],
        "resources": ["services", "pods", "namespaces", "endpoints"],
        "verbs": ["list", "watch"],
    },
    {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": ["list", "watch"],
    },
]


def prepare(state: State, authority: Authority) -> None:
    """Write certificates and configuration, and note every component's command in the state."""
    layout = state.layout
    sans = (
        *(f"DNS:{name}" for name in _api_names()),
        *(f"IP:{address}" for address in (layout.api_service, layout.address, "127.0.0.1")),
    )
    serving = authority.issue("apiserver", "kube-apiserver", sans=sans)
    kubelet = authority.issue(
        "apiserver-kubelet", "kube-apiserver-kubelet-client", "system:masters"
    )
    key = authority.service_account_key()
    authority.kubeconfig(layout.kubeconfig, authority.issue("admin", "admin", "system:masters"))
    for user in ("kube-controller-manager", "kube-scheduler", "coredns"):
        authority.kubeconfig(
            layout.pki / f"{user}.kubeconfig", authority.issue(user, f"system:{user}")
        )
    (layout.folder / "Corefile").write_text(_corefile(layout))
    pki, ca = layout.pki, authority.ca
    state.commands = {
        "etcd": [
            *(str(tools.path("etcd")), f"--data-dir={layout.folder}/etcd", "--name=etcd"),
            *(f"--listen-client-urls={ETCD}", f"--advertise-client-urls={ETCD}"),
            *(
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            ),
            *("--initial-cluster=etcd=http://127.0.0.1:2380", "--log-level=warn"),
            # A power loss of the host would lose the test cluster; that of a node cannot.
            "--unsafe-no-fsync",
        ],
        "kube-apiserver": [
            *(str(tools.path("kube-apiserver")), f"--etcd-servers={ETCD}"),
            *(f"--bind-address={layout.address}", f"--advertise-address={layout.address}"),
            *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"),
            *(f"--client-ca-file={ca.crt}", "--allow-privileged=true", f"--cert-dir={pki}"),
            *(f"--tls-cert-file={serving.crt}", f"--tls-private-key-file={serving.key}"),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            *(f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"),
            f"--service-cluster-ip-range={layout.services}",
            *(f"--kubelet-client-certificate={kubelet.crt}", f"--kubelet-client-key={kubelet.key}"),
            f"--kubelet-certificate-authority={ca.crt}",
            *("--kubelet-preferred-address-types=InternalIP", *TOLERATIONS),
        ],
        "kube-controller-manager": [
            *(
                str(tools.path("kube-controller-manager")),
                "--leader-elect=false",
                f"--cert-dir={pki}",
            ),
            *(f"--kubeconfig={pki}/kube-controller-manager.kubeconfig", f"--root-ca-file={ca.crt}"),
            *(
                f"--service-account-private-key-file={key}",
                "--use-service-account-credentials",
                *GRACE,
            ),
        ],
        "kube-scheduler": [
            *(str(tools.path("kube-scheduler")), "--leader-elect=false", f"--cert-dir={pki}"),
            f"--kubeconfig={pki}/kube-scheduler.kubeconfig",
        ],
        "coredns": [str(tools.path("coredns")), "-conf", str(layout.folder / "Corefile")],
    }


def start(state: State, name: str) -> None:
    """Start one component (again) with the command that the state remembers."""
    layout = state.layout
    process = processes.spawn(
        name, state.commands[name], layout.logs / f"{name}.log", netns=layout.netns
    )
    state.processes[name] = process
    state.save()


def stop(state: State, *names: str) -> None:
    """Crash components: they are gone at once, as a lost machine takes them."""
    gone = [state.processes[name] for name in names if name in state.processes]
    processes.end(gone, first=signal.SIGKILL)
    for name in names:
        state.processes.pop(name, None)
    state.save()


def wait_for_api(state: State, api: Api) -> None:
    """Wait until the API server says that it is ready; a component that died is named with its last words."""
    wait_until(
        lambda: api.ready() or bool(_dead(state)),
        "API server ready",
        API_SECONDS,
        seen=lambda: processes.tail(state.layout.logs / "kube-apiserver.log"),
    )
    check_alive(state)


def check_alive(state: State) -> None:
    """Raises ClusterError with the log's end of the first component that is dead."""
    for name in _dead(state):
        log = state.layout.logs / f"{name}.log"
        raise ClusterError(f"{name} died; its log {log} ends: {processes.tail(log)}")


def allow_dns(api: Api) -> None:
    """The rights that CoreDNS needs to read Services and endpoints."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    meta = {"name": "system:coredns"}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": meta,
        "rules": DNS_RULES,
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": meta,
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:coredns",
        },
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:coredns"}
        ],
    }
    api.create(f"{rbac}/clusterroles", role)
    api.create(f"{rbac}/clusterrolebindings", binding)


def _dead(state: State) -> list[str]:
    return sorted(name for name, process in state.processes.items() if not processes.alive(process))


def _api_names() -> tuple[str, ...]:
    service = "kubernetes.default.svc"
    return ("kubernetes", "kubernetes.default", service, f"{service}.cluster.local")


def _corefile(layout: Layout) -> str:
    return f""".:53 {{
    bind {layout.address}
    errors
    ready {layout.address}:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {Path(layout.pki) / "coredns.kubeconfig"} {layout.name}
        pods insecure
        ttl 1
    }}
    cache 1
}}
"""
