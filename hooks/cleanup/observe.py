"""Read the world for cleanup: the release's claims, pods and volumes, and PD where it answers as the recorded
cluster.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hooks import kube, pd
from hooks.boot import record
from hooks.cleanup.model import Claim, FinishedPod, LostVolume, Released, Snapshot
from hooks.engine import JobError
from hooks.failover import journal, objects
from hooks.failover.model import Component
from hooks.failover.objects import Names
from hooks.pd import Store
from schema import names

UNUSED_SINCE = f"{names.GROUP}/unused-since"
LOST_SINCE = f"{names.GROUP}/lost-since"
ORDINAL = re.compile(r".*-(\d+)$")


@dataclass
class Observer:
    """`volumes`: this release manages disks, so it also looks after TidbVolumes."""

    client: kube.Client
    pd_of: Callable[[Iterable[str]], pd.Pd]
    names: Names
    lease: str
    volumes_after: timedelta
    volumes: bool = False
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _pd_client: pd.Pd | None = None

    @property
    def pd(self) -> pd.Pd:
        if self._pd_client is None:
            raise JobError("PD is asked before the StatefulSets were read; this is a defect")
        return self._pd_client

    def look(self) -> Snapshot:
        """JobError for objects that make no sense, KubeError for the API server; PD's silence is part of the
        snapshot.
        """
        sets = objects.stateful_sets(self.client, self.names)
        replicas = {component: one.replicas for component, one in sets.items()}
        stores, members, evicting, known = self._ask_pd(replicas[Component.PD])
        claims = objects.claims(self.client, self.names)
        pods = self.client.list(
            kube.POD,
            self.names.namespace,
            labels=f"app.kubernetes.io/instance={self.names.release}",
        )
        lost = self._lost()
        gone = {
            v.name for v in lost if v.lost_since and self.now() - v.lost_since >= self.volumes_after
        }
        released, uids = self._volumes(gone)
        return Snapshot(
            now=self.now(),
            release=self.names.release,
            namespace=self.names.namespace,
            replicas=replicas,
            claims=self._claims(claims, pods),
            pd_known=known,
            stores=stores,
            members=members,
            evicting=evicting,
            evicted_by=self._evicted_by(),
            lease_holder=self._lease_holder(),
            claim_of=self._claim_of(stores),
            released=released,
            volume_uids=uids,
            entries=journal.read(self.client, self.names.namespace),
            lost=lost,
            finished=tuple(one for obj in pods if (one := finished(obj)) is not None),
        )

    def _ask_pd(
        self, replicas: int
    ) -> tuple[tuple[Store, ...], frozenset[str], frozenset[int], bool]:
        known = record.read(self.client, self.names.namespace, self.names.release)
        if self._pd_client is None:
            self._pd_client = self.pd_of(self.names.pd_urls(replicas))
        client = self._pd_client
        try:
            members = client.members()
            stores = client.stores()
            evicting = client.evicting_stores()
        except (pd.PdUnreachableError, pd.PdNoLeaderError, pd.PdNotBootstrappedError):
            return (), frozenset(), frozenset(), False
        if known is None or known.cluster_id != members.cluster_id:
            return (), frozenset(), frozenset(), False
        # A nameless member is one of ours that is joining: its claim is not unused.
        listed = {m.name for m in members.members} | {
            url.split("//")[-1].partition(".")[0] for m in members.members for url in m.peer_urls
        }
        return stores, frozenset(listed), evicting, True

    def _claims(self, found: dict[str, kube.Obj], pods: list[kube.Obj]) -> tuple[Claim, ...]:
        users = {
            str(volume["persistentVolumeClaim"]["claimName"]): kube.name(pod)
            for pod in pods
            for volume in pod["spec"].get("volumes") or []
            if "persistentVolumeClaim" in volume
        }
        some = []
        for name, obj in sorted(found.items()):
            match = ORDINAL.match(name)
            component = Component(obj["metadata"]["labels"]["app.kubernetes.io/component"])
            if match is None or name != self.names.claim(component, int(match[1])):
                continue  # not of the StatefulSet: somebody else's claim with our labels
            meta = obj["metadata"]
            since = (meta.get("annotations") or {}).get(UNUSED_SINCE)
            some.append(
                Claim(
                    component=component,
                    ordinal=int(match[1]),
                    name=name,
                    uid=kube.uid(obj),
                    pod=self.names.pod(component, int(match[1])),
                    address=self.names.address(int(match[1]))
                    if component is Component.TIKV
                    else "",
                    volume=str(obj["spec"].get("volumeName") or ""),
                    deleting="deletionTimestamp" in meta,
                    used_by=users.get(name, ""),
                    unused_since=objects.instant(since, f"claim {name}") if since else None,
                )
            )
        return tuple(some)

    def _claim_of(self, stores: Iterable[Store]) -> dict[str, str]:
        found = {}
        for store in stores:
            match = ORDINAL.match(store.address.partition(".")[0])
            if match is not None and store.address == self.names.address(int(match[1])):
                found[store.address] = self.names.claim(Component.TIKV, int(match[1]))
        return found

    def _volumes(self, gone: set[str]) -> tuple[tuple[Released, ...], frozenset[str]]:
        """Released volumes of this namespace, and the UIDs of all. Of a Node that was deleted for long: `gone`."""
        released, uids = [], set()
        for page in self.client.pages(kube.VOLUME):
            for obj in page.items:
                uids.add(kube.uid(obj))
                of = obj["spec"].get("claimRef") or {}
                ours = of.get("namespace") == self.names.namespace
                if ours and (obj.get("status") or {}).get("phase") in ("Released", "Failed"):
                    disk = (obj["metadata"].get("labels") or {}).get(names.VOLUME_LABEL, "")
                    released.append(Released(kube.name(obj), str(of.get("name")), disk in gone))
        return tuple(sorted(released, key=lambda one: one.name)), frozenset(uids)

    def _lost(self) -> tuple[LostVolume, ...]:
        if not self.volumes:
            return ()
        found = []
        for page in self.client.pages(kube.TIDB_VOLUME):
            for obj in page.items:
                status = obj.get("status") or {}
                since = (obj["metadata"].get("annotations") or {}).get(LOST_SINCE)
                if status.get("phase") == "Lost" or since:
                    found.append(
                        LostVolume(
                            name=kube.name(obj),
                            uid=kube.uid(obj),
                            phase=str(status.get("phase", "")),
                            node=str(status.get("node", "")),
                            lost_since=objects.instant(since, f"TidbVolume {kube.name(obj)}")
                            if since
                            else None,
                        )
                    )
        return tuple(found)

    def _evicted_by(self) -> dict[int, str]:
        """Who noted an evict-leader scheduler as its own, in ConfigMap `<release>-evictions`: store id → the
        Lease's holder.
        """
        found = self.client.find(kube.CONFIG_MAP, self.names.evictions, self.names.namespace)
        data = (found or {}).get("data") or {}
        return {int(key): str(value) for key, value in data.items() if key.isdecimal()}

    def _lease_holder(self) -> str:
        """Whoever works now; also one that died less than a Lease's length ago, whose time is not up."""
        found = self.client.find(kube.LEASE, self.lease, self.names.namespace)
        spec = (found or {}).get("spec") or {}
        if not spec.get("renewTime") or not spec.get("holderIdentity"):
            return ""
        renewed = objects.instant(spec["renewTime"], f"Lease {self.lease}")
        lasts = timedelta(seconds=2 * float(spec.get("leaseDurationSeconds") or 15))
        return str(spec["holderIdentity"]) if self.now() - renewed < lasts else ""


def finished(obj: kube.View) -> FinishedPod | None:
    """A Job's pod that has ended, by the last of its containers; None for any other."""
    status, meta = obj.get("status") or {}, obj["metadata"]
    owners = meta.get("ownerReferences") or []
    if status.get("phase") not in ("Succeeded", "Failed") or not any(
        o.get("kind") == "Job" for o in owners
    ):
        return None
    ends = [
        state["terminated"]["finishedAt"]
        for one in status.get("containerStatuses") or []
        if "finishedAt" in ((state := one.get("state") or {}).get("terminated") or {})
    ]
    end = max(ends, default=meta.get("creationTimestamp"))
    name = kube.name(obj)
    return FinishedPod(
        name, kube.uid(obj), str(status["phase"]), objects.instant(end, f"Pod {name}")
    )
