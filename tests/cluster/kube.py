"""kubectl in one namespace, with objects as dictionaries: what tests look at the cluster with.

Not `hooks.kube`: a fault in that code must not hide in the tests of the cluster that it runs on.
"""

from __future__ import annotations

import json
from typing import Any

from ci.cluster import Cluster, ClusterError

Object = dict[str, Any]


class Kubectl:
    """The administrator's kubectl, bound to a namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 60.0) -> str:
        """Run kubectl; its output. Raises ClusterError with what it said when it fails."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, stdin=stdin, timeout=timeout)

    def apply(self, *objects: Object) -> None:
        """Server-side apply of these objects, all in one call."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def get(self, kind: str, name: str) -> Object:
        found: Object = json.loads(self.run("get", kind, name, "-o", "json"))
        return found

    def find(self, kind: str, name: str) -> Object | None:
        """The object, or None when it is not there; any other failure is raised."""
        text = self.run("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text else None

    def all(self, kind: str, *arguments: str) -> list[Object]:
        items: list[Object] = json.loads(self.run("get", kind, "-o", "json", *arguments))["items"]
        return items

    def exec(self, pod: str, *command: str, timeout: float = 30.0) -> str:
        """Run a command in a pod's first container."""
        return self.run("exec", pod, "--", *command, timeout=timeout)

    def refused(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl expecting a refusal; returns what it said. A success is the caller's failure."""
        try:
            said = self.run(*arguments, stdin=stdin)
        except ClusterError as error:
            return str(error)
        raise AssertionError(f"kubectl {' '.join(arguments)} was not refused; it said {said!r}")

    def running(self, label: str) -> list[Object]:
        """The pods with that label that are Ready and not on their way out."""
        return [
            pod
            for pod in self.all("pods", "-l", label)
            if "deletionTimestamp" not in pod["metadata"]
            and any(
                item["type"] == "Ready" and item["status"] == "True"
                for item in pod.get("status", {}).get("conditions", [])
            )
        ]
