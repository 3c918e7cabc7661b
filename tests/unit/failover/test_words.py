"""What a person reads of a run besides the plan's own reasons: what it sees, at rest, with a loss, without PD."""

from __future__ import annotations

from tests.faults.small_pd import PdFault
from tests.faults.stage import Stage


def test_at_rest_it_says_what_it_sees() -> None:
    stage = Stage("store")
    stage.run()
    stage.said.clear()
    stage.run()
    assert stage.said == [
        "failover: nothing to do",
        "  sees: PD cluster 7710175945323556207 led by basic-pd-0; 3 of 3 members healthy; stores: 3 Up",
    ]


def test_a_place_that_is_not_well_is_named_with_its_volume_and_node() -> None:
    stage = Stage("store")
    stage.run()
    stage.memory.objects["nodes", "", "n2"]["status"]["conditions"] = [
        {"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-11-20T11:59:00Z"}
    ]
    stage.pd.stores[12].update(alive=False)
    stage.sleep(60)
    stage.run()
    (line,) = (line for line in stage.said[-3:] if "sees:" in line)
    assert line.endswith(
        "stores: 1 Disconnected, 2 Up; not well: basic-tikv-2 (volume pv-tikv-2 on Node n2, NotReady since "
        "2026-11-20 11:59:00 UTC)"
    )


def test_a_deleted_node_is_no_node() -> None:
    stage = Stage("store")
    stage.run()
    stage.lose()
    stage.memory.put(
        stage.memory.objects["nodes", "", "n3"]
        | {"spec": {"unschedulable": True}}  # no room: it waits
    )
    stage.run()
    assert any("not well: basic-tikv-2 (volume pv-tikv-2 on no Node)" in one for one in stage.said)


def test_without_pd_it_says_so() -> None:
    stage = Stage("store")
    stage.run()
    stage.pd.faults.update(dict.fromkeys(range(10_000), PdFault.SILENCE))
    stage.run()
    assert (
        "  sees: no view of PD (GET /pd/api/v1/members reached no PD member in 30 s"
        in "\n".join(stage.said)
    )
