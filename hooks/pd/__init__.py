"""The one door to PD's HTTP API.

    pd = Pd(["http://basic-pd-0.basic-pd-peer.db.svc:2379", ...])
    members = pd.members()        # Members(cluster_id, members, leader, etcd_leader)
    pd.health(); pd.leader(); pd.cluster_id(); pd.is_bootstrapped(); pd.stores()

`Pd([one_url], patience_seconds=0)` asks one member once. `Http(Tls(ca, certificate, key))` is the transport
for TLS.
"""

from hooks.pd.asking import Clock
from hooks.pd.client import Pd, require_cluster
from hooks.pd.errors import (
    PdAnswerError,
    PdError,
    PdNoLeaderError,
    PdNotBootstrappedError,
    PdNotFoundError,
    PdOtherClusterError,
    PdRefusedError,
    PdRetiredError,
    PdTakenError,
    PdUnhealthyError,
    PdUnreachableError,
)
from hooks.pd.model import (
    Maintenance,
    Member,
    MemberHealth,
    Members,
    Peer,
    Progress,
    Region,
    Replication,
    Store,
    StoreState,
)
from hooks.pd.transport import Http, Request, Response, Tls, Transport, TransportError

__all__ = [
    "Clock",
    "Http",
    "Maintenance",
    "Member",
    "MemberHealth",
    "Members",
    "Pd",
    "PdAnswerError",
    "PdError",
    "PdNoLeaderError",
    "PdNotBootstrappedError",
    "PdNotFoundError",
    "PdOtherClusterError",
    "PdRefusedError",
    "PdRetiredError",
    "PdTakenError",
    "PdUnhealthyError",
    "PdUnreachableError",
    "Peer",
    "Progress",
    "Region",
    "Replication",
    "Request",
    "Response",
    "Store",
    "StoreState",
    "Tls",
    "Transport",
    "TransportError",
    "require_cluster",
]
