"""Read the world into a snapshot: the folder, the other members, the record, the volume, the Node."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hooks.boot import record, volume
from hooks.boot.model import (
    Answer,
    Cluster,
    Folder,
    Listed,
    MemberSnapshot,
    ServerSnapshot,
    StoreSnapshot,
)
from hooks.boot.settings import LocationLabel, Settings
from hooks.engine import JobError
from hooks.kube import CLAIM, NODE, STATEFUL_SET, VOLUME, Client, View
from hooks.pd import Pd
from hooks.pd.errors import PdError, PdNoLeaderError
from hooks.pd.model import Members
from hooks.pd.transport import Http, Transport

HOSTNAME_LABEL = "kubernetes.io/hostname"


@dataclass(frozen=True)
class Self:
    """Who this pod is (the downward API's word), and where its release and its files are."""

    cluster: Cluster
    pod: str
    namespace: str
    uid: str
    node: str
    ip: str
    data: Path
    args_file: Path


def folder(data: Path) -> Folder:
    """A PD data folder. What is not PD's (lost+found, a disk agent's mark) does not count."""
    try:
        join_file, member = data / "join", data / "member"
        join = join_file.read_text().strip() if join_file.exists() else ""
        wal = member / "wal"
        has_wal = wal.is_dir() and any(wal.iterdir())
        leftovers = not has_wal and member.is_dir() and any(member.iterdir())
    except OSError as error:
        raise JobError(
            f"{data}: cannot be read ({error.strerror or error}); look at the disk under the pod's claim"
        ) from error
    return Folder(wal=has_wal, join=join, leftovers=leftovers and not join)


def written(path: Path) -> str | None:
    return path.read_text().strip() if path.exists() else None


@dataclass
class Observer:
    """Everything a pod can see. Requests to PD are asked once and not repeated: the next look is a new one."""

    me: Self
    settings: Settings
    client: Callable[[], Client]
    transport: Transport = field(default_factory=Http)
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._began = self.clock()

    def member(self) -> MemberSnapshot:
        me, cluster = self.me, self.me.cluster
        client = self.client()
        replicas = client.get(STATEFUL_SET, f"{cluster.release}-pd", me.namespace)["spec"][
            "replicas"
        ]
        known = record.read(client, me.namespace, cluster.release)
        peers = [cluster.member(ordinal) for ordinal in range(replicas)]
        peers += [name for name in (known.members if known else ()) if name not in peers]
        answers, leaderless = [], []
        for peer in peers:
            if peer == me.pod:
                continue
            try:
                answers.append(_answer(peer, self._pd(cluster.client_url(peer)).members()))
            except PdNoLeaderError:
                leaderless.append(peer)
            except PdError:
                # Not up, another program, a name that is not there: for this decision all of it is silence.
                continue
        return MemberSnapshot(
            cluster=cluster,
            me=me.pod,
            folder=folder(me.data),
            record=known,
            replicas=replicas,
            answers=tuple(answers),
            leaderless=tuple(leaderless),
            waited=timedelta(seconds=self.clock() - self._began),
            refuse_after=self.settings.refuse_after,
            dns_problem=dns_problem(cluster.host(me.pod), me.ip),
            volume_problem=self._volume_problem("pd", client),
            written=written(me.args_file),
        )

    def store(self) -> StoreSnapshot:
        me, client = self.me, self.client()
        cluster_id, silence = None, ""
        try:
            cluster_id = self._any_member().members().cluster_id
        except PdError as error:
            silence = str(error)
        return StoreSnapshot(
            me=me.pod,
            cluster_id=cluster_id,
            silence=silence,
            record=record.read(client, me.namespace, me.cluster.release),
            labels=labels(client.get(NODE, me.node), self.settings.location_labels),
            now=datetime.now(UTC),
            dns_problem=dns_problem(
                f"{me.pod}.{me.cluster.release}-tikv-peer{me.cluster.domain}", me.ip
            ),
            volume_problem=self._volume_problem("tikv", client),
            written=written(me.args_file),
        )

    def server(self) -> ServerSnapshot:
        # The client Service, unlike the peers', has ready members only: where TiDB itself is going to connect.
        url = f"http://{self.me.cluster.release}-pd{self.me.cluster.domain}:2379"
        try:
            return ServerSnapshot(self.me.pod, self._pd(url).is_bootstrapped(), "")
        except PdError as error:
            return ServerSnapshot(self.me.pod, None, str(error))

    def _pd(self, url: str) -> Pd:
        return Pd([url], transport=self.transport, patience_seconds=0)

    def _any_member(self) -> Pd:
        # The peers' Service: PD's leader is not ready, and in no other Service, before the first TiKV has started.
        return self._pd(f"http://{self.me.cluster.release}-pd-peer{self.me.cluster.domain}:2379")

    def _volume_problem(self, mount: str, client: Client) -> str:
        if self.settings.allow_network:
            return ""
        name = f"{mount}-{self.me.pod}"
        claim = client.get(CLAIM, name, self.me.namespace)
        bound = client.get(VOLUME, claim["spec"]["volumeName"])
        return volume.problem(name, bound, self.settings.local_provisioners)


def dns_problem(host: str, ip: str) -> str:
    """Why others cannot find this pod by its name yet, or "". An old address in DNS is as bad as none."""
    try:
        found = sorted({str(info[4][0]) for info in socket.getaddrinfo(host, None)})
    except OSError as error:
        return f"{host} has no address yet ({error.strerror or error})"
    return "" if ip in found else f"{host} is still {', '.join(found)}, this pod has {ip}"


def labels(node: View, wanted: tuple[LocationLabel, ...]) -> tuple[tuple[str, str], ...]:
    """The store labels that this Node gives, in the order of the values; one that the Node lacks is left out."""
    metadata = node["metadata"]
    found = {HOSTNAME_LABEL: metadata["name"], **(metadata.get("labels") or {})}
    return tuple(
        (label.name, found[label.node_label]) for label in wanted if found.get(label.node_label)
    )


def _answer(peer: str, members: Members) -> Answer:
    return Answer(
        peer=peer,
        cluster_id=members.cluster_id,
        members=tuple(
            Listed(m.id, m.name, m.peer_urls, started=bool(m.client_urls)) for m in members.members
        ),
    )
