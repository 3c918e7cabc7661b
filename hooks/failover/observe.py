"""Read the world: PD first, then no more of Kubernetes than what PD's word makes suspicious, then what the
plan still lacks.

At rest that is three questions to PD and three to the API server. With a suspect it is lists of the release's
pods and claims, of Nodes and volumes; and a second reading of PD, 15 s after the first, if Kubernetes too
speaks of a loss: then the leader is asked every few seconds in between, so that one which changed and changed
back is noticed.

The first reading of a run is kept for the next one (kept.py); nothing is kept at rest.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hooks import kube, pd
from hooks.boot import record
from hooks.boot.volume import problem as not_local
from hooks.engine import JobError
from hooks.failover import journal, objects
from hooks.failover.evidence import reading_of
from hooks.failover.kept import homes_in, lost_in, reading_in, write_lost, write_reading
from hooks.failover.kept import name as kept_name
from hooks.failover.model import (
    Component,
    PdSilent,
    PdView,
    Policy,
    Reading,
    Silence,
    Slot,
    Snapshot,
    Volume,
)
from hooks.failover.objects import Names
from hooks.failover.plan import plan, store_in_question
from hooks.failover.quorum import regions_without
from schema import names

REGION_CHECKS = ("down-peer", "miss-peer", "pending-peer")
# A PD leader holds its lease for 3 s: asked this often, one that lost it and won it back in between has been
# seen to.
POLL = timedelta(seconds=3)
# The plan's words for "a second reading would tell more".
READ_AGAIN = frozenset({"one-reading", "leader-changed", "leader-new"})


@dataclass
class Clock:
    """The observer's time; tests bring their own."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass
class Observer:
    """`keep`: write the first reading down for the next run (not in a dry run)."""

    client: kube.Client
    pd_of: Callable[[Iterable[str]], pd.Pd]
    names: Names
    policy: Policy
    local_provisioners: tuple[str, ...] = ()
    keep: bool = True
    clock: Clock = field(default_factory=Clock)
    _pd: pd.Pd | None = None
    _first: Reading | None = None
    _watched_since: float | None = None
    _polled: float = 0.0
    _leader: int = 0
    _kept: bool = False
    _kept_read: bool = False
    _left: Reading | None = None
    _lost: dict[str, datetime] = field(default_factory=dict)

    @property
    def pd(self) -> pd.Pd:
        if self._pd is None:
            raise JobError("PD is asked before the StatefulSets were read; this is a defect")
        return self._pd

    def look(self) -> Snapshot:
        """The Snapshot that the plan is made from. JobError where PD answers nonsense, KubeError for the API
        server.
        """
        seen = self._glance()
        if isinstance(seen.pd, PdSilent):
            return seen
        if not seen.slots:
            self._keep_well()
            return seen
        seen = self._with_earlier(seen, seen.pd)
        if self._says(seen) & READ_AGAIN:
            self._watch()
            seen = self._glance()
            if isinstance(seen.pd, PdSilent) or not seen.slots:
                return seen
            seen = self._with_earlier(seen, seen.pd)
        if "pd-unread" in self._says(seen) and isinstance(seen.pd, PdView):
            seen = dataclasses.replace(seen, pd=self._with_regions(seen.pd, seen))
        return seen

    def _says(self, seen: Snapshot) -> set[str]:
        """What the plan would wait for: it knows best what it lacks."""
        return {wait.code for wait in plan(seen, self.policy).waits}

    # --- One look ---------------------------------------------------------------------------------

    def _glance(self) -> Snapshot:
        sets = objects.stateful_sets(self.client, self.names)
        if self._pd is None:
            self._pd = self.pd_of(self.names.pd_urls(sets[Component.PD].replicas))
        # Before the longer lists: between two looks at the leader there must be no gap (_note_leader).
        view, now = self._view(), self.clock.now()
        known = record.read(self.client, self.names.namespace, self.names.release)
        kept = self.client.find(
            kube.CONFIG_MAP, kept_name(self.names.release), self.names.namespace
        )
        if not self._kept_read:
            # Before this run writes its own.
            self._kept_read, self._left, self._lost = True, reading_in(kept), lost_in(kept)
        claims = objects.claims(self.client, self.names)
        seen = Snapshot(
            now=now,
            release=self.names.release,
            namespace=self.names.namespace,
            recorded_cluster=known.cluster_id if known else None,
            record=f"ConfigMap {self.names.namespace}/{names.record(self.names.release)}",
            pd=view,
            earlier=None,
            entries=journal.read(self.client, self.names.namespace),
            homes=homes_in(kept),
            held={
                (component, i): volume
                for component in Component
                for i in range(sets[component].replicas)
                if (claim := claims.get(self.names.claim(component, i))) is not None
                and (volume := str(claim["spec"].get("volumeName") or ""))
            },
        )
        if isinstance(seen.pd, PdSilent):
            return seen
        suspects = self._suspects(seen.pd, sets)
        if not suspects:
            return seen
        view = dataclasses.replace(
            seen.pd,
            replication=self.pd.replication(),
            maintenance=self.pd.maintenance(),
            evicting=self.pd.evicting_stores(),
        )
        return self._with_objects(dataclasses.replace(seen, pd=view), sets, suspects, claims)

    def _view(self) -> PdView | PdSilent:
        try:
            members = self.pd.members()
            health = self.pd.health()
            stores = self.pd.stores()
            retired = any(store.retired for store in stores)
            evicting = self.pd.evicting_stores() if retired else frozenset()
            quiet = all(one.healthy for one in health) and all(
                store.state in (pd.StoreState.UP, pd.StoreState.TOMBSTONE) for store in stores
            )
            # At rest nothing is concluded from this reading, so who led after it does not matter.
            after = members.leader if quiet else self.pd.leader()
        except pd.PdNoLeaderError as error:
            return PdSilent(Silence.NO_LEADER, str(error))
        except pd.PdUnreachableError as error:
            return PdSilent(Silence.UNREACHABLE, str(error))
        except pd.PdNotBootstrappedError as error:
            return PdSilent(Silence.NOT_BOOTSTRAPPED, str(error))
        if members.leader is None or after is None:
            return PdSilent(Silence.NO_LEADER, "PD's members list no leader")
        self._note_leader(members.leader.id)
        self._note_leader(after.id)
        return PdView(
            cluster_id=members.cluster_id,
            leader=members.leader,
            leader_steady=members.leader.id == after.id,
            leader_watched=False,
            members=members.members,
            health=health,
            stores=stores,
            evicting=evicting,
        )

    def _suspects(
        self, view: PdView, sets: dict[Component, objects.Set]
    ) -> list[tuple[Component, int]]:
        """Ordinals whose member is not a healthy one of PD's list, or whose store PD does not call Up."""
        well = {member.name for member in view.members if member.id in view.healthy}
        up = {store.address for store in view.stores if store.state is pd.StoreState.UP}
        every = itertools.chain.from_iterable(
            ((component, i) for i in range(sets[component].replicas)) for component in Component
        )
        return [
            (component, i)
            for component, i in every
            if (
                self.names.pod(component, i) not in well
                if component is Component.PD
                else self.names.address(i) not in up
            )
        ]

    def _with_objects(
        self,
        seen: Snapshot,
        sets: dict[Component, objects.Set],
        suspects: list[tuple[Component, int]],
        claims: dict[str, kube.Obj],
    ) -> Snapshot:
        nodes, labels = objects.nodes(self.client, sets)
        named = {self.names.pod(component, i) for component, i in suspects}
        pods, busy = objects.pods(self.client, self.names, named)
        wanted = {
            str(claims[name]["spec"].get("volumeName", ""))
            for component, i in suspects
            if (name := self.names.claim(component, i)) in claims
        }
        volumes, free = objects.volumes(self.client, wanted)
        bound = {
            name: objects.volume(
                self.client,
                raw,
                nodes,
                labels,
                local=not not_local("", raw, self.local_provisioners),
            )
            for name, raw in volumes.items()
        }
        slots = tuple(
            self._slot(component, i, pods, claims, bound) for component, i in sorted(suspects)
        )
        return dataclasses.replace(
            seen,
            slots=slots,
            nodes=nodes,
            disks=objects.free_disks(free, nodes, labels),
            busy=busy,
            spread={component: sets[component].may_share_node for component in Component},
        )

    def _slot(
        self,
        component: Component,
        ordinal: int,
        pods: dict[str, kube.Obj],
        claims: dict[str, kube.Obj],
        volumes: dict[str, Volume],
    ) -> Slot:
        name = self.names.pod(component, ordinal)
        claim_name = self.names.claim(component, ordinal)
        return Slot(
            component=component,
            ordinal=ordinal,
            name=name,
            address=self.names.address(ordinal) if component is Component.TIKV else "",
            claim_name=claim_name,
            claim=objects.claim(claims.get(claim_name), volumes),
            pod=objects.pod(pods.get(name)),
        )

    def _with_regions(self, view: PdView, seen: Snapshot) -> PdView:
        store = store_in_question(view, seen.entries)
        if store is None:
            return view
        gone = {one.id for one in view.stores if one.retired}
        # No check lists a peer before its region has missed it for ten minutes, on a destroyed store neither; and none
        # a region of two voters and a learner that has its data, but is not promoted yet.
        leaving = [
            s.id for s in view.stores if s.physically_destroyed and s.state is pd.StoreState.OFFLINE
        ]
        listed = itertools.chain(
            *(self.pd.regions(check) for check in REGION_CHECKS),
            *(self.pd.regions_of(one) for one in (store.id, *leaving)),
        )
        return dataclasses.replace(view, regions=regions_without(store.id, gone, listed))

    # --- Two looks --------------------------------------------------------------------------------

    def _note_leader(self, leader: int) -> None:
        """Whether this run has watched the same leader without a gap, and since when."""
        now = self.clock.monotonic()
        gap = timedelta(seconds=now - self._polled)
        if self._watched_since is None or leader != self._leader or gap > 2 * POLL:
            self._watched_since = now
            self._first = None
        self._leader, self._polled = leader, now

    def _with_earlier(self, seen: Snapshot, view: PdView) -> Snapshot:
        """Add the first reading of this run when it is old enough; else the one that an earlier run left."""
        now = reading_of(view, seen.now)
        kept = self._left
        self._keep(now, seen)
        if self._first is None:
            self._first = now
        if now.taken - self._first.taken >= self.policy.reading_gap:
            watched = dataclasses.replace(view, leader_watched=True)
            return dataclasses.replace(seen, pd=watched, earlier=self._first)
        recent = (
            kept is not None and timedelta(0) < now.taken - kept.taken <= self.policy.reading_kept
        )
        return dataclasses.replace(seen, earlier=kept if recent else self._first)

    def _watch(self) -> None:
        """Let the gap between two readings pass, and ask who leads all the while."""
        until = self.clock.monotonic() + self.policy.reading_gap.total_seconds()
        while (left := until - self.clock.monotonic()) > 0:
            self.clock.sleep(min(left, POLL.total_seconds()))
            try:
                self._note_leader(self.pd.leader().id)
            except pd.PdError:
                # The next look says what is wrong; until then nobody leads.
                self._note_leader(0)

    def _keep(self, reading: Reading, seen: Snapshot) -> None:
        """Write the first reading of this run down, and since when which place is not well. Losing it costs the
        next run 15 s.
        """
        if self._kept or not self.keep:
            return
        self._kept = True
        self._lost = {slot.name: self._lost.get(slot.name, seen.now) for slot in seen.slots}
        write_reading(self.client, self.names, reading, self._lost)

    def _keep_well(self) -> None:
        """All is well (again): a write only where something was lost before."""
        if self._lost and self.keep:
            self._lost = {}
            write_lost(self.client, self.names, self._lost)
