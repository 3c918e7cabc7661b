"""Carry out what boot decided: the arguments file, or the record. Each once, and whole."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hooks.boot import record
from hooks.boot.model import WriteArgs, WriteRecord
from hooks.boot.observe import Self
from hooks.engine import Action, Outcome, Plan, Refusal, Wait
from hooks.kube import Client, KubeError, Recorder, Regarding
from hooks.reporting import camel


def write_args(path: Path, args: str) -> Outcome:
    """Whole or not at all: the main container reads it in the same second."""
    partial = path.with_suffix(".partial")
    partial.write_text(args + "\n")
    os.replace(partial, path)
    return Outcome.DONE


def apply(me: Self, client: Client, action: WriteArgs | WriteRecord) -> Outcome:
    if isinstance(action, WriteRecord):
        return record.write(client, me.namespace, me.cluster.release, action.before, action.now)
    return write_args(me.args_file, action.args)


@dataclass
class PodEvents:
    """Tells waits and refusals as Events of this pod, so that `kubectl describe pod` shows why it does not start.

    Each once a process. A failure to tell never keeps a database from starting.
    """

    me: Self
    recorder: Recorder
    _told: set[tuple[str, str]] = field(default_factory=set)

    def planned(self, job: str, plan: Plan[Any]) -> None:
        for wait in plan.waits:
            self._tell(job, wait, f"waits: {wait.why}; ends when {wait.until}")
        for refusal in plan.refusals:
            self._tell(job, refusal, f"refuses: {refusal.why}; to go on: {refusal.remedy}")

    def performed(self, job: str, action: Action, outcome: Outcome) -> None:
        """What was done is in the log; a start needs no Event."""

    def _tell(self, job: str, entry: Wait | Refusal, note: str) -> None:
        if (entry.code, entry.why) in self._told:
            return
        self._told.add((entry.code, entry.why))
        pod = Regarding("v1", "Pod", self.me.pod, self.me.namespace, self.me.uid)
        try:
            self.recorder.record(
                pod, reason=camel(entry.code), note=note, action="Boot", type_="Warning"
            )
        except KubeError as error:
            print(f"{job}: could not make an Event: {error}", flush=True)
