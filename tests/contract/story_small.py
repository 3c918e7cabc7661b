"""Two short ones: a TiFlash store that counts as a spare, and a stop; a plain DELETE, then a forced one."""

from __future__ import annotations

from tests.contract.compare import Names
from tests.contract.programs import wait_until
from tests.contract.story import Story


class TiflashAndStop(Story):
    """Three TiKV and one TiFlash; then one TiKV stops gracefully."""

    def tell(self) -> None:
        self.world.start_pds(1)
        self.start_stores("tikv-0", "tikv-1", "tikv-2")
        self.world.start_tikv("tikv-3", "engine=tiflash")
        self.wait_up("tikv-3")
        self.see("stores-limit-default")
        self.pace(2000)
        self.wait_served(4)
        self.world.wait_until_whole()
        self.names = Names({1: self.world.id_of("tikv-0"), 12: self.world.id_of("tikv-1")}, {})
        self.names.ids[14] = self.world.id_of("tikv-2")
        wait_until("leaders on the store to stop", lambda: self._leaders(12) > 0)
        self.see("stores-with-tiflash", until=30)
        self.see("store-delete-tikv-accepted-because-of-tiflash")
        # Long enough for PD to have buried an empty store; this one keeps its regions.
        wait_until(
            "PD to have looked at it", lambda: self._store(14)["store"].get("node_state") == 2
        )
        self.see("store-offline-without-spare")
        self.world.ask(f"/pd/api/v1/store/{self.names.ids[14]}/state?state=Up", "POST")
        self.stopping()

    def stopping(self) -> None:
        program = self.world.tikvs["tikv-1"]
        program.signal(15)
        wait_until("no leader on the stopping store", lambda: self._leaders(12) == 0, pause=0.02)
        self.see(
            "store-stopping", "scheduler-config-evict-stopping-store", "schedulers-while-stopping"
        )
        assert program.wait(30) == 0, program.output()

    def _store(self, captured: int) -> dict[str, dict[str, int]]:
        answer = self.world.ask(f"/pd/api/v1/store/{self.names.ids[captured]}")
        return dict(answer.body)

    def _leaders(self, captured: int) -> int:
        return self._store(captured)["status"]["leader_count"]


class DeleteThenForce(Story):
    """Four stores, one lost: DELETE sets it Offline, nothing takes its regions, ?force frees its address."""

    def tell(self) -> None:
        self.world.start_pds(1)
        self.start_stores("tikv-0", "tikv-1", "tikv-2", "tikv-3")
        self.pace(2000)
        self.wait_served(4)
        lost = self.world.id_of("tikv-3")
        self.wait_regions(lost, lambda count: count >= 5)
        self.world.wait_until_whole()
        self.post_config(schedule__replica_schedule_limit=0, schedule__region_schedule_limit=0)
        self.names = Names({6: lost, 15: lost, 127: 127, 3001: 3001}, {})
        self.world.tikvs["tikv-3"].kill()
        self.world.wait_for_state(lost, "Disconnected")
        self.see("store-delete-accepted-disconnected", "store-offline-not-heartbeating")
        self.put_store("grpc-put-store-duplicated-address-offline-with-replicas", 127, "tikv-3")
        # Captured with an empty store; an empty one is buried within the check's interval, so it is asked for here.
        self.put_store("grpc-put-store-duplicated-address-offline", 3001, "tikv-3")
        self.see(
            "store-delete-force-after-plain-delete", "store-offline-turned-physically-destroyed"
        )
        self.world.tikvs["tikv-3"].wipe()
        self.world.start_tikv("tikv-3")
        assert self.wait_up("tikv-3") != lost
        self.registered("grpc-put-store-accepted-after-force-on-offline", None)
