"""The one door to the Kubernetes API: the only package that may import a Kubernetes transport.

    from hooks import kube
    client = kube.Client.connect("failover")
    claim = client.get(kube.CLAIM, "tikv-shop-tikv-2", "shop")
    client.delete(kube.CLAIM, kube.name(claim), kube.namespace(claim), uid=kube.uid(claim))

Objects are plain dicts. errors.py says what can go wrong, client.py who tries again, watch.py how to follow a kind,
lease.py how to be the only one, events.py how to tell users.
"""

from hooks.kube.client import Client, Clocks, Page
from hooks.kube.errors import (
    AlreadyExistsError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeError,
    NotFoundError,
    RetryableError,
    UnauthorizedError,
    UnknownOutcomeError,
)
from hooks.kube.events import Recorder, Regarding
from hooks.kube.kinds import (
    CLAIM,
    CONFIG_MAP,
    CRD,
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    EVENT,
    JOB,
    LEASE,
    NAMESPACE,
    NODE,
    POD,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    STORAGE_CLASS,
    TIDB_VOLUME,
    VOLUME,
    Kind,
    Obj,
    View,
    kind_of,
    name,
    namespace,
    uid,
    version,
)
from hooks.kube.lease import DURATION_SECONDS as LEASE_SECONDS
from hooks.kube.lease import HeldError, Lease, acquire, hold
from hooks.kube.watch import Follower, Key, Sink

__all__ = [
    "CLAIM",
    "CONFIG_MAP",
    "CRD",
    "CRON_JOB",
    "DAEMON_SET",
    "DEPLOYMENT",
    "EVENT",
    "JOB",
    "LEASE",
    "LEASE_SECONDS",
    "NAMESPACE",
    "NODE",
    "POD",
    "SECRET",
    "SERVICE",
    "STATEFUL_SET",
    "STORAGE_CLASS",
    "TIDB_VOLUME",
    "VOLUME",
    "AlreadyExistsError",
    "Client",
    "Clocks",
    "ConfigurationError",
    "ConflictError",
    "Follower",
    "ForbiddenError",
    "GoneError",
    "HeldError",
    "InvalidError",
    "Key",
    "Kind",
    "KubeError",
    "Lease",
    "NotFoundError",
    "Obj",
    "Page",
    "Recorder",
    "Regarding",
    "RetryableError",
    "Sink",
    "UnauthorizedError",
    "UnknownOutcomeError",
    "View",
    "acquire",
    "hold",
    "kind_of",
    "name",
    "namespace",
    "uid",
    "version",
]
