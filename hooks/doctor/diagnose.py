"""From a snapshot to everything that isn't well, with reason and remedy. Pure: the same snapshot, the same words.

Each part looks at one kind of thing and knows nothing of the others; a thing is told once, where its cause is:
a pending pod speaks for its claim, a Job for its pods. Nothing is hidden behind a first error: all findings are given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hooks import kube
from hooks.doctor import containers, disks, pending, stores, workloads
from hooks.doctor.finding import Finding, Weight, count
from hooks.doctor.scheduler import World
from hooks.doctor.snapshot import Gap, Snapshot
from hooks.engine import EngineError, Exit
from hooks.kube.kinds import Obj


class PodError(EngineError):
    """The pod that was named is not there."""


@dataclass(frozen=True)
class Diagnosis:
    """Findings, the weightiest first."""

    findings: tuple[Finding, ...]
    gaps: tuple[Gap, ...]
    looked_at: str

    @property
    def blind(self) -> bool:
        """Not even the release's own pods could be read: silence would say nothing."""
        return any(gap.resource == "pods" and gap.namespace for gap in self.gaps)

    @property
    def exit(self) -> Exit:
        if self.blind and not self.findings:
            return Exit.ERROR
        worst = min((one.weight for one in self.findings), default=Weight.NOTE)
        if worst is Weight.PROBLEM:
            return Exit.REFUSED
        return Exit.WAITING if worst is Weight.WAITING else Exit.DONE

    @property
    def verdict(self) -> str:
        problems = sum(one.weight is Weight.PROBLEM for one in self.findings)
        waits = sum(one.weight is Weight.WAITING for one in self.findings)
        if self.blind and not self.findings:
            return f"{self.looked_at}: can't tell, for its pods may not be listed"
        if not problems and not waits:
            return f"{self.looked_at}: nothing is wrong" + (
                " in what could be read" if self.gaps else ""
            )
        parts = [f"{count(problems, 'problem')} that a person must end"] if problems else []
        parts += (
            [
                f"{count(waits, 'thing')} that will end by itself"
                if waits == 1
                else f"{waits} things that end by themselves"
            ]
            if waits
            else []
        )
        first = self.findings[0]
        return f"{self.looked_at}: {', '.join(parts)}; first: {first.subject}: {first.why}"


def diagnose(snapshot: Snapshot, pod: str = "") -> Diagnosis:
    """All findings of the release, or those of one pod of the namespace. PodError when it is not there."""
    world = World.of(snapshot.objects)
    if pod:
        pods = [one for one in snapshot.own("Pod") if kube.name(one) == pod]
        if not pods:
            there = sorted(kube.name(one) for one in snapshot.released("Pod"))
            raise PodError(
                f"there is no pod {pod} in namespace {snapshot.namespace}; pods of {snapshot.release}: "
                f"{', '.join(there) or 'none'}"
            )
        found = [*pending.of(pods, snapshot, world), *containers.of(pods, snapshot, world)]
    else:
        found = list(_all(snapshot, world))
    # The cause before what follows from it.
    found.sort(key=lambda one: (one.weight, one.subject.kind != "Node", one.subject, one.code))
    what = f"pod {pod}" if pod else f"release {snapshot.release}"
    return Diagnosis(tuple(found), snapshot.gaps, what)


def _all(snapshot: Snapshot, world: World) -> Iterator[Finding]:
    pods: list[Obj] = snapshot.released("Pod")
    yield from pending.of(pods, snapshot, world)
    yield from containers.of(pods, snapshot, world)
    yield from workloads.refused_pods(snapshot)
    yield from workloads.failed_jobs(snapshot)
    yield from workloads.idle_claims(snapshot, world, pods)
    away = containers.stranded(pods, snapshot, world)
    told = frozenset(kube.name(pod) for there in away.values() for pod in there)
    yield from stores.findings(snapshot, told)
    yield from disks.findings(snapshot)
