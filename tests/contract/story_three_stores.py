"""One PD and three stores: PD restarts; one store is lost, forced out, replaced; then two of three, then all."""

from __future__ import annotations

from tests.contract import door
from tests.contract.compare import Names
from tests.contract.story import NEVER, Story


class ThreeStores(Story):
    def tell(self) -> None:
        self.world.start_pds(1)
        self.start_stores("tikv-0", "tikv-1", "tikv-2")
        self.pace(2000)
        self.post_config(schedule__max_store_down_time="30s")
        self.wait_served(3)
        self.world.wait_until_whole()
        ids = {1: "tikv-0", 4: "tikv-1", 5: "tikv-2"}
        self.names = Names({captured: self.world.id_of(tikv) for captured, tikv in ids.items()}, {})
        self.pd_restarted()
        self.one_lost()
        self.destroyed()
        self.replaced()
        self.two_lost()

    def pd_restarted(self) -> None:
        # Longer than max-store-down-time: the heartbeat that PD wrote down is older.
        self.wait_heartbeats(45)
        pd = self.world.pds["pd-0"]
        with self.frozen(*self.world.tikvs.values()):
            pd.kill()
            pd.start()
            self.world.wait_for_leader()
            self.see("stores-just-after-pd-restart")
        for tikv in self.world.tikvs:
            self.wait_up(tikv)
        self.post_config(schedule__max_store_down_time="1m")
        self.world.wait_until_whole()
        self.see("three-stores-healthy", "store-delete-refused-3-up")

    def one_lost(self) -> None:
        """tikv-2 (5 in the captures) is lost; a TiKV with an empty disk comes up at its address and is refused."""
        lost = self.names.ids[5]
        self.post_config(schedule__max_store_down_time="1h")  # not Down while we look
        self.world.tikvs["tikv-2"].kill()
        self.world.wait_for_state(lost, "Disconnected")
        self.see(
            "three-stores-one-disconnected",
            "store-delete-refused-disconnected-3-of-3",
            "store-delete-healthy-refused-one-lost-3-of-3",
        )
        self.post_config(schedule__max_store_down_time="1m")
        self.world.wait_for_state(lost, "Down")
        self.see("three-stores-one-down", "store-delete-refused-down-3-of-3")
        self.see_checks("three-stores-one-down", until=30)

    def destroyed(self) -> None:
        self.see(
            "store-delete-force-3-of-3",
            "store-physically-destroyed",
            "stores-physically-destroyed",
            "stores-check-offline-destroyed",
            "stores-progress-destroyed",
            "store-delete-force-again",
            "store-delete-physically-destroyed",
            "store-delete-refused-while-destroyed",
            "store-state-up-physically-destroyed",
        )
        self.see_checks("destroyed")
        old = self.names.ids[5]
        self.put_store("grpc-put-store-physically-destroyed-id", old, "tikv-2")
        self.heartbeat("grpc-store-heartbeat-physically-destroyed", old)
        if door.is_open():
            self.see("store-physically-destroyed-came-back")

    def replaced(self) -> None:
        """The replacement starts on an empty disk: first refused (another store's address), then taken."""
        old = self.names.ids[5]
        tikv = self.world.tikvs["tikv-2"]
        tikv.wipe()
        new = self.refused_identity("tikv-2", at="tikv-0")
        self.names = Names(self.names.ids | {156: new}, {})
        if door.is_open():
            error = door.put_store(self.world, new, "tikv-0")
            # Another address than in the capture, and the same refusal: that store lives.
            self.names = Names(self.names.ids | {5: self.names.ids[1]}, {})
            self.registered("grpc-put-store-duplicated-address", error)
            self.names = Names(self.names.ids | {5: old}, {})
        self.put_store("grpc-put-store-same-address-after-force", new, "tikv-2")
        if door.is_open():
            self.see("stores-new-id-just-registered")
        self.see("stores-limit-post-15")
        self.pace(NEVER)  # one peer comes, and the new store is filling for as long as we look
        self.world.start_tikv("tikv-2")
        self.wait_regions(new, lambda count: count >= 1)
        self.see("stores-new-id-after-force", until=30)
        self.put_store("grpc-put-store-old-id-address-taken", old, "tikv-2")
        self.pace(2 * NEVER)  # a changed limit lets one more come
        self.wait_regions(new, lambda count: count >= 2)
        self.see("stores-new-id-filling", until=30)
        self.see("stores-progress-destroyed-filling", until=30)
        self.see_checks("filling", until=30)
        self.pace(2000)
        self.world.wait_for_state(old, "Tombstone")
        self.world.wait_until_whole()
        self.see("store-tombstone-after-force", "stores-replaced-all", "stores-replaced-default")
        self.see_checks("replaced")

    def two_lost(self) -> None:
        """tikv-1 (4) is lost and forced out with ?force=false, then tikv-0 (1) is lost: no majority is left."""
        self.post_config(schedule__max_store_down_time="1h")  # not Down while we look
        for captured, tikv in ((4, "tikv-1"), (1, "tikv-0")):
            self.world.tikvs[tikv].kill()
            self.world.wait_for_state(self.names.ids[captured], "Disconnected")
            if captured == 4:
                self.see("store-delete-force-equals-false", "store-after-force-equals-false")
        self.see("stores-two-of-three-lost")
        self.see_checks("two-of-three-lost", until=30)
        self.see(
            "store-delete-two-of-three-lost",
            "store-delete-force-two-of-three-lost",
            "store-delete-force-healthy",
            "stores-all-destroyed",
        )
