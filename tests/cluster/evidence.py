"""What a person wants to see when a cluster test failed: gathered once, kept under build/failed/."""

from __future__ import annotations

from pathlib import Path

from ci.cluster import ClusterError
from tests.cluster.kube import Kubectl

VIEWS = {
    "pods.txt": ("get", "pods,jobs,statefulsets,pvc", "-o", "wide"),
    "events.txt": ("get", "events", "--sort-by=.lastTimestamp"),
    "nodes.txt": ("get", "nodes,pv", "-o", "wide"),
    "objects.yaml": ("get", "pods,jobs,pvc,configmaps,statefulsets", "-o", "yaml"),
}
SHOWN_LINES = 25


def gather(kube: Kubectl, folder: Path) -> str:
    """Write views of the namespace, and every container's log, to the folder; returns what to show at once."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = []
    for name, view in VIEWS.items():
        text = _ask(kube, *view)
        (folder / name).write_text(text)
        if name.endswith(".txt"):
            shown.append("\n".join(text.strip().splitlines()[-SHOWN_LINES:]))
    for pod in _ask(kube, "get", "pods", "-o", "name").split():
        for more in ((), ("--previous",)):
            text = _ask(kube, "logs", pod, "--all-containers", "--prefix", "--tail=2000", *more)
            (folder / f"{pod.replace('/', '-')}{''.join(more)}.log").write_text(text)
            if not more and "Error" in text:
                shown.append(f"{pod}: " + "\n".join(text.strip().splitlines()[-5:]))
    return "\n\n".join(shown)


def _ask(kube: Kubectl, *view: str) -> str:
    """A view that can't be had is said instead: the API may be what failed."""
    try:
        return kube.run(*view, timeout=20)
    except ClusterError as error:
        return f"({error})\n"
