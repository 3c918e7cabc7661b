"""The chart without Helm's own installer: real Argo CD from a git repository, and `helm template | kubectl apply`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ci.cluster import Cluster, ClusterError, argocd
from tests.cluster.conftest import WaitFor
from tests.cluster.kube import Kubectl, Object
from tests.cluster.release import (
    CHART,
    NAME,
    Release,
    forget_cluster_wide,
    forget_volumes,
    impatient_disks,
    local_volumes,
    merged,
    sql_answers,
)

# A sync is two waves of hook Jobs and a rollout, and a busy machine starts a Python in ten seconds.
SYNC_SECONDS = 400


def everything(storage_class: str) -> dict[str, Any]:
    """All of the chart that works by itself: disks, failover and cleanup too.

    In a class of its own, so that no volume that an earlier test left is in it.
    """
    return {
        "pd": {"replicas": 1, "storageClassName": storage_class},
        "tikv": {"storageClassName": storage_class},
        "disks": {"enabled": True, **impatient_disks(storage_class)},
        "failover": {"enabled": True},
        "cleanup": {"enabled": True},
    }


class Application:
    """An Argo CD Application of the chart in a git repository of its own; `push` is what a user does."""

    def __init__(self, kube: Kubectl, release: Release, folder: Path) -> None:
        self.kube = kube
        self.release = release
        self.folder = folder
        shutil.copytree(CHART, folder / "chart")
        self._git("init", "--quiet", "--initial-branch=main")

    def push(self, values: dict[str, Any]) -> str:
        text = yaml.safe_dump(merged(self.release.base, values))
        (self.folder / "chart" / "values-test.yaml").write_text(text)
        self._git("add", "--all")
        self._git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "values")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def create(self) -> None:
        self.kube.cluster.kubectl(
            "apply", "--server-side", "-f", "-", stdin=json.dumps(self._document())
        )

    def _document(self) -> Object:
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": self.kube.namespace, "namespace": argocd.NAMESPACE},
            "spec": {
                "project": "default",
                "source": {
                    "repoURL": f"file://{self.folder}",
                    "targetRevision": "main",
                    "path": "chart",
                    "helm": {"releaseName": NAME, "valueFiles": ["values-test.yaml"]},
                },
                "destination": {
                    "server": "https://kubernetes.default.svc",
                    "namespace": self.kube.namespace,
                },
                "syncPolicy": {
                    "automated": {"prune": True, "selfHeal": True},
                    "syncOptions": ["ServerSideApply=true"],
                },
            },
        }

    def delete(self) -> None:
        name = ("application", self.kube.namespace, "--ignore-not-found")
        self.kube.cluster.kubectl("-n", argocd.NAMESPACE, "delete", *name)
        # A hook of the sync that was under way keeps Argo CD's finalizer, and with it the namespace.
        for job in self.kube.all("jobs"):
            if job["metadata"].get("finalizers"):
                held, patch = job["metadata"]["name"], '-p={"metadata":{"finalizers":null}}'
                self.kube.run("patch", "job", held, "--type=merge", patch)

    def get(self) -> Object:
        text = self.kube.cluster.kubectl(
            "-n", argocd.NAMESPACE, "get", "application", self.kube.namespace, "-o", "json"
        )
        found: Object = json.loads(text)
        return found

    def refresh(self) -> None:
        """Compare with the cluster and with git now; the annotation goes when that is done."""
        self.kube.cluster.kubectl(
            *(
                "-n",
                argocd.NAMESPACE,
                "annotate",
                "--overwrite",
                "application",
                self.kube.namespace,
            ),
            "argocd.argoproj.io/refresh=hard",
        )

    def refreshed(self) -> bool:
        return "argocd.argoproj.io/refresh" not in (self.get()["metadata"].get("annotations") or {})

    def synced_and_healthy(self, revision: str) -> bool:
        status = self.get().get("status", {})
        return bool(
            status.get("sync", {}).get("status") == "Synced"
            and status["sync"].get("revision") == revision
            and status.get("health", {}).get("status") == "Healthy"
            and status.get("operationState", {}).get("phase") == "Succeeded"
        )

    def seen(self) -> str:
        status = self.get().get("status", {})
        out_of_sync = [
            f"{r['kind']}/{r['name']} {r.get('status')} {r.get('health', {}).get('status', '')}"
            for r in status.get("resources", [])
            if r.get("status") != "Synced"
            or r.get("health", {}).get("status", "Healthy") != "Healthy"
        ]
        return json.dumps(
            {
                "sync": status.get("sync", {}).get("status"),
                "health": status.get("health"),
                "operation": {
                    k: v
                    for k, v in status.get("operationState", {}).items()
                    if k in ("phase", "message")
                },
                "conditions": status.get("conditions"),
                "resources": out_of_sync,
            },
            indent=1,
        )

    def hooks_run(self) -> set[str]:
        """`phase kind/name` of the hooks that the last sync ran."""
        results = self.get()["status"]["operationState"]["syncResult"]["resources"]
        return {f"{r['hookType']} {r['kind']}/{r['name']}" for r in results if r.get("hookType")}


def shrink_refused(kube: Kubectl) -> bool:
    """Whether a scale check has said so; Argo CD tries a failed sync again, so its phase comes and goes."""
    jobs = [
        job["metadata"]["name"]
        for job in kube.all("jobs")
        if "scale-check" in job["metadata"]["name"]
    ]
    return any("tikv.replicas 4 -> 3 would stop shop-tikv-3" in log_of(kube, job) for job in jobs)


def log_of(kube: Kubectl, job: str) -> str:
    """A Job's log; empty while its container has not started."""
    try:
        return kube.run("logs", f"job/{job}")
    except ClusterError:
        return ""


@pytest.fixture
def application(fresh_disks: Cluster, kube: Kubectl, tmp_path: Path) -> Iterator[Application]:
    started = not set(argocd.PROCESSES) <= set(fresh_disks.memory.processes)
    if started:
        argocd.start(fresh_disks)
    made = Application(kube, Release(kube, tmp_path), tmp_path / "repo")
    yield made
    made.delete()
    forget_cluster_wide(kube)
    forget_volumes(kube)
    if started:
        argocd.stop(fresh_disks)


def test_argo_cd_syncs_the_whole_chart(application: Application, wait_for: WaitFor) -> None:
    kube, release = application.kube, application.release
    values = everything(f"disks-{kube.namespace}")
    first = application.push(values)
    application.create()
    wait_for(
        lambda: application.synced_and_healthy(first),
        SYNC_SECONDS,
        "Synced and Healthy",
        application.seen,
    )
    ran = application.hooks_run()
    assert any(hook.startswith("PreSync Job/shop-scale-check") for hook in ran), ran
    assert any(hook.startswith("PostSync Job/shop-disk-scan") for hook in ran), ran
    host, port = release.any_node_address(), release.node_port(f"{NAME}-tidb", "sql")
    wait_for(lambda: sql_answers(host, port), 60, "SQL answers", release.seen)

    # After every job has worked there is nothing to sync, and nobody syncs.
    cronjobs = [job["metadata"]["name"] for job in kube.all("cronjobs")]
    assert cronjobs
    for name in cronjobs:
        kube.run("create", "job", f"{name}-by-hand", f"--from=cronjob/{name}")
    wait_for(
        lambda: all(
            kube.get("job", f"{name}-by-hand").get("status", {}).get("conditions")
            for name in cronjobs
        ),
        120,
        "every job has run",
        release.seen,
    )
    finished = application.get()["status"]["operationState"]["finishedAt"]
    application.refresh()
    wait_for(application.refreshed, 60, "compared again", application.seen)
    assert application.synced_and_healthy(first), application.seen()
    assert application.get()["status"]["operationState"]["finishedAt"] == finished, (
        "somebody fought somebody"
    )

    # A changed value is synced without a conflict.
    second = application.push(merged(values, {"tikv": {"replicas": 4}}))
    application.refresh()
    wait_for(
        lambda: application.synced_and_healthy(second),
        SYNC_SECONDS,
        "the change synced",
        application.seen,
    )
    assert len(release.pods("tikv")) == 4

    # A change by hand is healed; the guard's annotation, which the chart does not render, is left alone.
    kube.run("annotate", "statefulset", f"{NAME}-tikv", "example.com/note=kept")
    kube.run("scale", "statefulset", f"{NAME}-tidb", "--replicas=2")
    wait_for(
        lambda: kube.get("statefulset", f"{NAME}-tidb")["spec"]["replicas"] == 1,
        60,
        "selfHeal set TiDB back",
        application.seen,
    )
    wait_for(
        lambda: application.synced_and_healthy(second),
        SYNC_SECONDS,
        "Synced again",
        application.seen,
    )
    assert (
        kube.get("statefulset", f"{NAME}-tikv")["metadata"]["annotations"]["example.com/note"]
        == "kept"
    )

    # Fewer stores are refused here too, in words, and nothing changes.
    application.push(values)
    application.refresh()
    wait_for(lambda: shrink_refused(kube), 120, "the shrink is refused", application.seen)
    assert kube.get("statefulset", f"{NAME}-tikv")["spec"]["replicas"] == 4


def test_a_render_applied_by_hand(
    cluster: Cluster, kube: Kubectl, tmp_path: Path, wait_for: WaitFor
) -> None:
    release = Release(kube, tmp_path)
    small = {
        "pd": {"replicas": 1, "config": {"replication": {"max-replicas": 1}}},
        "tikv": {"replicas": 1},
    }
    apply = ("apply", "--server-side", "-f", "-")
    with local_volumes(cluster, kube.namespace):
        kube.run(*apply, stdin=release.template(small, "--skip-tests"))
        host, port = release.any_node_address(), release.node_port(f"{NAME}-tidb", "sql")
        wait_for(lambda: sql_answers(host, port), 120, "SQL answers", release.seen)
        wait_for(lambda: release.ready(pd=1, tikv=1, tidb=1), 60, "all Ready", release.seen)

        # Again, after everything has run: no difference, no conflict.
        rendered = release.template(small, "--skip-tests")
        assert kube.run("diff", "--server-side", "-f", "-", stdin=rendered) == ""
        kube.run(*apply, stdin=rendered)

        # A change: the checking Job has another name, since a Job cannot be changed.
        kube.run(
            *apply, stdin=release.template(merged(small, {"tikv": {"replicas": 2}}), "--skip-tests")
        )
        wait_for(lambda: release.ready(tikv=2), 60, "a second store", release.seen)

        # Nobody ran a hook, and the shrink is refused all the same.
        back = release.template(small, "--skip-tests")
        assert "shop-tikv: replicas 2 -> 1 refused" in kube.refused(*apply, stdin=back)
        assert kube.get("statefulset", f"{NAME}-tikv")["spec"]["replicas"] == 2
        forget_cluster_wide(kube)
