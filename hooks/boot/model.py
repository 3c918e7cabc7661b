"""What boot sees and what it may do. Plain values: no file, no request, no clock behind them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hooks.engine import Action, Subject

PD_PORT = 2379
PD_PEER_PORT = 2380


@dataclass(frozen=True)
class Cluster:
    """Where the members are: `<release>-pd-<ordinal>.<release>-pd-peer<domain>`, domain ".shop.svc"."""

    release: str
    domain: str

    def member(self, ordinal: int) -> str:
        return f"{self.release}-pd-{ordinal}"

    def host(self, member: str) -> str:
        return f"{member}.{self.release}-pd-peer{self.domain}"

    def client_url(self, member: str) -> str:
        return f"http://{self.host(member)}:{PD_PORT}"

    def peer_url(self, member: str) -> str:
        return f"http://{self.host(member)}:{PD_PEER_PORT}"


@dataclass(frozen=True)
class Record:
    """ConfigMap `<release>-cluster`: all that must be known when every disk is lost. Never rendered, kept on uninstall.

    `members`: who forms the cluster at its first start, written before any of them starts.
    `cluster_id`: PD's, written before the first TiKV starts; so while it is None, nothing was ever stored.
    `rebootstrap`: a cluster id that a person wrote to allow a new PD for this cluster (pd-recover); taken away when it
    was used. `version` is the ConfigMap's resourceVersion.
    """

    members: tuple[str, ...]
    cluster_id: int | None = None
    since: datetime | None = None
    rebootstrap: int | None = None
    version: str = ""

    @property
    def may_rebootstrap(self) -> bool:
        """The person named the very cluster that is lost, and not another one."""
        return self.cluster_id is not None and self.rebootstrap == self.cluster_id


@dataclass(frozen=True)
class Folder:
    """A PD data folder. `wal`: etcd's log has entries. `join`: what PD wrote when it was let in, "" when it never was.
    `leftovers`: there is something of PD's, yet neither.
    """

    wal: bool = False
    join: str = ""
    leftovers: bool = False

    @property
    def empty(self) -> bool:
        return not (self.wal or self.join or self.leftovers)


@dataclass(frozen=True)
class Listed:
    """One member in a peer's list. `name` is "" for one that was let in and never came up; `started`: it has published
    its client address, so it ran at least once.
    """

    id: int
    name: str
    peer_urls: tuple[str, ...]
    started: bool


@dataclass(frozen=True)
class Answer:
    """GET /members of one peer; PD answers it with a leader only."""

    peer: str
    cluster_id: int
    members: tuple[Listed, ...]


@dataclass(frozen=True)
class MemberSnapshot:
    """What a PD pod sees.

    `peers` are the other members that should be there; `leaderless` of them answer, without a leader. `waited`: since
    this process began to look. `dns_problem`, `volume_problem`: a sentence, or "". `written`: what the args file holds,
    None when there is none.
    """

    cluster: Cluster
    me: str
    folder: Folder
    record: Record | None
    replicas: int
    answers: tuple[Answer, ...]
    leaderless: tuple[str, ...]
    waited: timedelta
    refuse_after: timedelta
    dns_problem: str = ""
    volume_problem: str = ""
    written: str | None = None

    @property
    def peers(self) -> tuple[str, ...]:
        names = (self.cluster.member(ordinal) for ordinal in range(self.replicas))
        return tuple(name for name in names if name != self.me)


@dataclass(frozen=True)
class StoreSnapshot:
    """What a TiKV pod sees. `cluster_id`: the PD's that answers, None while none does; `silence`: why none does.
    `labels`: store label → value, from the Node. `now` dates a record that is written.
    """

    me: str
    cluster_id: int | None
    silence: str
    record: Record | None
    labels: tuple[tuple[str, str], ...]
    now: datetime
    dns_problem: str = ""
    volume_problem: str = ""
    written: str | None = None


@dataclass(frozen=True)
class ServerSnapshot:
    """What a TiDB pod sees: whether PD says that a first store is there, and why it says nothing."""

    me: str
    bootstrapped: bool | None
    silence: str


@dataclass(frozen=True, kw_only=True)
class WriteArgs(Action):
    """Let the main container start, with these arguments ("" is a plain start)."""

    args: str


@dataclass(frozen=True, kw_only=True)
class WriteRecord(Action):
    """Make the record `now` what it should be; `before` is what it was decided on."""

    before: Record | None
    now: Record


def start(pod: str, args: str, why: str) -> WriteArgs:
    does = f"start with {args}" if args else "start with its data"
    return WriteArgs(code="start", subject=Subject("Pod", pod), does=does, why=why, args=args)
