"""Kubernetes Events (events.k8s.io/v1): what a job did or refused, on the object it concerns.

An Event's name follows from what it says, so that the same sentence on the same object is one Event as long as the
server keeps it (an hour by default), however often a job says it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from hooks.kube.client import Client
from hooks.kube.errors import AlreadyExistsError
from hooks.kube.kinds import EVENT, Obj

# events.k8s.io validates both lengths.
_NOTE_MAX = 1024
_REASON_MAX = 128


@dataclass(frozen=True)
class Regarding:
    """The object an Event is about. For cluster-scoped ones the namespace is empty, and the Event lives in
    `default`.
    """

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""


@dataclass(frozen=True)
class Recorder:
    client: Client
    # `reportingController`, such as helm-tidb.io/failover, and the pod that speaks.
    controller: str
    instance: str

    def record(
        self,
        regarding: Regarding,
        *,
        reason: str,
        note: str,
        action: str,
        type_: Literal["Normal", "Warning"] = "Normal",
    ) -> None:
        """Reasons and actions are CamelCase words; a note that is too long is cut. KubeError as for every create."""
        said = "\0".join(
            (regarding.kind, regarding.namespace, regarding.name, regarding.uid, reason, note)
        )
        digest = hashlib.sha256(said.encode()).hexdigest()[:16]
        event: Obj = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {
                "namespace": regarding.namespace or "default",
                "name": f"{regarding.name[:230]}.{digest}",
            },
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": self.controller,
            "reportingInstance": self.instance[:128] or "unknown",
            "action": action[:_REASON_MAX],
            "reason": reason[:_REASON_MAX],
            "note": note if len(note) <= _NOTE_MAX else note[: _NOTE_MAX - 1] + "…",
            "type": type_,
            "regarding": {
                "apiVersion": regarding.api_version,
                "kind": regarding.kind,
                "name": regarding.name,
                **({"namespace": regarding.namespace} if regarding.namespace else {}),
                **({"uid": regarding.uid} if regarding.uid else {}),
            },
        }
        try:
            self.client.create(event)
        except AlreadyExistsError:
            return
