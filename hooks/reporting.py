"""Where plans are told in a cluster: the last one in a ConfigMap, and Events.

The ConfigMap `<release>-plan-<job>` has `plan.json` (Plan.text) and `verdict`. It is written only when the plan
changed, so that a job at rest writes nothing. Events are made for what was done, and for waits and refusals that
the last plan did not have. A failure to tell never fails the work: it is told on stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hooks.engine import Action, Outcome, Plan, Refusal, Subject, Wait, verdict
from hooks.kube import CONFIG_MAP, Client, KubeError, NotFoundError, Recorder, Regarding

# A ConfigMap ends at 1 MiB; 24,000 released disks would each have a wait in the plan.
_MOST_BYTES = 512 * 1024
_FIRST = 200
PLAN_KEY = "plan.json"

_API_VERSIONS = {
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "TidbVolume": "helm-tidb.io/v1",
}


# Objects without a namespace; their Events belong into `default`.
_CLUSTER_SCOPED = frozenset({"Node", "PersistentVolume", "TidbVolume", "StorageClass"})


def regarding(subject: Subject, home: str = "") -> Regarding:
    """A Subject as an Event's object. What is no Kubernetes kind (a store in PD) keeps its word as kind, and
    its Events belong into the job's own namespace, `home`.
    """
    namespace = subject.namespace or ("" if subject.kind in _CLUSTER_SCOPED else home)
    return Regarding(
        api_version=_API_VERSIONS.get(subject.kind, "v1"),
        kind=subject.kind,
        name=subject.name,
        namespace=namespace,
        uid=subject.uid,
    )


def plan_name(release: str, job: str) -> str:
    """The ConfigMap that holds the last plan of a job."""
    return f"{release}-plan-{job}"


def plan_in(config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The plan that such a ConfigMap holds: {actions, waits, refusals}; {} for none, or one that somebody edited."""
    try:
        found = json.loads(((config or {}).get("data") or {}).get(PLAN_KEY, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def keep(client: Client, release: str, namespace: str, name: str, data: dict[str, str]) -> None:
    """Merge keys into a ConfigMap of the release's jobs, made when it is not there."""
    try:
        client.merge_patch(CONFIG_MAP, name, {"data": data}, namespace)
    except NotFoundError:
        labels = {
            "app.kubernetes.io/managed-by": "helm-tidb",
            "app.kubernetes.io/instance": release,
        }
        metadata = {"name": name, "namespace": namespace, "labels": labels}
        client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def camel(code: str) -> str:
    """`delete-claim` → `DeleteClaim`, the form of an Event's reason."""
    return "".join(word.capitalize() for word in code.split("-"))


@dataclass
class KubeReporter:
    """`namespace` and `release` name the ConfigMap; `events` may be None for jobs without that right."""

    client: Client
    namespace: str
    release: str
    events: Recorder | None = None
    # Text of the plan that was told last, by job; None: not read yet in this process.
    _last: dict[str, str | None] = field(default_factory=dict)

    def planned(self, job: str, plan: Plan[Any]) -> None:
        try:
            last = self._read(job)
            text = _fit(plan)
            if text == last:
                return
            self._write(job, plan, text)
            before = _said(last)
            entries: tuple[Wait | Refusal, ...] = (*plan.refusals, *plan.waits)
            for entry in entries:
                if (entry.code, str(entry.subject), entry.why) not in before:
                    self._event(entry)
        except KubeError as error:
            print(f"{job}: could not tell the plan: {error}", file=sys.stderr, flush=True)

    def performed(self, job: str, action: Action, outcome: Outcome) -> None:
        if self.events is None or outcome is not Outcome.DONE:
            return
        try:
            self.events.record(
                regarding(action.subject, self.namespace),
                reason=camel(action.code),
                note=f"did {action.does}: {action.why}",
                action=camel(action.code),
            )
        except KubeError as error:
            print(f"{job}: could not record an Event: {error}", file=sys.stderr, flush=True)

    def _event(self, entry: Wait | Refusal) -> None:
        if self.events is None:
            return
        waits = isinstance(entry, Wait)
        ends = (
            f"ends when {entry.until}" if isinstance(entry, Wait) else f"to go on: {entry.remedy}"
        )
        self.events.record(
            regarding(entry.subject, self.namespace),
            reason=camel(entry.code),
            note=f"{'waits' if waits else 'refuses'}: {entry.why}; {ends}",
            action="Wait" if waits else "Refuse",
            type_="Normal" if waits else "Warning",
        )

    def _read(self, job: str) -> str:
        known = self._last.get(job)
        if known is not None:
            return known
        found = self.client.find(CONFIG_MAP, plan_name(self.release, job), self.namespace)
        return str(((found or {}).get("data") or {}).get(PLAN_KEY, ""))

    def _write(self, job: str, plan: Plan[Any], text: str) -> None:
        data = {PLAN_KEY: text, "verdict": verdict(job, plan, 0, dry_run=True)}
        keep(self.client, self.release, self.namespace, plan_name(self.release, job), data)
        self._last[job] = text


def _fit(plan: Plan[Any]) -> str:
    """The plan as text; of one that is too long for a ConfigMap, how much there is of everything and the
    beginning.
    """
    text = plan.text()
    if len(text.encode()) <= _MOST_BYTES:
        return text
    document = plan.document()
    short: dict[str, Any] = {part: entries[:_FIRST] for part, entries in document.items()}
    short["left out"] = {
        part: len(entries) - len(short[part]) for part, entries in document.items()
    }
    return json.dumps(short, sort_keys=True, ensure_ascii=False, indent=1)


def _said(text: str) -> set[tuple[str, str, str]]:
    try:
        document = json.loads(text or "{}")
        return {
            (entry["code"], entry["subject"], entry["why"])
            for part in ("waits", "refusals")
            for entry in document.get(part, [])
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()  # edited by hand: tell everything again
