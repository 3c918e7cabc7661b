"""Hundreds of further nodes that only exist in the API: for the scheduler and for controllers at size.

KWOK plays their kubelets. They carry a label and a taint, so that nothing real is scheduled there by accident.
"""

from __future__ import annotations

from ci import tools
from ci.cluster import processes
from ci.cluster.api import Api, wait_until
from ci.cluster.state import State

LABEL = "helm-tidb.io/kwok"
TAINT = {"key": LABEL, "value": "true", "effect": "NoSchedule"}
READY_SECONDS = 60.0


def start(memory: State, api: Api, count: int) -> None:
    """Start KWOK and make `count` nodes (kwok-0, kwok-1, …); returns when all are Ready."""
    layout = memory.layout
    memory.commands["kwok"] = [
        *(
            str(tools.path("kwok")),
            f"--kubeconfig={layout.kubeconfig}",
            f"--config={tools.path('kwok-stages')}",
        ),
        *(
            "--manage-all-nodes=false",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        ),
        *(
            "--node-lease-duration-seconds=12",
            f"--node-ip={layout.address}",
            "--cidr=10.245.0.0/16",
        ),
    ]
    memory.processes["kwok"] = processes.spawn(
        "kwok", memory.commands["kwok"], layout.logs / "kwok.log", netns=layout.netns
    )
    memory.kwok = count
    memory.save()
    for number in range(count):
        api.create("/api/v1/nodes", _node(f"kwok-{number}"))
    wait_until(
        lambda: _ready(api) >= count,
        f"{count} KWOK nodes Ready",
        READY_SECONDS,
        pause=0.3,
        seen=lambda: f"{_ready(api)} Ready; {processes.tail(layout.logs / 'kwok.log', 1)}",
    )


def _ready(api: Api) -> int:
    nodes = api.get(f"/api/v1/nodes?labelSelector={LABEL}%3Dtrue")["items"]
    return sum(
        any(
            item["type"] == "Ready" and item["status"] == "True"
            for item in node["status"].get("conditions", [])
        )
        for node in nodes
    )


def _node(name: str) -> dict[str, object]:
    capacity = {"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {LABEL: "true", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "spec": {"taints": [TAINT]},
        "status": {"capacity": capacity, "allocatable": capacity},
    }
