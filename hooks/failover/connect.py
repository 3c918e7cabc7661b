"""What failover and cleanup have in common as programs: where PD and the release are, Events, the Lease, the
exit code.
"""

from __future__ import annotations

import argparse
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hooks import commandline, engine, kube, pd
from hooks.engine import Engine, Exit, JobError
from hooks.failover.objects import Names
from hooks.reporting import KubeReporter
from schema import names as shared


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of a job that works on one release and its PD."""
    commandline.release(parser)
    parser.add_argument(
        "--domain", default="", help="what follows a Service's name (default: .<namespace>.svc)"
    )
    parser.add_argument(
        "--pd",
        action="append",
        default=[],
        metavar="URL",
        help="where PD listens, instead of the release's own Services; may be said several times",
    )
    parser.add_argument("--ca", type=Path, help="PD's certificate authority; turns TLS on")
    parser.add_argument("--certificate", type=Path, help="our certificate for PD")
    parser.add_argument("--key", type=Path, help="its key")
    parser.add_argument(
        "--scheduled", action="store_true", help="end with 0 also when waiting or refusing"
    )
    # Not a word of the command line: `kubectl tidb plan` reaches PD through the API server's proxy.
    parser.set_defaults(transport=None)
    commandline.job(parser)


# A Lease that nobody renews is free after 15 s. Each run is a new process, which must see that for itself: to give
# up at first sight would leave the Lease of a job that was killed with it for ever.
PATIENCE_SECONDS = kube.LEASE_SECONDS + 5.0


@dataclass
class Turn:
    """The Lease that all jobs of a release share. It keeps noise away; safety is in each action's preconditions."""

    lease: kube.Lease
    held_by: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def take(self) -> None:
        """Before each action. JobError that says for whom we wait, when that one stays alive."""
        try:
            kube.acquire(self.lease, stop=self.stop, seconds=PATIENCE_SECONDS)
        except kube.HeldError as error:
            self.held_by = error.holder
            raise JobError(
                f"waits for {self.held_by}, which holds Lease {self.lease}; the next run looks again"
            ) from error

    def give_back(self) -> None:
        with suppress(kube.KubeError):  # it runs out by itself
            self.lease.release()


@dataclass
class Connection:
    """The two ends that a job talks to, and its turn among the jobs of the release."""

    client: kube.Client
    names: Names
    turn: Turn
    transport: pd.Transport
    urls: tuple[str, ...]

    @classmethod
    def make(cls, job: str, args: argparse.Namespace) -> Connection:
        """JobError when the namespace is not known."""
        if not args.namespace:
            raise JobError("--namespace is not given and POD_NAMESPACE is not set: say one of them")
        client = kube.Client.connect(job, kubeconfig=args.kubeconfig, context=args.context)
        tls = pd.Tls(args.ca, args.certificate, args.key) if args.ca else None
        names = Names(
            args.release,
            args.namespace,
            args.domain or f".{args.namespace}.svc",
            "https" if tls else "http",
        )
        holder = f"{job} {socket.gethostname()}"
        lease = kube.Lease(client, args.namespace, names.lease, holder)
        return cls(client, names, Turn(lease), args.transport or pd.Http(tls), tuple(args.pd))

    def pd_of(self, urls: Iterable[str]) -> pd.Pd:
        return pd.Pd(self.urls or list(urls), transport=self.transport)

    def run(self, job: Any, args: argparse.Namespace, sees: Callable[[Any], str]) -> int:
        """`sees` says in a sentence what a snapshot shows.

        `--scheduled` (a CronJob) ends waits and refusals with 0: Events and the ConfigMap `<release>-plan-<job>` tell
        them, and a Job that "failed" at each run of a long wait would hide the one that broke.
        """
        runner: Engine[Any, Any] = Engine(job, engine.options(args), sees=sees)
        if not args.dry_run:
            events = kube.Recorder(self.client, f"{shared.GROUP}/{job.name}", socket.gethostname())
            runner.reporter = KubeReporter(
                self.client, self.names.namespace, self.names.release, events
            )
        code = runner.run()
        self.turn.give_back()
        if self.turn.held_by:
            code = Exit.WAITING
        return Exit.DONE if args.scheduled and code in (Exit.WAITING, Exit.REFUSED) else code
