"""Three PD members, four stores: before the first TiKV, healthy, configured; one lost, buried, replaced."""

from __future__ import annotations

from tests.contract import captures, door
from tests.contract.compare import Names
from tests.contract.programs import wait_until
from tests.contract.story import CHECKS, LABELS, NEVER, Story
from tests.standin.regions import BALANCE_TOLERANCE


class FourStores(Story):
    def tell(self) -> None:
        self.world.start_pds(3)
        self.name_members()
        self.before_bootstrap()
        self.healthy()
        self.configuration()
        self.leaders()
        self.schedulers()
        self.maintenance()
        self.store_lost()
        self.buried()
        self.drained()
        self.records_removed()

    def name_members(self) -> None:
        """In the first captures pd-1 leads."""
        leader = self.world.leader()
        other, third = (n for n in self.world.pds if n != leader)
        self.names = Names(self.names.ids, {"pd-1": leader, "pd-0": other, "pd-2": third})

    def before_bootstrap(self) -> None:
        self.see(*(n for n in captures.names() if n.startswith("before-bootstrap-")))
        self.put_store("grpc-put-store-not-bootstrapped", 1, "tikv-0")
        self.heartbeat("grpc-store-heartbeat-not-bootstrapped", 1)
        self.world.start_tikv("tikv-0", "zone=z1,host=node-1")
        self.wait_up("tikv-0")
        self.see("one-store-stores", "one-store-regions-miss-peer")

    def healthy(self) -> None:
        self.start_stores("tikv-1", "tikv-2", "tikv-3", labels=True)
        self.see("stores-limit-post", "stores-limit")
        self.wait_served(4)
        self.world.wait_until_whole()
        ids = {
            captured: self.world.id_of(tikv)
            for captured, tikv in ((2, "tikv-0"), (13, "tikv-1"), (14, "tikv-2"), (15, "tikv-3"))
        }
        self.names = Names(ids, self.names.words)
        wait_until("regions spread evenly", lambda: self._spread() < BALANCE_TOLERANCE, 60)
        self.world.wait_until_whole()
        self.see(*(n for n in captures.names() if n.startswith("healthy-")))
        self.see(
            "unknown-path",
            "unknown-path-v2",
            "store-unknown",
            "store-bad-id",
            "store-delete-unknown",
            "store-state-unknown-store",
            "store-state-unknown-word",
            "store-label-post",
            "store-label-post-bad",
            "store-weight-post",
            "stores-check-tombstone-none",
            "stores-remove-tombstone-none",
        )

    def _spread(self) -> int:
        """By how many regions the stores differ; PD goes on balancing them while it is too much."""
        answer = self.world.ask("/pd/api/v1/stores", of=self.world.leader())
        counts = [store["status"]["region_count"] for store in answer.body["stores"]]
        return int(max(counts) - min(counts))

    def configuration(self) -> None:
        self.see(
            "config-post",
            "config-schedule-after-post",
            "config-post-unknown-key",
            "config-post-bad-value",
            "config-post-not-an-object",
            "config-replicate-post",
            "config-post-location-labels",
            "config-replicate-with-labels",
            "config-rules-after-labels",
            "config-post-ttl-not-allowed",
            "config-post-ttl",
            "config-post-blocked-by-ttl",
            "config-post-partly-applied",
            "config-post-ttl-clear",
            "store-limit-post",
        )

    def leaders(self) -> None:
        self.name_members()
        leader, other, third = (self.names.words[n] for n in ("pd-1", "pd-0", "pd-2"))
        self.see("leader-transfer", of=leader)
        self.world.wait_for_leader(other_than=leader)
        self.see("leader-transfer-to-self", "leader-transfer-unknown", of=other)
        self.see("members-leader-priority-post", "members-leader-priority-unknown", of=other)
        self.see("leader-resign", of=third)
        leader = self.world.wait_for_leader(other_than=other)
        self.wait_heartbeats(30)
        # Held back: the heartbeats that would make the new leader's first answer better than the captured one.
        with self.frozen(*self.world.tikvs.values()):
            target = next(n for n in self.world.pds if n != leader)
            self.world.ask(f"/pd/api/v1/leader/transfer/{target}", "POST", of=leader)
            self.see("stores-just-after-leader-change", of=self.world.wait_for_leader(leader))
        for tikv in self.world.tikvs:
            self.wait_up(tikv)

    def schedulers(self) -> None:
        store = self.names.ids[15]
        self.see(
            "scheduler-config-evict-leader-absent",
            "scheduler-delete-evict-leader-by-bare-name",
            "scheduler-add-evict-leader",
            "scheduler-config-evict-leader",
            "scheduler-add-evict-leader-again",
            "schedulers-with-evict-leader",
            "scheduler-add-evict-leader-unknown-store",
            "scheduler-add-unknown-name",
            "scheduler-config-all",
        )
        wait_until("no leader on the store", lambda: self._leaders(store) == 0)
        self.see(
            "store-leaders-evicted",
            "scheduler-add-evict-leader-second-store",
            "schedulers-with-evict-leader-two-stores",
            "scheduler-config-evict-leader-two-stores",
            "scheduler-delete-evict-leader",
            "scheduler-delete-evict-leader-again",
            "scheduler-delete-evict-leader-last",
            "scheduler-delete-evict-leader-last-again",
            "scheduler-config-evict-leader-after-delete",
            "schedulers-after-delete",
        )

    def _leaders(self, store_id: int) -> int:
        answer = self.world.ask(f"/pd/api/v1/store/{store_id}", of=self.world.leader())
        return int(answer.body["status"]["leader_count"])

    def maintenance(self) -> None:
        self.see(
            "maintenance-get-none",
            "maintenance-put",
            "maintenance-get",
            "maintenance-get-type",
            "maintenance-get-other-type",
            "maintenance-put-same-again",
            "maintenance-put-conflict",
            "maintenance-put-conflict-other-type",
            "maintenance-put-follower",
            "maintenance-delete-wrong-id",
            "maintenance-delete",
            "maintenance-delete-again",
        )

    def store_lost(self) -> None:
        """tikv-3 (15 in the captures) loses its node while the replacement of replicas is paused."""
        lost = self.names.ids[15]
        self.see("config-post-max-store-down-time")
        self.post_config(schedule__max_store_down_time="1h")  # not Down while we look
        self.world.tikvs["tikv-3"].kill()
        self.world.wait_for_state(lost, "Disconnected")
        self.see("store-disconnected", "stores-one-disconnected", "stores-check-disconnected")
        self.see("stores-check-down-while-disconnected")
        self.see_checks("disconnected", until=30)
        self.put_store("grpc-put-store-duplicated-address-disconnected", 3001, "tikv-3")
        self.post_config(schedule__max_store_down_time="1m")
        self.world.wait_for_state(lost, "Down")
        self.see(
            "store-down",
            "stores-one-down",
            "stores-check-down",
            "stores-check-up-while-one-down",
            "stores-state-0-one-down",
            "cluster-status-one-down",
            "health-one-store-down",
        )
        self.see_checks("down")
        self.put_store("grpc-put-store-duplicated-address-down", 3001, "tikv-3")
        self.see(
            "store-delete-healthy-accepted-while-another-is-down",
            "stores-one-down-one-offline",
            "store-state-up-cancel",
            "store-state-up-when-up",
        )
        self.post_config(schedule__replica_schedule_limit=64)
        self.wait_regions(lost, lambda count: count == 0)
        self.world.wait_until_whole()
        self.see("store-down-empty", "down-empty-regions-down-peer", "down-empty-regions-miss-peer")
        self.put_store("grpc-put-store-duplicated-address-down-empty", 3001, "tikv-3")
        self.world.tikvs["tikv-3"].wipe()
        self.names.ids[3001] = self.refused_identity("tikv-3", at="tikv-3")

    def buried(self) -> None:
        lost = self.names.ids[15]
        self.see("store-delete-accepted-down")
        self.world.wait_for_state(lost, "Tombstone")
        self.see(
            "store-tombstone",
            "stores-check-tombstone",
            "stores-check-all-with-tombstone",
            "stores-with-tombstone-default",
            "stores-state-2-tombstone",
            "stores-state-0-1-2-with-tombstone",
            "stores-progress-tombstone",
            "store-delete-tombstone",
            "store-delete-force-tombstone",
            "store-state-up-tombstone",
            "store-delete-refused-below-max-replicas",
            "store-state-offline-refused-below-max-replicas",
        )
        self.put_store("grpc-put-store-tombstone-id", lost, "tikv-3")
        self.heartbeat("grpc-store-heartbeat-tombstone", lost)
        # What the TiKV with the empty disk does at its next start, before its first heartbeat.
        new = self.names.ids[3001]
        self.put_store(
            "grpc-put-store-same-address-after-tombstone", new, "tikv-3", LABELS["tikv-3"]
        )
        if door.is_open():
            self.see("stores-new-id-beside-tombstone")
        self.world.start_tikv("tikv-3", LABELS["tikv-3"])
        assert self.wait_up("tikv-3") == new
        self.wait_served(4)

    def drained(self) -> None:
        """The replacement (3001 in the captures) fills, is set Offline, brought back, and drained at last."""
        new = self.names.ids[3001]
        self.wait_regions(new, lambda count: count >= 8)
        self.world.wait_until_whole()
        self.post_config(schedule__replica_schedule_limit=0)
        self.see("store-delete-accepted", "store-offline-just-now", "stores-progress-id-just-now")
        # Each other store takes one peer, and the next one never: however slow the machine is, it is not drained yet.
        # What is on its way stays so for a while, because the store it leaves does not answer.
        self.pace(NEVER)
        with self.frozen(self.world.tikvs["tikv-3"]):
            self.post_config(schedule__replica_schedule_limit=64)
            self.see("operators-while-draining", until=30)
            moving = ("extra-peer", "learner-peer", "pending-peer", "offline-peer")
            self.see_checks("offline", moving, until=30)
        self.see_checks("offline", set(CHECKS) - set(moving), until=30)
        self.see("stores-one-offline", "stores-check-offline", "stores-state-1", until=30)
        self.see("store-offline", until=30)
        self.see("store-delete-offline-again")
        self.see("stores-progress-id", "stores-progress-action-removing", until=30)
        self.see("store-state-up-cancel-offline", "stores-progress-after-cancel")
        self.see("store-after-cancel", until=30)
        self.pace(2000)
        self.world.ask(f"/pd/api/v1/store/{new}", "DELETE", of=self.world.leader())
        self.world.wait_for_state(new, "Tombstone")
        self.see("store-tombstone-drained")

    def records_removed(self) -> None:
        """Without its record a Tombstone's id is unknown, and free for an old disk to come back with."""
        old = self.names.ids[15]
        self.see("stores-remove-tombstone", "store-after-remove-tombstone")
        self.heartbeat("grpc-store-heartbeat-removed-id", old)
        self.world.tikvs["tikv-3"].kill()
        self.names = Names(self.names.ids | {85: old}, self.names.words)
        self.put_store("grpc-put-store-id-after-remove-tombstone", old, "tikv-3")
        if door.is_open():
            self.see("store-id-back-after-remove-tombstone")
