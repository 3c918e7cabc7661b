"""A database on the disks of the test cluster, with the chart's own disk agents, volume controller and failover.

`Database` is what the failover tests look through: what PD calls its stores and members, which disk is where,
and the writes that go on all the time. Rows are counted by tests/clients.py: what was acknowledged
must be there at the end.
"""

from __future__ import annotations

import json
import time
import types
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
from pymysql.cursors import Cursor

from ci.cluster import Cluster, ClusterError, faults
from schema import names
from tests.clients import Ledger, writing
from tests.cluster.conftest import WaitFor
from tests.cluster.kube import Kubectl, Object
from tests.cluster.release import (
    CHART,
    NAME,
    Release,
    Values,
    forget_volumes,
    impatient_disks,
    merged,
)

# Never by itself: the tests run it as `kubectl create job --from=cronjob/…` does, but where they measure the
# CronJob.
NEVER = "0 0 1 1 *"
AFTER = 15.0


def values(storage_class: str, **failover: Any) -> dict[str, Any]:
    """Impatient, so that a test need not wait half an hour for a loss to count."""
    return {
        "pd": {"storageClassName": storage_class},
        "tikv": {"storageClassName": storage_class},
        # Two, so that one answers whichever node is lost.
        "tidb": {"replicas": 2},
        "disks": {"enabled": True, **impatient_disks(storage_class)},
        "failover": {
            "enabled": True,
            "schedule": NEVER,
            "maxPerDay": 100,
            "tikv": {"after": f"{AFTER:.0f}s"},
            "pd": {"after": f"{AFTER:.0f}s"},
        }
        | failover,
        "cleanup": {"enabled": False},
    }


class Database:
    """One release and the cluster below it."""

    wait_for: WaitFor

    def __init__(self, cluster: Cluster, release: Release) -> None:
        self.cluster = cluster
        self.release = release
        self.kube: Kubectl = release.kube
        self._runs = 0

    # --- What PD says -----------------------------------------------------------------------------

    def pd(self, path: str, body: Any = None, method: str = "") -> Any:
        """PD's answer, from whichever of its pods answers; None while none does. With a body it is a POST."""
        data = None if body is None else json.dumps(body).encode()
        for pod in self.release.pods("pd"):
            url = f"http://{pod['status']['podIP']}:2379{path}"
            asked = urllib.request.Request(url, data, method=method or None)
            try:
                with urllib.request.urlopen(asked, timeout=5) as answer:
                    return json.load(answer)
            except (OSError, ValueError):
                continue
        return None

    def listed(self) -> list[Object]:
        """PD's stores, without Tombstones; with those whose regions it is still moving away."""
        found = (self.pd("/pd/api/v1/stores") or {}).get("stores") or []
        return [one["store"] for one in found]

    def stores(self) -> dict[str, Object]:
        """Pod name → PD's live store at its address."""
        return {pod_at(one): one for one in self.listed() if not one.get("physically_destroyed")}

    def members(self) -> dict[str, int]:
        """Name → id of the members that PD calls healthy."""
        found = self.pd("/pd/api/v1/health") or []
        return {one["name"]: one["member_id"] for one in found if one["health"]}

    def regions(self, check: str) -> int:
        found = self.pd(f"/pd/api/v1/regions/check/{check}")
        return -1 if found is None else int(found["count"])

    def well(self) -> bool:
        """Three stores Up and no other, three members healthy, every region whole, every pod Ready."""
        stores = self.listed()
        # Replicas move as fast as they can, also to a store that is new: the default is 15 a minute.
        self.pd("/pd/api/v1/stores/limit", {"rate": 2000})
        return (
            sorted(map(pod_at, stores)) == [f"{NAME}-tikv-{i}" for i in range(3)]
            and all(store["state_name"] == "Up" for store in stores)
            and len(self.members()) == 3
            and all(
                self.regions(check) == 0
                for check in ("miss-peer", "down-peer", "pending-peer", "learner-peer")
            )
            and self.release.ready(pd=3, tikv=3)
            and bool(self.release.pods("tidb"))
        )

    # --- Disks and nodes --------------------------------------------------------------------------

    def node_of(self, pod: str) -> str:
        return str(self.kube.get("pod", pod)["spec"]["nodeName"])

    def disk_of(self, claim: str) -> Object:
        """The TidbVolume that the claim is bound to."""
        volume = self.kube.get("pv", self.kube.get("pvc", claim)["spec"]["volumeName"])
        return self.kube.get("tidbvolume", volume["metadata"]["labels"][names.VOLUME_LABEL])

    def slot_of(self, claim: str) -> str:
        """The slot of the claim's disk: `d0`."""
        return str(self.disk_of(claim)["status"]["path"]).rpartition("/")[2]

    def phase(self, disk: str) -> str:
        return str(self.kube.get("tidbvolume", disk).get("status", {}).get("phase", ""))

    def spare_node(self) -> str:
        """The node without a TiKV pod."""
        busy = {self.node_of(f"{NAME}-tikv-{i}") for i in range(3)}
        (spare,) = set(self.cluster.nodes) - busy
        return spare

    def ready(self, node: str) -> bool:
        found = self.kube.find("node", node)
        return found is not None and any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in found["status"].get("conditions", [])
        )

    def await_not_ready(self, node: str) -> None:
        self.wait_for(lambda: not self.ready(node), 30, f"{node} NotReady", self.seen)

    # --- The job ----------------------------------------------------------------------------------

    def run_failover(self, *more: str) -> str:
        return self.run_job("failover", *more)

    def run_job(self, job: str, *more: str) -> str:
        """As `kubectl create job --from=cronjob/…`; returns its log when it has ended, "" when its pod was evicted."""
        self._runs += 1
        name = f"run-{self._runs}-{int(time.time())}"
        self.start_job(name, job, *more)
        # It waits for a Lease that a dead run holds, watches PD for 15 s, and then for what it was told with --wait.
        self.wait_for(lambda: self.ended(name), 300, f"Job {name} ended", self.seen)
        return self.log_so_far(name)

    def start_job(self, name: str, job: str, *more: str) -> None:
        made = json.loads(
            self.kube.run(
                "create",
                "job",
                name,
                f"--from=cronjob/{NAME}-{job}",
                "--dry-run=client",
                "-o",
                "json",
            )
        )
        made["spec"]["template"]["spec"]["containers"][0]["args"] += more
        self.kube.run("create", "-f", "-", stdin=json.dumps(made))

    def ended(self, name: str) -> bool:
        status = self.kube.get("job", name).get("status", {})
        return any(
            c["type"] in ("Complete", "Failed") and c["status"] == "True"
            for c in status.get("conditions", [])
        )

    def log(self, job: str) -> str:
        return self.kube.run("logs", f"job/{job}")

    def log_so_far(self, job: str) -> str:
        """What the Job has said; "" while its container has not started, or when it is no more."""
        try:
            return self.log(job)
        except ClusterError:
            return ""

    def heal(self, within: float = 400) -> list[str]:
        """Once the damage shows, run failover again and again until all is well; the logs of the runs."""
        logs: list[str] = []
        self.wait_for(lambda: not self.well(), 60, "the damage to show", self.seen)
        deadline = time.monotonic() + within
        while not self.well():
            assert time.monotonic() < deadline, (
                f"not well in {within:.0f} s:\n" + "\n".join(logs[-3:]) + self.seen()
            )
            logs.append(self.run_failover("--wait=30s"))
        return logs

    def seen(self) -> str:
        try:
            return (
                self.release.seen()
                + self.kube.run("get", "tidbvolumes")
                + json.dumps({name: store["state_name"] for name, store in self.stores().items()})
            )
        except ClusterError as error:
            return str(error)

    # --- Rows -------------------------------------------------------------------------------------

    def sql(self) -> Cursor:
        """A connection to TiDB through a node that is up."""
        port = self.release.node_port(f"{NAME}-tidb", "sql")
        node = self.node_of(self.release.pods("tidb")[0]["metadata"]["name"])
        addresses = self.kube.get("node", node)["status"]["addresses"]
        host = next(a["address"] for a in addresses if a["type"] == "InternalIP")
        return pymysql.connect(
            host=host, port=port, user="root", autocommit=True, connect_timeout=5, read_timeout=40
        ).cursor()

    def rows(self) -> dict[str, str]:
        cursor = self.sql()
        cursor.execute("SELECT k, v FROM kv")
        return {str(k): str(v) for k, v in cursor.fetchall()}

    @contextmanager
    def written(self) -> Iterator[Ledger]:
        """Write all the time; at the end nothing acknowledged is lost, no region either, and the replicas are
        as they were.
        """
        replicas = self.replicas()

        def connect() -> Cursor:
            try:
                return self.sql()
            except (IndexError, ClusterError, OSError) as error:
                raise pymysql.MySQLError(str(error)) from error

        with writing(connect, writers=2) as ledger:
            self.wait_for(lambda: ledger.count > 20, 60, "the first acknowledged rows", self.seen)
            yield ledger
            after = ledger.count
            self.wait_for(
                lambda: ledger.count > after, 60, "rows acknowledged at the end", self.seen
            )
        assert self.pd("/standin/v1/lost") == [], "a region is lost for ever"
        missing = ledger.missing(self.rows())
        assert not missing, f"{len(missing)} acknowledged rows are missing: {missing[:5]}"
        assert self.replicas() == replicas

    def replicas(self) -> dict[str, int]:
        return {s["metadata"]["name"]: s["spec"]["replicas"] for s in self.kube.all("statefulsets")}


def pod_at(store: Object) -> str:
    """The name of the pod at a store's address."""
    return str(store["address"]).partition(".")[0]


@contextmanager
def deployed(
    cluster: Cluster, folder: Path, storage_class: str, also: Values = types.MappingProxyType({})
) -> Iterator[Database]:
    """A release on new, empty disks, in a namespace of its own; afterwards nothing of it is left."""
    faults.renew_disks(cluster)
    kube = Kubectl(cluster, f"{storage_class}-{int(time.time())}")
    kube.run("create", "namespace", kube.namespace)
    # The disk agent has its host's folders, which only a privileged namespace may.
    kube.run("label", "namespace", kube.namespace, "pod-security.kubernetes.io/enforce=privileged")
    release = Release(kube, folder)
    release.base = merged(merged(release.base, values(storage_class)), also)
    # The CRD may be there from another release: the chart keeps it.
    release.helm("install", NAME, str(CHART), "--take-ownership", values={})
    yield Database(cluster, release)
    faults.mend(cluster)
    forget_volumes(kube)
    release.helm("uninstall", NAME, "--ignore-not-found", "--no-hooks")
    kube.run("delete", "namespace", kube.namespace, "--wait=false")
