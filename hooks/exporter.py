"""`python -m hooks exporter`: what the release's CronJobs told last, as Prometheus metrics.

The pod of a CronJob has ended long before Prometheus could ask it. What a run leaves behind has not: the last plan
(ConfigMap `<release>-plan-<job>`), since when which place has not been well (`<release>-failover`), how many
replacements there were (an annotation of the journal), and when it last began and ended without error (the CronJob's
status). This process reads them every `--every` and keeps nothing; it has no right to write.

While the API server does not answer, the numbers stay as they were read last, `helm_tidb_errors_total` grows and
`/healthz` says why.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hooks import commandline, kube
from hooks.engine import Exit, JobError
from hooks.failover import journal, kept
from hooks.failover.model import Component
from hooks.kube import KubeError
from hooks.metrics import Metrics, serve
from hooks.reporting import plan_in, plan_name
from schema import names

NAME = "exporter"


def configure(parser: argparse.ArgumentParser) -> None:
    commandline.release(parser)
    parser.add_argument(
        "--of",
        action="append",
        required=True,
        metavar="JOB",
        help="a CronJob of the release: failover, cleanup; may be said several times",
    )
    parser.add_argument(
        "--every",
        type=commandline.duration,
        default=15.0,
        metavar="DURATION",
        help="how often the API server is asked (default: 15s)",
    )
    parser.add_argument("--port", type=int, default=8080, help="of /metrics and /healthz")
    commandline.api_server(parser)


def run(args: argparse.Namespace) -> int:
    """Until SIGTERM. JobError when the namespace is not known."""
    if not args.namespace:
        raise JobError("--namespace is not given and POD_NAMESPACE is not set: say one of them")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    client = kube.Client.connect(NAME, kubeconfig=args.kubeconfig, context=args.context)
    exporter = Exporter(client, args.release, args.namespace, tuple(args.of))
    server = serve(exporter.metrics, args.port, healthy=lambda: exporter.wrong)
    try:
        while True:
            exporter.read()
            if stop.wait(args.every):
                return Exit.DONE
    finally:
        server.shutdown()


@dataclass
class Exporter:
    """`of` are names of jobs. `wrong` is why the last reading failed; "" when it did not."""

    client: kube.Client
    release: str
    namespace: str
    of: tuple[str, ...]
    metrics: Metrics = field(default_factory=Metrics)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    wrong: str = "nothing was read yet"

    def read(self) -> None:
        try:
            for job in self.of:
                self._plan(job)
                self._runs(job)
            if "failover" in self.of:
                self._losses()
                self._replacements()
        except KubeError as error:
            self.wrong = str(error)
            self.metrics.add("helm_tidb_errors_total", job=NAME)
            print(f"{NAME}: error: {error}", file=sys.stderr, flush=True)
        else:
            self.wrong = ""

    def _plan(self, job: str) -> None:
        """Waits and refusals of the last plan, by reason. The engine counts a long-lived job's the same way."""
        document = plan_in(self._find(plan_name(self.release, job)))
        for part in ("waits", "refusals"):
            codes = [str(entry["code"]) for entry in document.get(part, ())]
            self.metrics.reset(
                f"helm_tidb_{part}", {(("code", one),): codes.count(one) for one in codes}, job=job
            )

    def _runs(self, job: str) -> None:
        """As the CronJob's status has it; no series for what has not happened yet."""
        found = self.client.find(kube.CRON_JOB, f"{self.release}-{job}", self.namespace) or {}
        status = found.get("status") or {}
        for metric, key in (("start", "lastScheduleTime"), ("success", "lastSuccessfulTime")):
            if when := status.get(key):
                seconds = datetime.fromisoformat(when).timestamp()
                self.metrics.set(f"helm_tidb_last_{metric}_seconds", seconds, job=job)

    def _losses(self) -> None:
        since = kept.lost_in(self._find(kept.name(self.release)))
        spans = {pod: (self.now() - when).total_seconds() for pod, when in since.items()}
        self.metrics.reset(
            "helm_tidb_seconds_since_loss",
            {(("pod", pod),): max(0.0, seconds) for pod, seconds in spans.items()},
            job="failover",
        )

    def _replacements(self) -> None:
        found = self._find(names.FINISHED_VOLUMES)
        for component in Component:
            self.metrics.set(
                "helm_tidb_replacements_total",
                journal.replaced(found, self.release, component),
                job="failover",
                component=component.value,
            )

    def _find(self, name: str) -> kube.Obj | None:
        return self.client.find(kube.CONFIG_MAP, name, self.namespace)
