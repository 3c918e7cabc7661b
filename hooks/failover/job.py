"""`python -m hooks failover`: replace a store or member whose local disk is gone. A CronJob each minute, or by
hand.

Exit codes as every job's. `--scheduled` (the CronJob) ends waits and refusals with 0: they are told by Events
and by the ConfigMap `<release>-plan-failover`, and a Job that "failed" each minute of a long wait would hide
the one that broke.
"""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from hooks import engine, kube, pd
from hooks.engine import Engine, Exit, JobError, Outcome, Plan
from hooks.failover.actions import Step
from hooks.failover.apply import Performer
from hooks.failover.model import Policy, Snapshot
from hooks.failover.objects import Names
from hooks.failover.observe import Observer
from hooks.failover.plan import plan
from hooks.reporting import KubeReporter
from schema import names as shared


def configure(parser: argparse.ArgumentParser) -> None:
    seconds = engine.duration
    parser.add_argument("--release", required=True, help="prefix of the release's objects")
    parser.add_argument(
        "--namespace",
        default=os.environ.get("POD_NAMESPACE", ""),
        help="the release's namespace (default: POD_NAMESPACE)",
    )
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
        "--tikv-after",
        type=seconds,
        default=Policy.tikv_after.total_seconds(),
        metavar="DURATION",
        help="how long a store's node or disk must be away, and PD hear nothing (default: 30m)",
    )
    parser.add_argument(
        "--pd-after",
        type=seconds,
        default=Policy.pd_after.total_seconds(),
        metavar="DURATION",
        help="how long a member's node or disk must be away (default: 10m)",
    )
    parser.add_argument(
        "--max-per-day",
        type=int,
        default=Policy.max_per_day,
        help="replacements in 24 hours (default: 3)",
    )
    parser.add_argument(
        "--local-provisioner",
        action="append",
        default=[],
        metavar="NAME",
        help="a driver whose volumes are disks of their node, although they are no `local` volumes",
    )
    parser.add_argument(
        "--scheduled", action="store_true", help="end with 0 also when waiting or refusing"
    )
    engine.configure(parser)


def run(args: argparse.Namespace) -> int:
    if not args.namespace:
        raise JobError("--namespace is not given and POD_NAMESPACE is not set: say one of them")
    client = kube.Client.connect("failover", kubeconfig=args.kubeconfig, context=args.context)
    job = FailoverJob.make(args, client)
    options = engine.options(args)
    runner: Engine[Any, Any] = Engine(job, options)
    if not args.dry_run:
        events = kube.Recorder(client, f"{shared.GROUP}/failover", socket.gethostname())
        runner.reporter = KubeReporter(client, args.namespace, args.release, events)
    code = runner.run()
    job.release_lease()
    if job.held_by:
        code = Exit.WAITING
    return Exit.DONE if args.scheduled and code in (Exit.WAITING, Exit.REFUSED) else code


@dataclass
class FailoverJob:
    """What the engine runs."""

    observer: Observer
    performer: Performer
    policy: Policy
    lease: kube.Lease
    held_by: str = field(default="")
    name: str = "failover"

    @classmethod
    def make(cls, args: argparse.Namespace, client: kube.Client) -> FailoverJob:
        policy = Policy(
            tikv_after=timedelta(seconds=args.tikv_after),
            pd_after=timedelta(seconds=args.pd_after),
            max_per_day=args.max_per_day,
        )
        tls = pd.Tls(args.ca, args.certificate, args.key) if args.ca else None
        transport = pd.Http(tls)
        names = Names(
            args.release,
            args.namespace,
            args.domain or f".{args.namespace}.svc",
            "https" if tls else "http",
        )

        def pd_of(urls: Iterable[str]) -> pd.Pd:
            return pd.Pd(args.pd or list(urls), transport=transport)

        observer = Observer(
            client=client,
            pd_of=pd_of,
            names=names,
            policy=policy,
            local_provisioners=tuple(args.local_provisioner),
            keep=not args.dry_run,
        )
        lease = kube.Lease(
            client,
            args.namespace,
            f"{args.release}-maintenance",
            f"failover {socket.gethostname()}",
        )
        return cls(observer, Performer(client, lambda: observer.pd, names), policy, lease)

    def observe(self) -> Snapshot:
        try:
            return self.observer.look()
        except pd.PdError as error:
            raise JobError(str(error)) from error

    def plan(self, snapshot: Snapshot) -> Plan[Step]:
        return plan(snapshot, self.policy)

    def apply(self, action: Step) -> Outcome:
        """Under the Lease that all jobs of the release share. It keeps noise away; safety is in the
        preconditions.
        """
        self.held_by = self.lease.try_acquire()
        if self.held_by:
            raise JobError(
                f"waits for {self.held_by}, which holds Lease {self.lease}; the next run looks again"
            )
        return self.performer.apply(action)

    def release_lease(self) -> None:
        with suppress(kube.KubeError):  # it runs out by itself
            self.lease.release()
