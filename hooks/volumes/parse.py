"""From the API server's objects to the model: only what decisions look at is kept."""

from __future__ import annotations

import re
from typing import Any

from hooks.kube.kinds import Obj, name, namespace, uid, version
from hooks.volumes.builders import MANAGER_LABEL
from hooks.volumes.model import Claim, ClaimRef, Grant, Node, Pv, Volume
from schema import names


def volume(obj: Obj) -> Volume:
    meta = obj["metadata"]
    spec = obj.get("spec") or {}
    wipe = spec.get("wipe")
    return Volume(
        name=name(obj),
        uid=uid(obj),
        version=version(obj),
        identity=str(spec.get("identity", "")),
        generation=int(spec.get("generation", 1)),
        deleting="deletionTimestamp" in meta,
        finalizer=names.FINALIZER in (meta.get("finalizers") or ()),
        manager=str((meta.get("labels") or {}).get(MANAGER_LABEL, "")),
        word=str((meta.get("annotations") or {}).get(names.WIPE_ANNOTATION, "")),
        grant=_grant(wipe) if isinstance(wipe, dict) else None,
        status=obj.get("status") or {},
    )


def _grant(wipe: dict[str, Any]) -> Grant:
    return Grant(
        generation=int(wipe["generation"]),
        pv_uid=str(wipe["pvUID"]),
        cause=str(wipe["cause"]),
        foreign=str(wipe["foreign"]),
        owner=str(wipe.get("owner", "")),
    )


def pv(obj: Obj) -> Pv:
    """A PV that carries the label helm-tidb.io/volume; its generation is in its name too, which nobody can edit."""
    meta = obj["metadata"]
    spec = obj.get("spec") or {}
    ref = spec.get("claimRef")
    return Pv(
        name=name(obj),
        uid=uid(obj),
        version=version(obj),
        generation=generation(name(obj)),
        phase=str((obj.get("status") or {}).get("phase", "Pending")),
        deleting="deletionTimestamp" in meta,
        finalizer=names.FINALIZER in (meta.get("finalizers") or ()),
        claim=None
        if not ref
        else ClaimRef(
            str(ref.get("namespace", "")), str(ref.get("name", "")), str(ref.get("uid", ""))
        ),
        path=str((spec.get("local") or {}).get("path", "")),
        hostname=_hostname(spec),
        storage_class=str(spec.get("storageClassName", "")),
        identity=str((meta.get("annotations") or {}).get(names.IDENTITY_ANNOTATION, "")),
    )


_PV_NAME = re.compile(r"(tv-[0-9a-f]{16})-g([1-9][0-9]*)")


def generation(pv_name: str) -> int:
    """3 of `tv-3f9a1c22b7d04e51-g3`; 0 for a PV that carries our label but not our kind of name."""
    match = _PV_NAME.fullmatch(pv_name)
    return int(match.group(2)) if match else 0


def volume_of(pv_name: str) -> str:
    """The TidbVolume of a PV by its name; "" for other PVs."""
    match = _PV_NAME.fullmatch(pv_name)
    return match.group(1) if match else ""


def _hostname(spec: Obj) -> str:
    terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or []
    for term in terms:
        for expression in term.get("matchExpressions") or []:
            if expression.get("key") == "kubernetes.io/hostname" and expression.get("values"):
                return str(expression["values"][0])
    return ""


def node(obj: Obj) -> Node:
    labels = obj["metadata"].get("labels") or {}
    return Node(name(obj), uid(obj), str(labels.get("kubernetes.io/hostname", "")))


_ORDINAL = re.compile(r".*-(\d+)")


def claim(obj: Obj) -> tuple[Claim, str]:
    """The claim and the name of the PV it is bound to ("" for none).

    A StatefulSet names claims `<template>-<set>-<ordinal>`, and copies its selector's labels onto them.
    """
    labels = obj["metadata"].get("labels") or {}
    match = _ORDINAL.fullmatch(name(obj))
    found = Claim(
        namespace=namespace(obj),
        name=name(obj),
        uid=uid(obj),
        component=str(labels.get("app.kubernetes.io/component", "")),
        ordinal=int(match.group(1)) if match else None,
    )
    return found, str((obj.get("spec") or {}).get("volumeName", ""))
