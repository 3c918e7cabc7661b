"""The exporter beside the failover job itself, on the small stage: what a run leaves is what Prometheus gets."""

from __future__ import annotations

import pytest

from hooks import kube
from hooks.cli import main
from hooks.exporter import Exporter
from tests.faults.faulty import Fault
from tests.faults.stage import Stage

SINCE = 'helm_tidb_seconds_since_loss{job="failover",pod="basic-tikv-2"}'


def exporter(stage: Stage) -> Exporter:
    client = kube.Client(stage.api, manager="exporter", sleep=lambda _: None)
    return Exporter(client, "basic", "db", ("failover", "cleanup"), now=stage.now)


def told(stage: Stage) -> dict[str, float]:
    """Series → value, as a scrape has them now."""
    one = exporter(stage)
    one.read()
    assert not one.wrong
    lines = [line for line in one.metrics.text().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_nothing_was_ever_lost() -> None:
    """No ConfigMap is there yet: the counters begin at 0, and no refusal stands."""
    stage = Stage("store")
    assert told(stage) == {
        'helm_tidb_replacements_total{component="pd",job="failover"}': 0,
        'helm_tidb_replacements_total{component="tikv",job="failover"}': 0,
    }


def test_a_loss_is_counted_in_seconds_until_it_is_healed_and_then_as_a_replacement() -> None:
    stage = Stage("store and member")
    stage.run()
    stage.lose()
    stage.run()
    first = told(stage)
    assert first[SINCE] < 60
    stage.sleep(600)
    stage.run()
    assert told(stage)[SINCE] == pytest.approx(first[SINCE] + 600, abs=60)
    stage.heal()
    whole = told(stage)
    assert SINCE not in whole
    assert whole['helm_tidb_replacements_total{component="tikv",job="failover"}'] == 1
    assert whole['helm_tidb_replacements_total{component="pd",job="failover"}'] == 1
    stage.memory.objects["configmaps", "db", "tidb-finished-volumes"]["data"] = {}
    again = told(stage)
    assert again['helm_tidb_replacements_total{component="tikv",job="failover"}'] == 1, (
        "the count outlives the entry, which goes when the disk is cleared"
    )


def test_a_standing_refusal_is_told_by_its_reason() -> None:
    stage = Stage("store")
    stage.run()
    stage.lose()
    stage.pd.stores[11].update(alive=False)
    stage.sleep(3600)
    stage.run()
    assert told(stage)['helm_tidb_refusals{code="stores-lost",job="failover"}'] == 1


def test_when_a_job_began_and_ended_comes_from_its_cronjob() -> None:
    stage = Stage("store")
    status = {"lastScheduleTime": "2026-11-20T12:00:00Z"}
    job = {"apiVersion": "batch/v1", "kind": "CronJob", "status": status}
    stage.memory.put({**job, "metadata": {"name": "basic-cleanup", "namespace": "db"}})
    seen = told(stage)
    assert seen['helm_tidb_last_start_seconds{job="cleanup"}'] == 1795176000
    assert 'helm_tidb_last_success_seconds{job="cleanup"}' not in seen


def test_while_the_api_server_is_away_the_numbers_stay_and_healthz_says_why() -> None:
    stage = Stage("store")
    stage.run()
    one = exporter(stage)
    one.read()
    before = one.metrics.text()
    one.client.seconds = 0.0  # asks once
    stage.api.plan[len(stage.api.calls)] = Fault.SERVER_ERROR
    one.read()
    assert "500" in one.wrong
    assert set(before.splitlines()) <= set(one.metrics.text().splitlines())
    assert 'helm_tidb_errors_total{job="exporter"} 1' in one.metrics.text()


def test_a_plan_that_somebody_edited_is_no_plan() -> None:
    stage = Stage("store")
    stage.run()
    stage.memory.objects["configmaps", "db", "basic-plan-failover"]["data"]["plan.json"] = "[1,"
    assert not [name for name in told(stage) if "refusals" in name]


def test_it_says_which_option_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    assert main(["exporter", "--release=shop", "--of=failover"]) == 1
    assert "--namespace is not given and POD_NAMESPACE is not set" in capsys.readouterr().err
