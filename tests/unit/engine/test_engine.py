"""The engine with a toy job: what it prints, in which order it acts, and how it ends."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field, replace

import pytest

from hooks import cli, commandline, engine
from hooks.engine import (
    Action,
    Engine,
    Exit,
    JobError,
    Options,
    Outcome,
    Plan,
    Refusal,
    Subject,
    Wait,
)
from hooks.kube import Client, ConflictError, Recorder, RetryableError
from hooks.metrics import Metrics
from hooks.reporting import KubeReporter
from tests.faults.memory import Memory


def step(name: str) -> Action:
    return Action(code="paint", subject=Subject("Door", name), does="paint it", why="it is bare")


def wait(why: str = "the paint is wet") -> Wait:
    return Wait(code="wet", subject=Subject("Door", "a"), why=why, until="it is dry")


def refusal() -> Refusal:
    return Refusal(
        code="red", subject=Subject("Door", "b"), why="it is red", remedy="ask its owner"
    )


@dataclass
class Painter:
    """`world`: the plans that looking gives, one after the other; the last one for ever."""

    world: list[Plan[Action] | Exception]
    name: str = "painter"
    painted: list[str] = field(default_factory=list)
    outcomes: dict[str, Outcome | Exception] = field(default_factory=dict)

    def observe(self) -> Plan[Action]:
        now = self.world.pop(0) if len(self.world) > 1 else self.world[0]
        if isinstance(now, Exception):
            raise now
        return now

    def plan(self, snapshot: Plan[Action]) -> Plan[Action]:
        return snapshot

    def apply(self, action: Action) -> Outcome:
        outcome = self.outcomes.get(action.subject.name, Outcome.DONE)
        if isinstance(outcome, Exception):
            raise outcome
        self.painted.append(action.subject.name)
        return outcome


@dataclass
class Run:
    code: Exit
    out: list[str]
    err: list[str]
    job: Painter
    metrics: Metrics


def run(
    *world: Plan[Action] | Exception, reporter: KubeReporter | None = None, **options: object
) -> Run:
    return of(Painter(list(world)), reporter=reporter, **options)


def of(job: Painter, reporter: KubeReporter | None = None, **options: object) -> Run:
    out: list[str] = []
    err: list[str] = []
    metrics = Metrics()
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    runner = Engine(
        job,
        Options(**options),  # type: ignore[arg-type]
        reporter or engine.Silent(),
        metrics,
        out=out.append,
        err=err.append,
        sleep=sleep,
        clock=lambda: now[0],
    )
    return Run(runner.run(), out, err, job, metrics)


EMPTY: Plan[Action] = Plan()


def test_a_plan_is_sorted_so_that_the_same_world_gives_the_same_bytes() -> None:
    one = Plan((step("b"), step("a")), (wait(),), (refusal(),))
    two = Plan((step("a"), step("b")), (wait(),), (refusal(),))
    assert one.text() == two.text()
    assert [a.subject.name for a in one.actions] == ["a", "b"]


@pytest.mark.parametrize(
    ("plan", "code", "first"),
    [
        (EMPTY, Exit.DONE, "painter: nothing to do"),
        (
            Plan((), (wait(),)),
            Exit.WAITING,
            "painter: nothing to do; waits for 1 thing: Door a: the paint is wet",
        ),
        (
            Plan((), (wait(),), (refusal(),)),
            Exit.REFUSED,
            "painter: nothing to do; refuses 1 thing: Door b: it is red; waits for 1 thing: Door a: the paint is wet",
        ),
    ],
)
def test_the_first_line_says_it_all(plan: Plan[Action], code: Exit, first: str) -> None:
    done = run(plan)
    assert (done.code, done.out[0]) == (code, first)


def test_it_goes_round_until_nothing_is_left() -> None:
    done = run(Plan((step("a"), step("b"))), Plan((step("c"),)), EMPTY)
    assert (done.code, done.job.painted) == (Exit.DONE, ["a", "b", "c"])
    assert done.out == [
        "painter: did 3 steps",
        "  did paint it (Door a): it is bare",
        "  did paint it (Door b): it is bare",
        "  did paint it (Door c): it is bare",
    ]


def test_a_dry_run_does_nothing_and_prints_the_same_lines_in_the_conditional() -> None:
    memory = Memory()
    reporter = KubeReporter(Client(memory, manager="t"), "n", "shop")
    done = run(Plan((step("a"),), (wait(),), (refusal(),)), dry_run=True, reporter=reporter)
    assert (done.code, done.job.painted, memory.objects) == (Exit.REFUSED, [], {})
    assert done.out[0].startswith("painter: would do 1 step; refuses 1 thing")
    assert done.out[1:] == [
        "  would paint it (Door a): it is bare",
        "  waits: Door a: the paint is wet; ends when it is dry",
        "  refuses: Door b: it is red; to go on: ask its owner",
    ]


def test_json_has_all_of_it() -> None:
    said = json.loads(
        "\n".join(run(Plan((step("a"),)), Plan((), (), (refusal(),)), output="json").out)
    )
    assert said["exit"] == 4
    assert said["verdict"] == "painter: did 1 step; refuses 1 thing: Door b: it is red"
    assert said["done"] == [
        {"code": "paint", "subject": "Door a", "does": "paint it", "why": "it is bare"}
    ]
    assert said["refusals"][0]["remedy"] == "ask its owner"


def test_a_stale_action_is_no_error() -> None:
    job = Painter([Plan((step("a"),)), EMPTY], outcomes={"a": Outcome.STALE})
    done = of(job)
    assert (done.code, done.out) == (Exit.DONE, ["painter: nothing to do"])
    assert "Door a changed meanwhile; looking again" in done.err[0]


def test_an_error_of_one_action_lets_the_others_have_their_turn() -> None:
    job = Painter([Plan((step("a"), step("b")))], outcomes={"a": ConflictError("409 no")})
    done = of(job)
    assert (done.code, job.painted) == (Exit.ERROR, ["b"])
    assert done.err[0] == "painter: could not paint it (Door a): 409 no"
    assert 'helm_tidb_errors_total{job="painter"} 1' in done.metrics.text()


def test_waiting_is_told_with_the_time_that_is_left() -> None:
    done = run(*[Plan((), (wait(),))] * 17, EMPTY, wait_seconds=60)
    assert done.code is Exit.DONE
    # Every 2 s it looks; the same reason is told every 30 s.
    assert done.err == [
        "painter: waiting at most 60 s more: Door a: the paint is wet",
        "painter: waiting at most 30 s more: Door a: the paint is wet",
    ]


def test_a_new_reason_to_wait_is_told_at_once() -> None:
    other = replace(wait(), why="it rains")
    done = run(Plan((), (wait(),)), Plan((), (other,)), Plan((), (wait(),)), EMPTY, wait_seconds=60)
    assert [line.rpartition(": ")[2] for line in done.err] == [
        "the paint is wet",
        "it rains",
        "the paint is wet",
    ]


def test_waiting_has_an_end() -> None:
    assert run(Plan((), (wait(),)), wait_seconds=10).code is Exit.WAITING


def test_an_api_server_that_is_away_is_waited_for_as_long_as_one_waits_at_all() -> None:
    away = RetryableError("GET /x: no connection")
    assert run(away, EMPTY, wait_seconds=10).code is Exit.DONE
    done = run(away)
    assert (done.code, done.err) == (Exit.ERROR, ["painter: error: GET /x: no connection"])


def test_a_plan_without_end_is_reported_as_a_defect() -> None:
    done = run(Plan((step("a"),)))
    assert done.code is Exit.ERROR
    assert "rounds did not come to an end; the last wanted to paint it (Door a)" in done.err[-1]


def test_a_jobs_own_error_is_one_line() -> None:
    assert run(JobError("no brush: buy one")).err == ["painter: error: no brush: buy one"]


def test_the_last_plan_is_kept_and_only_news_are_events() -> None:
    memory = Memory()
    client = Client(memory, manager="t")

    def told(plan: Plan[Action]) -> None:
        # A new process each time, as a CronJob has.
        run(plan, reporter=KubeReporter(client, "n", "shop", Recorder(client, "c", "i")))

    told(Plan((), (wait(),), (refusal(),)))
    assert sorted(event["reason"] for event in memory.all("events")) == ["Red", "Wet"]
    at_rest = memory.version
    told(Plan((), (wait(),), (refusal(),)))
    assert memory.version == at_rest, "at rest nothing is written"
    told(Plan((), (wait("it rains"),), (refusal(),)))
    assert sorted(event["reason"] for event in memory.all("events")) == ["Red", "Wet", "Wet"]
    (kept,) = memory.all("configmaps")
    assert kept["metadata"]["name"] == "shop-plan-painter"
    assert json.loads(kept["data"]["plan.json"])["waits"][0]["why"] == "it rains"


def test_a_plan_that_is_too_long_for_a_configmap_is_kept_in_part() -> None:
    memory = Memory()
    waits = tuple(
        Wait(code="wet", subject=Subject("Door", f"d{n:05}"), why="wet " * 10, until="dry")
        for n in range(10_000)
    )
    run(Plan((), waits), reporter=KubeReporter(Client(memory, manager="t"), "n", "shop"))
    (kept,) = memory.all("configmaps")
    document = json.loads(kept["data"]["plan.json"])
    assert len(document["waits"]) == 200
    assert document["left out"]["waits"] == 9800


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90s", 90), ("1h30m", 5400), ("72h", 259200), ("2d", 172800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert commandline.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "1 h", "h", "-5m", "1h30"])
def test_what_is_no_duration_is_named_with_the_form(text: str) -> None:
    with pytest.raises(
        argparse.ArgumentTypeError, match="expected numbers with units, such as 30s"
    ):
        commandline.duration(text)


def test_metrics_are_prometheus_text() -> None:
    metrics = Metrics()
    metrics.add("helm_tidb_errors_total", job='a"b\\c\nd')
    metrics.set("helm_tidb_leader", 1)
    text = metrics.text()
    assert 'helm_tidb_errors_total{job="a\\"b\\\\c\\nd"} 1\n' in text
    assert "# TYPE helm_tidb_leader gauge\nhelm_tidb_leader 1\n" in text
    with pytest.raises(KeyError, match="metric unheard_of has no help text"):
        metrics.set("unheard_of", 1)


def test_help_names_every_job_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(name in said for name in cli.JOBS)
    assert "3 waiting, 4 refused" in said


def test_a_connection_that_cannot_be_made_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    assert cli.main(["volumes", "--kubeconfig", f"{tmp_path}/none"]) == Exit.ERROR
    assert capsys.readouterr().err.startswith("volumes: error: cannot tell which API server to use")
