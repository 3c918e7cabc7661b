"""One action of a volume's plan: read again, compare, write with preconditions.

A mismatch is `Outcome.STALE`: no error, the next look decides. After each write the answer is told to the world, so
that the next decision doesn't wait for the watch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hooks.engine import JobError, Outcome
from hooks.kube import (
    CLAIM,
    CONFIG_MAP,
    TIDB_VOLUME,
    VOLUME,
    AlreadyExistsError,
    Client,
    ConflictError,
    Kind,
    NotFoundError,
    Obj,
    name,
    uid,
    version,
)
from hooks.volumes import builders, inventory, parse
from hooks.volumes.actions import (
    CreatePv,
    CreateVolume,
    DeletePv,
    FreePv,
    FreeVolume,
    GiveWipe,
    NextGeneration,
    RefuseWord,
    RevokeWipe,
    VolumeAction,
    WriteRequests,
    WriteStatus,
)
from hooks.volumes.model import ClaimRef, Finished, Grant, Policy, Pv
from hooks.volumes.world import World
from schema import names


class Applier:
    """Safe to share between threads."""

    def __init__(self, client: Client, world: World, policy: Policy, namespace: str) -> None:
        self._client = client
        self._world = world
        self._policy = policy
        self._namespace = namespace
        self._table: dict[type[VolumeAction], Callable[[Any], Outcome]] = {
            CreateVolume: self._create_volume,
            CreatePv: self._create_pv,
            DeletePv: self._delete_pv,
            FreePv: self._free_pv,
            NextGeneration: self._next_generation,
            GiveWipe: self._give_wipe,
            RevokeWipe: self._revoke_wipe,
            RefuseWord: self._refuse_word,
            FreeVolume: self._free_volume,
            WriteStatus: self._write_status,
            WriteRequests: self._write_requests,
        }

    def apply(self, action: VolumeAction) -> Outcome:
        try:
            return self._table[type(action)](action)
        except ConflictError:
            return Outcome.STALE
        except NotFoundError:
            self._forget(action)
            return Outcome.STALE

    def _forget(self, action: VolumeAction) -> None:
        """What the step was about is not there: the world may not have been told, and would plan it again for ever."""
        match action:
            case DeletePv() | FreePv():
                self._world.pv_gone(action.pv, action.pv_uid)
            case WriteRequests():
                self._world.exchange_gone(names.REQUESTS_PREFIX + action.node)
            case (
                NextGeneration()
                | GiveWipe()
                | RevokeWipe()
                | RefuseWord()
                | FreeVolume()
                | WriteStatus()
            ):
                self._world.volume_gone(action.volume, action.volume_uid)

    # --- TidbVolume ---
    def _create_volume(self, action: CreateVolume) -> Outcome:
        try:
            self._world.volume(self._client.create(builders.tidb_volume(action, self._policy)))
        except AlreadyExistsError:
            found = self._client.get(TIDB_VOLUME, action.volume)
            self._world.volume(found)
            return Outcome.STALE
        return Outcome.DONE

    def _write_status(self, action: WriteStatus) -> Outcome:
        patch = {"metadata": _exact(action), "status": dict(action.patch)}
        self._world.volume(
            self._client.merge_patch(TIDB_VOLUME, action.volume, patch, subresource="status")
        )
        return Outcome.DONE

    def _next_generation(self, action: NextGeneration) -> Outcome:
        spec = {"generation": action.generation, "wipe": None}
        return self._patch_volume(action, {"metadata": _exact(action), "spec": spec})

    def _revoke_wipe(self, action: RevokeWipe) -> Outcome:
        return self._patch_volume(action, {"metadata": _exact(action), "spec": {"wipe": None}})

    def _refuse_word(self, action: RefuseWord) -> Outcome:
        annotations = {names.WIPE_ANNOTATION: None}
        return self._patch_volume(
            action, {"metadata": {**_exact(action), "annotations": annotations}}
        )

    def _free_volume(self, action: FreeVolume) -> Outcome:
        found = self._client.get(TIDB_VOLUME, action.volume)
        if (uid(found), version(found)) != (action.volume_uid, action.volume_version):
            self._world.volume(found)
            return Outcome.STALE
        self._free(TIDB_VOLUME, found)
        return Outcome.DONE

    def _give_wipe(self, action: GiveWipe) -> Outcome:
        """The one write that leads to deletion: everything it leans on is read live."""
        if not self._nobody_uses(action) or not self._still_finished(action):
            return Outcome.STALE
        grant = action.grant
        wipe: Obj = {
            "generation": grant.generation,
            "pvUID": grant.pv_uid,
            "cause": grant.cause,
            "foreign": grant.foreign,
            "grantedAt": self._client.clocks().later.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if grant.owner:
            wipe["owner"] = grant.owner[:256]
        metadata = {**_exact(action), "annotations": {names.WIPE_ANNOTATION: None}}
        return self._patch_volume(action, {"metadata": metadata, "spec": {"wipe": wipe}})

    def _nobody_uses(self, action: GiveWipe) -> bool:
        pv_name = names.folder_name(action.volume, action.grant.generation)
        found = self._client.find(VOLUME, pv_name)
        if found is None:
            return action.pv == ""
        live = parse.pv(found)
        self._world.pv(found)
        if action.pv == "" or live.uid != action.grant.pv_uid or not live.released:
            return False
        return live.claim == action.claim and self._claim_is_gone(live.claim)

    def _claim_is_gone(self, claim: ClaimRef | None) -> bool:
        if claim is None:
            return True
        found = self._client.find(CLAIM, claim.name, claim.namespace)
        return found is None or uid(found) != claim.uid

    def _still_finished(self, action: GiveWipe) -> bool:
        if action.finished is None:
            # Neither may a job have said Retiring meanwhile; a person's word stands above that.
            return (
                action.grant.cause != "retention"
                or self._finished(action.claim, action.grant) is None
            )
        return self._finished(action.claim, action.grant) == action.finished

    def _finished(self, claim: ClaimRef | None, grant: Grant) -> Finished | None:
        if claim is None:
            return None
        found = self._client.find(CONFIG_MAP, names.FINISHED_VOLUMES, claim.namespace)
        text = ((found or {}).get("data") or {}).get(grant.pv_uid)
        return (
            None
            if text is None
            else inventory.read_finished(claim.namespace, grant.pv_uid, text)[0]
        )

    def _patch_volume(self, action: VolumeAction, patch: Obj) -> Outcome:
        self._world.volume(self._client.merge_patch(TIDB_VOLUME, action.volume, patch))
        return Outcome.DONE

    # --- PersistentVolume ---
    def _create_pv(self, action: CreatePv) -> Outcome:
        wanted = builders.persistent_volume(action, self._policy)
        try:
            self._world.pv(self._client.create(wanted))
        except AlreadyExistsError:
            pv = name(wanted)
            found = self._client.get(VOLUME, pv)
            identity = (found["metadata"].get("annotations") or {}).get(names.IDENTITY_ANNOTATION)
            if identity != action.identity:
                raise JobError(
                    f"create PV {pv}: a PV of that name exists and is not of disk {action.identity} "
                    f"(annotation {names.IDENTITY_ANNOTATION} is {identity!r}); delete it if nobody needs it"
                ) from None
            self._world.pv(found)
            return Outcome.STALE
        return Outcome.DONE

    def _delete_pv(self, action: DeletePv) -> Outcome:
        """Invariant 2 of plan.py, enforced on the live object and by preconditions."""
        found = self._client.get(VOLUME, action.pv)
        live = parse.pv(found)
        self._world.pv(found)
        if live.uid != action.pv_uid or live.bound:
            return Outcome.STALE
        if action.expects == "unbound" and live.claim is not None:
            return Outcome.STALE
        if action.expects == "released":
            if not live.released or live.claim != action.claim:
                return Outcome.STALE
            if not self._claim_is_gone(live.claim):
                return Outcome.STALE
        self._client.delete(VOLUME, action.pv, uid=live.uid, version=live.version)
        self._reread_pv(action)
        return Outcome.DONE

    def _reread_pv(self, action: DeletePv | FreePv) -> None:
        found = self._client.find(VOLUME, action.pv)
        if found is None:
            self._world.pv_gone(action.pv, action.pv_uid)
        else:
            self._world.pv(found)

    def _free_pv(self, action: FreePv) -> Outcome:
        found = self._client.get(VOLUME, action.pv)
        live: Pv = parse.pv(found)
        self._world.pv(found)
        if live.uid != action.pv_uid or not live.deleting or live.bound:
            return Outcome.STALE
        self._free(VOLUME, found)
        self._reread_pv(action)
        return Outcome.DONE

    def _free(self, kind: Kind, found: Obj) -> None:
        """Take our finalizer off the object as it was read, and nobody else's."""
        meta = found["metadata"]
        left = [f for f in meta.get("finalizers") or [] if f != names.FINALIZER]
        exact = {"uid": uid(found), "resourceVersion": version(found)}
        self._client.merge_patch(kind, name(found), {"metadata": {**exact, "finalizers": left}})

    # --- requests ---
    def _write_requests(self, action: WriteRequests) -> Outcome:
        if not self._wipes_stand(action.text):
            return Outcome.STALE
        configmap = names.REQUESTS_PREFIX + action.node
        if action.version:
            # The nonce beside it is the fresh-scan Job's: a merge patch leaves it alone.
            patch = {
                "metadata": {
                    "resourceVersion": action.version,
                    "labels": {names.EXCHANGE_LABEL: names.REQUESTS},
                },
                "data": {names.REQUESTS_KEY: action.text},
            }
            self._world.requests(
                self._client.merge_patch(CONFIG_MAP, configmap, patch, self._namespace)
            )
            return Outcome.DONE
        try:
            obj = builders.requests(action, self._namespace, self._policy)
            self._world.requests(self._client.create(obj))
        except AlreadyExistsError:
            self._world.requests(self._client.get(CONFIG_MAP, configmap, self._namespace))
            return Outcome.STALE
        return Outcome.DONE

    def _wipes_stand(self, text: str) -> bool:
        """Each wipe in the document is permitted and fenced, live."""
        for entry in json.loads(text)["volumes"]:
            wipe = entry.get("wipe")
            if wipe is not None and not self._wipe_stands(entry["volume"], wipe):
                return False
        return True

    def _wipe_stands(self, volume: str, wipe: Obj) -> bool:
        found = self._client.find(TIDB_VOLUME, volume)
        if found is None:
            return False
        self._world.volume(found)
        grant = parse.volume(found).grant
        if grant is None:
            return False
        if (grant.generation, grant.pv_uid, grant.foreign) != (
            wipe["generation"],
            wipe["pvUID"],
            wipe["foreign"],
        ):
            return False
        pv = self._client.find(VOLUME, names.folder_name(volume, grant.generation))
        if pv is None:
            return True
        self._world.pv(pv)
        live = parse.pv(pv)
        return live.uid == grant.pv_uid and live.deleting and not live.bound


def _exact(action: Any) -> Obj:
    """The object that was decided on, in the version that was decided on."""
    return {"uid": action.volume_uid, "resourceVersion": action.volume_version}
