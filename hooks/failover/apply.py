"""Do one action: look again just before, compare with what the plan saw, write with preconditions.

A difference is STALE: the engine looks again. Between the last look and the write a moment remains, for a
heartbeat that arrives right then; what lies on the disk is safe even so, since the claim goes only in a later plan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from hooks import kube, pd
from hooks.engine import JobError, Outcome
from hooks.failover import journal, objects
from hooks.failover.actions import (
    DeleteClaim,
    DeletePod,
    Forget,
    Mark,
    NoteHomes,
    RemoveMember,
    RetireStore,
    Settle,
    Step,
    StopEvicting,
)
from hooks.failover.evidence import SILENT, live
from hooks.failover.kept import write_homes
from hooks.failover.model import (
    Component,
    Entry,
    EntryState,
    Slot,
    member_owner,
    store_owner,
)
from hooks.failover.objects import Names
from hooks.pd import StoreState


@dataclass
class Performer:
    """`pd` is asked anew for every action."""

    client: kube.Client
    pd_of: Callable[[], pd.Pd]
    names: Names
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def apply(self, action: Step) -> Outcome:
        """JobError when PD refuses or cannot be asked; KubeError for the API server."""
        try:
            return self._apply(action)
        except pd.PdUnhealthyError as error:
            raise JobError(
                f"{error}; PD protects its quorum for 10 s, the next run asks again"
            ) from error
        except pd.PdError as error:
            raise JobError(str(error)) from error
        except (kube.ConflictError, kube.NotFoundError):
            return Outcome.STALE

    def _apply(self, action: Step) -> Outcome:
        match action:
            case NoteHomes():
                return self._note_homes(action)
            case Mark():
                return self._mark(action)
            case Settle():
                return self._settle(action)
            case Forget():
                return self._forget(action)
            case RetireStore():
                return self._retire(action)
            case RemoveMember():
                return self._remove(action)
            case DeleteClaim():
                return self._delete_claim(action)
            case DeletePod():
                return self._delete_pod(action)
            case StopEvicting():
                return self._stop_evicting(action)

    # --- The journal ------------------------------------------------------------------------------

    def _note_homes(self, action: NoteHomes) -> Outcome:
        write_homes(self.client, self.names, dict(action.homes))
        return Outcome.DONE

    def _mark(self, action: Mark) -> Outcome:
        claim = self.client.get(kube.CLAIM, action.claim, self.names.namespace)
        if (
            kube.uid(claim) != action.subject.uid
            or claim["spec"].get("volumeName") != action.volume
        ):
            return Outcome.STALE
        entry = Entry(
            volume=action.volume,
            volume_uid=action.volume_uid,
            claim=action.claim,
            owner=action.owner,
            cluster=action.cluster,
            state=action.state,
            at=self.now().replace(microsecond=0),
        )
        return journal.swap(self.client, self.names.namespace, action.volume_uid, None, entry)

    def _settle(self, action: Settle) -> Outcome:
        if self._last_word(action.entry.owner) is not action.state:
            return Outcome.STALE
        after = dataclasses.replace(action.entry, state=action.state)
        # Once a replacement: only this step makes an entry final.
        component = Component.PD if after.state is EntryState.REMOVED else Component.TIKV
        return self._swap(action.entry, after, replaced=component)

    def _forget(self, action: Forget) -> Outcome:
        owner = action.entry.owner
        up = {store_owner(s.id) for s in self._pd.stores() if s.state is StoreState.UP}
        well = {member_owner(one.id) for one in self._pd.health() if one.healthy}
        return self._swap(action.entry, None) if owner in up | well else Outcome.STALE

    def _swap(
        self, before: Entry, after: Entry | None, replaced: Component | None = None
    ) -> Outcome:
        uid = before.volume_uid
        count = f"{self.names.release}-{replaced}" if replaced else ""
        return journal.swap(self.client, self.names.namespace, uid, before, after, count=count)

    def _last_word(self, owner: str) -> EntryState | None:
        """What PD says of it now, when that is final."""
        if owner.startswith("member "):
            listed = {member_owner(member.id) for member in self._pd.members().members}
            return None if owner in listed else EntryState.REMOVED
        for store in self._pd.stores():
            if store_owner(store.id) == owner and store.retired:
                tombstone = store.state is StoreState.TOMBSTONE
                return EntryState.TOMBSTONE if tombstone else EntryState.DESTROYED
        return None

    # --- PD ---------------------------------------------------------------------------------------

    @property
    def _pd(self) -> pd.Pd:
        return self.pd_of()

    def _retire(self, action: RetireStore) -> Outcome:
        before = self._pd.leader().id
        stores = self._pd.stores()
        steady = before == action.leader == self._pd.leader().id
        store = next((one for one in stores if one.id == action.store), None)
        if not steady or store is None or store.retired:
            return Outcome.STALE
        silent = store.state in SILENT or store.state is StoreState.OFFLINE
        others = [one for one in live(stores) if one.id != store.id]
        if (
            not silent
            or store.last_heartbeat_ns != action.heartbeat_ns
            or any(one.state is not StoreState.UP for one in others)
        ):
            return Outcome.STALE
        try:
            self._pd.retire_store(action.store, force=action.force)
        except (pd.PdRetiredError, pd.PdNotFoundError):
            return Outcome.STALE
        return Outcome.DONE

    def _remove(self, action: RemoveMember) -> Outcome:
        found = self._pd.members()
        healthy = {one.id for one in self._pd.health() if one.healthy}
        others = [one.id for one in found.members if one.id != action.member]
        if (
            found.leader is None
            or found.leader.id != action.leader
            or len(others) == len(found.members)
            or action.member in healthy
            # One that came up since it was seen half-joined is another case.
            or all((one.id, one.name) != (action.member, action.name) for one in found.members)
            or any(one not in healthy for one in others)
        ):
            return Outcome.STALE
        self._pd.delete_member(action.member)
        return Outcome.DONE

    def _stop_evicting(self, action: StopEvicting) -> Outcome:
        store = next((one for one in self._pd.stores() if one.id == action.store), None)
        if store is not None and not store.retired:
            return Outcome.STALE
        self._pd.stop_evicting_leaders(action.store)
        return Outcome.DONE

    def _vacant(self, slot: Slot) -> bool:
        """PD, asked again, knows nobody who lives in this place; and where it still has a volume, others than a
        destroyed store whose regions are not whole elsewhere are all Up.
        """
        if slot.component is Component.PD:
            host = f"//{slot.name}."
            return not any(
                member.name == slot.name or any(host in url for url in member.peer_urls)
                for member in self._pd.members().members
            )
        stores = self._pd.stores()
        here = [one for one in stores if one.address == slot.address]
        if live(here):
            return False
        nothing_lies_there = slot.claim is None or slot.claim.volume is None
        whole = all(one.state is StoreState.TOMBSTONE for one in here)
        return (
            nothing_lies_there or whole or all(one.state is StoreState.UP for one in live(stores))
        )

    # --- Kubernetes -------------------------------------------------------------------------------

    def _delete_claim(self, action: DeleteClaim) -> Outcome:
        name = action.slot.claim_name
        claim = self.client.get(kube.CLAIM, name, self.names.namespace)
        volume = self.client.get(kube.VOLUME, str(claim["spec"].get("volumeName")))
        if kube.uid(claim) != action.claim_uid or kube.uid(volume) != action.volume_uid:
            return Outcome.STALE
        if not self._vacant(action.slot):
            return Outcome.STALE
        self.client.delete(
            kube.CLAIM,
            name,
            self.names.namespace,
            uid=action.claim_uid,
            version=kube.version(claim),
        )
        return Outcome.DONE

    def _delete_pod(self, action: DeletePod) -> Outcome:
        slot = action.slot
        found = self.client.get(kube.POD, slot.name, self.names.namespace)
        if kube.uid(found) != action.pod_uid or found["spec"].get("nodeName", "") != action.node:
            return Outcome.STALE
        held = slot.claim.volume if slot.claim is not None else None
        if action.claim_uid:
            claim = self.client.get(kube.CLAIM, slot.claim_name, self.names.namespace)
            going = "deletionTimestamp" in claim["metadata"]
            # Asked after the pod: a volume that is still to come would be here before the pod has a node.
            as_seen = going if held is not None else not claim["spec"].get("volumeName")
            if kube.uid(claim) != action.claim_uid or not as_seen:
                return Outcome.STALE
        moves = held is not None and not held.local
        if not moves and not self._vacant(slot):
            return Outcome.STALE
        if action.force and not self._node_lost(action.node, fenced=moves):
            return Outcome.STALE
        self.client.delete(
            kube.POD,
            slot.name,
            self.names.namespace,
            uid=action.pod_uid,
            grace_seconds=0 if action.force else None,
        )
        return Outcome.DONE

    def _node_lost(self, name: str, *, fenced: bool) -> bool:
        """Whether the Node is still gone or out of service, or (not `fenced`) still NotReady."""
        obj = self.client.find(kube.NODE, name)
        if obj is None:
            return True
        node = objects.node(obj, {})
        return node.out_of_service or (not fenced and not node.ready)
