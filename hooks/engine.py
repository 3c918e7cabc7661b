"""Observe → plan → apply: how every job that changes something runs (design.md, One engine).

A job is three functions and a name (`Job`). `plan` is pure; its actions are independent of each other, so that any
subset, in any order, may run or be cut off by a crash. What depends on an outcome belongs to the next plan, made
after looking again: `run` goes round until there is nothing to do, or only something to wait for or to refuse.

`--dry-run` prints the same lines in the conditional and writes nothing at all: no action, no Event, no ConfigMap.

Where a plan is told: stdout (table or JSON), a ConfigMap (the last plan, rewritten only when it changed), Events
for what was done and for refusals and waits that are new since the last plan, and metrics. Order of the lines:
verdict, then why, then what to type next; Helm 4 shows a hook's log as one escaped line, so the first line must say
it all.
"""

from __future__ import annotations

import argparse
import enum
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from hooks.kube.errors import KubeError, RetryableError
from hooks.metrics import Metrics


class Exit(enum.IntEnum):
    """Exit codes of every job (2 is argparse's: a wrong command line)."""

    DONE = 0  # done, or nothing to do
    ERROR = 1  # something broke; running it again is safe
    WAITING = 3  # nothing is wrong, the world has to go on first
    REFUSED = 4  # a person must decide


class EngineError(Exception):
    """Root of the engine's own errors."""


class JobError(EngineError):
    """A job cannot look or act, for a reason that is no KubeError; the message says what to do."""


@dataclass(frozen=True, order=True)
class Subject:
    """What an action, wait or refusal is about; `Pod shop/tikv-2`. `uid` tells apart objects of one name."""

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.namespace}/{self.name}"
            if self.namespace
            else f"{self.kind} {self.name}"
        )


@dataclass(frozen=True, kw_only=True)
class Action:
    """One step. Jobs subclass it and add what `apply` must check again: UID, resourceVersion, PD's state.

    code: short and stable, for metrics and tests (`delete-claim`). does: a phrase that follows "would" ("delete the
    claim of a store that PD calls Tombstone"). why: the evidence, with numbers.
    """

    code: str
    subject: Subject
    does: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Nothing is wrong, but something has to happen first. `until` says what ends it."""

    code: str
    subject: Subject
    why: str
    until: str
    numbers: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A person must decide. `remedy` is what to type or to change, and what it costs."""

    code: str
    subject: Subject
    why: str
    remedy: str
    numbers: Mapping[str, float | str] = field(default_factory=dict)


A = TypeVar("A", bound=Action)


def _order(entry: Action | Wait | Refusal) -> tuple[Subject, str]:
    return entry.subject, entry.code


@dataclass(frozen=True)
class Plan(Generic[A]):
    """Sorted by subject and code when it is made, so that the same world gives the same bytes."""

    actions: tuple[A, ...] = ()
    waits: tuple[Wait, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def __post_init__(self) -> None:
        for name in ("actions", "waits", "refusals"):
            object.__setattr__(self, name, tuple(sorted(getattr(self, name), key=_order)))

    @property
    def exit(self) -> Exit:
        """What the run ends in when this plan is all that is left: refusals weigh more than waits."""
        if self.refusals:
            return Exit.REFUSED
        return Exit.WAITING if self.waits else Exit.DONE

    def document(self) -> dict[str, Any]:
        """Plain data for `-o json` and the ConfigMap."""
        return {
            "actions": [_fields(a, "does", "why") for a in self.actions],
            "waits": [
                {**_fields(w, "why", "until"), "numbers": dict(w.numbers)} for w in self.waits
            ],
            "refusals": [
                {**_fields(r, "why", "remedy"), "numbers": dict(r.numbers)} for r in self.refusals
            ],
        }

    def text(self) -> str:
        """Canonical JSON: equal plans, equal bytes."""
        return json.dumps(self.document(), sort_keys=True, ensure_ascii=False, indent=1)


def _fields(entry: Action | Wait | Refusal, *names: str) -> dict[str, Any]:
    return {
        "code": entry.code,
        "subject": str(entry.subject),
        **{name: getattr(entry, name) for name in names},
    }


class Outcome(enum.Enum):
    DONE = "done"
    # The world is no longer what the plan assumed. No error: look again.
    STALE = "stale"


S = TypeVar("S")


class Job(Protocol[S, A]):
    """What a job package gives the engine. `name` is its subcommand."""

    @property
    def name(self) -> str: ...

    def observe(self) -> S:
        """Read the world into a frozen snapshot, the time included."""
        ...

    def plan(self, snapshot: S) -> Plan[A]:
        """Pure. Its docstring states the invariants."""
        ...

    def apply(self, action: A) -> Outcome:
        """Perform one action: read again, compare with what the plan assumed, write with preconditions.

        A ConflictError or NotFoundError of such a write is `Outcome.STALE`.
        """
        ...


class Reporter(Protocol):
    """Where a plan is told besides stdout; `hooks.reporting` has the one for a cluster. Never called in a dry run."""

    def planned(self, job: str, plan: Plan[Any]) -> None: ...

    def performed(self, job: str, action: Action, outcome: Outcome) -> None: ...


class Silent:
    """A Reporter that tells nobody."""

    def planned(self, job: str, plan: Plan[Any]) -> None:
        pass

    def performed(self, job: str, action: Action, outcome: Outcome) -> None:
        pass


@dataclass(frozen=True)
class Options:
    """How to run. `wait_seconds`: keep looking while the plan waits; 0 returns `Exit.WAITING` at once."""

    dry_run: bool = False
    output: str = "table"
    wait_seconds: float = 0.0
    poll_seconds: float = 2.0
    # A plan that always finds something to do is a defect; this many rounds without an end are reported as one.
    max_rounds: int = 100


def options(args: argparse.Namespace) -> Options:
    return Options(dry_run=args.dry_run, output=args.output, wait_seconds=args.wait)


# A wait is told when its reason is new, and then this often: an hour's log stays readable.
PROGRESS_SECONDS = 30.0


@dataclass
class Engine(Generic[S, A]):
    """Runs one job. `out` gets the data (table, JSON), `err` the story."""

    job: Job[S, A]
    options: Options = field(default_factory=Options)
    reporter: Reporter = field(default_factory=Silent)
    metrics: Metrics = field(default_factory=Metrics)
    out: Callable[[str], None] = lambda text: print(text, flush=True)
    err: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    # What the job saw, in a sentence: the line below the verdict, for jobs whose plan says little at rest.
    sees: Callable[[S], str] | None = None
    _seen: str = ""
    # The wait that was told last, and when.
    _progress_told: tuple[str, float] | None = None

    def run(self) -> Exit:
        """Go round until nothing is left to do. KubeError, JobError: told in one line, `Exit.ERROR`."""
        deadline = self.clock() + self.options.wait_seconds
        performed: list[tuple[A, Outcome]] = []
        rounds = 0
        while True:
            try:
                snapshot = self.job.observe()
                plan = self.job.plan(snapshot)
                self._seen = self.sees(snapshot) if self.sees is not None else ""
            except (KubeError, JobError) as error:
                if isinstance(error, RetryableError) and self.clock() < deadline:
                    self.err(f"{self.job.name}: {error}; looking again")
                    self.sleep(self.options.poll_seconds)
                    continue
                return self._broke(error)
            if self.options.dry_run:
                self._print(plan, performed)
                return plan.exit
            self._tell(plan)
            if plan.actions:
                rounds += 1
                if rounds > self.options.max_rounds:
                    first = plan.actions[0]
                    return self._broke(
                        JobError(
                            f"{rounds} rounds did not come to an end; the last wanted to {first.does} "
                            f"({first.subject}); this is a defect, please report it with the plan"
                        )
                    )
                try:
                    self._apply(plan, performed)
                except (KubeError, JobError) as error:
                    return self._broke(error)
                continue
            if plan.waits and self.clock() < deadline:
                self._progress(plan, deadline)
                self.sleep(min(self.options.poll_seconds, max(0.0, deadline - self.clock())))
                continue
            self.metrics.set("helm_tidb_last_success_seconds", time.time(), job=self.job.name)
            self._print(plan, performed)
            return plan.exit

    def _apply(self, plan: Plan[A], performed: list[tuple[A, Outcome]]) -> None:
        """All actions of one plan; the first error is raised after the others had their turn."""
        failed: KubeError | JobError | None = None
        for action in plan.actions:
            try:
                outcome = self.job.apply(action)
            except (KubeError, JobError) as error:
                self.err(f"{self.job.name}: could not {action.does} ({action.subject}): {error}")
                failed = failed or error
                continue
            performed.append((action, outcome))
            self.metrics.add(
                "helm_tidb_actions_total",
                job=self.job.name,
                code=action.code,
                outcome=outcome.value,
            )
            if outcome is Outcome.DONE:
                self.err(f"{self.job.name}: did {action.does} ({action.subject}): {action.why}")
            else:
                self.err(f"{self.job.name}: {action.subject} changed meanwhile; looking again")
            self.reporter.performed(self.job.name, action, outcome)
        if failed is not None:
            raise failed

    def _tell(self, plan: Plan[A]) -> None:
        for metric, entries in (
            ("helm_tidb_waits", plan.waits),
            ("helm_tidb_refusals", plan.refusals),
        ):
            counts: dict[tuple[tuple[str, str], ...], float] = {}
            for entry in entries:
                key = (("code", entry.code),)
                counts[key] = counts.get(key, 0.0) + 1
            self.metrics.reset(metric, counts, job=self.job.name)
        self.reporter.planned(self.job.name, plan)

    def _progress(self, plan: Plan[A], deadline: float) -> None:
        left = max(0.0, deadline - self.clock())
        first = plan.waits[0]
        more = f" (and {len(plan.waits) - 1} more)" if len(plan.waits) > 1 else ""
        reason = f"{first.subject}: {first.why}{more}"
        before = self._progress_told
        if (
            before is not None
            and before[0] == reason
            and self.clock() - before[1] < PROGRESS_SECONDS
        ):
            return
        self._progress_told = (reason, self.clock())
        self.err(f"{self.job.name}: waiting at most {left:.0f} s more: {reason}")

    def _broke(self, error: Exception) -> Exit:
        self.metrics.add("helm_tidb_errors_total", job=self.job.name)
        self.err(f"{self.job.name}: error: {error}")
        return Exit.ERROR

    def _print(self, plan: Plan[A], performed: list[tuple[A, Outcome]]) -> None:
        done = [action for action, outcome in performed if outcome is Outcome.DONE]
        if self.options.output == "json":
            document = {
                "job": self.job.name,
                "dryRun": self.options.dry_run,
                "verdict": verdict(self.job.name, plan, len(done), dry_run=self.options.dry_run),
                "exit": int(plan.exit),
                **({"sees": self._seen} if self._seen else {}),
                "done": [_fields(action, "does", "why") for action in done],
                **plan.document(),
            }
            self.out(json.dumps(document, ensure_ascii=False, indent=1))
            return
        self.out(verdict(self.job.name, plan, len(done), dry_run=self.options.dry_run))
        if self._seen:
            self.out(f"  sees: {self._seen}")
        for line in table(plan, done, dry_run=self.options.dry_run):
            self.out(line)


def verdict(job: str, plan: Plan[Any], done: int, *, dry_run: bool) -> str:
    """The first line, which says it all."""
    parts = []
    if dry_run:
        parts.append(
            f"would do {_count(len(plan.actions), 'step')}" if plan.actions else "nothing to do"
        )
    else:
        parts.append(f"did {_count(done, 'step')}" if done else "nothing to do")
    if plan.refusals:
        first = plan.refusals[0]
        parts.append(f"refuses {_count(len(plan.refusals), 'thing')}: {first.subject}: {first.why}")
    if plan.waits:
        first_wait = plan.waits[0]
        parts.append(
            f"waits for {_count(len(plan.waits), 'thing')}: {first_wait.subject}: {first_wait.why}"
        )
    return f"{job}: " + "; ".join(parts)


def table(plan: Plan[Any], done: list[Any], *, dry_run: bool) -> list[str]:
    """The lines below the verdict; a dry run's differ from a run's by "would" alone."""
    lines = [f"  did {a.does} ({a.subject}): {a.why}" for a in done]
    if dry_run:
        lines += [f"  would {a.does} ({a.subject}): {a.why}" for a in plan.actions]
    lines += [f"  waits: {w.subject}: {w.why}; ends when {w.until}" for w in plan.waits]
    lines += [f"  refuses: {r.subject}: {r.why}; to go on: {r.remedy}" for r in plan.refusals]
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
