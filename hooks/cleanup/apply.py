"""Do one thing of cleanup's plan: look again, with the same rules as the plan, and write with preconditions.

The second look is a whole new Snapshot and the plan of it: what the plan would no longer do is STALE. So no
rule stands twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hooks import kube, pd
from hooks.cleanup.actions import Cleaning
from hooks.cleanup.model import Policy, Snapshot
from hooks.cleanup.observe import LOST_SINCE, UNUSED_SINCE
from hooks.cleanup.plan import plan
from hooks.engine import JobError, Outcome
from hooks.failover import journal


@dataclass
class Performer:
    client: kube.Client
    pd_of: Callable[[], pd.Pd]
    look: Callable[[], Snapshot]
    namespace: str
    policy: Policy

    def apply(self, action: Cleaning) -> Outcome:
        """JobError when PD refuses or makes no sense; KubeError for the API server."""
        try:
            world = self.look()
            if action not in plan(world, self.policy).actions:
                return Outcome.STALE
            return self._do(action, world)
        except (kube.ConflictError, kube.NotFoundError):
            return Outcome.STALE
        except pd.PdError as error:
            raise JobError(str(error)) from error

    def _do(self, action: Cleaning, world: Snapshot) -> Outcome:
        subject = action.subject
        stamp = world.now.isoformat(timespec="seconds")
        match action.code:
            case "note-unused":
                self._annotate(kube.CLAIM, action, UNUSED_SINCE, stamp)
            case "note-used":
                self._annotate(kube.CLAIM, action, UNUSED_SINCE, None)
            case "note-lost":
                self._annotate(kube.TIDB_VOLUME, action, LOST_SINCE, stamp)
            case "note-found":
                self._annotate(kube.TIDB_VOLUME, action, LOST_SINCE, None)
            case "delete-claim":
                self.client.delete(kube.CLAIM, subject.name, self.namespace, uid=subject.uid)
            case "delete-volume":
                self.client.delete(kube.TIDB_VOLUME, subject.name, uid=subject.uid)
            case "delete-pod":
                self.client.delete(kube.POD, subject.name, self.namespace, uid=subject.uid)
            case "stop-evicting":
                self.pd_of().stop_evicting_leaders(int(subject.name))
            case "remove-tombstones":
                self.pd_of().remove_tombstones()
            case "forget-note":
                entry = next(e for e in world.entries if e.volume_uid == subject.uid)
                return journal.swap(self.client, self.namespace, subject.uid, entry, None)
            case code:
                raise JobError(f"cleanup knows no action {code}; this is a defect")
        return Outcome.DONE

    def _annotate(self, kind: kube.Kind, action: Cleaning, key: str, value: str | None) -> None:
        """With the UID as precondition: an object of the same name is another one."""
        patch = {"metadata": {"uid": action.subject.uid, "annotations": {key: value}}}
        self.client.merge_patch(kind, action.subject.name, patch, action.subject.namespace)
