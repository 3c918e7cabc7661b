"""`python -m hooks boot pd|tikv|tidb`: the init container of a database pod.

It looks until it can decide, and says why it waits; what it decides for PD and TiKV is one line in the args file, which
the main container puts behind its own arguments. Exit codes: 0 start, 4 a person must decide, 3 waited for `--wait`
(the kubelet runs it again).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hooks import commandline
from hooks.boot import plan as member_plan
from hooks.boot import settings, store
from hooks.boot.apply import PodEvents, apply
from hooks.boot.model import (
    Cluster,
    MemberSnapshot,
    ServerSnapshot,
    StoreSnapshot,
    WriteArgs,
    WriteRecord,
)
from hooks.boot.observe import Observer, Self
from hooks.engine import Engine, JobError, Options, Outcome, Plan
from hooks.kube import Client, Recorder
from schema import names

COMPONENTS = ("pd", "tikv", "tidb")

Snapshot = MemberSnapshot | StoreSnapshot | ServerSnapshot


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("component", choices=COMPONENTS, help="what starts in this pod")
    parser.add_argument("--release", required=True, help="prefix of the release's objects")
    parser.add_argument(
        "--domain", required=True, help="what follows a Service's name: .<namespace>.svc"
    )
    parser.add_argument(
        "--config", type=Path, required=True, help="boot.yaml, as the chart renders it"
    )
    parser.add_argument("--data-dir", type=Path, help="the data folder (pd)")
    parser.add_argument(
        "--write", type=Path, help="where the main container's arguments go (pd, tikv)"
    )
    commandline.job(parser)
    parser.set_defaults(wait=3600.0)


def run(args: argparse.Namespace) -> int:
    me = Self(
        cluster=Cluster(args.release, args.domain),
        pod=_environment("POD_NAME"),
        namespace=_environment("POD_NAMESPACE"),
        uid=_environment("POD_UID"),
        node=_environment("NODE_NAME"),
        ip=_environment("POD_IP"),
        data=args.data_dir or Path("/nonexistent"),
        args_file=args.write or Path("/nonexistent"),
    )
    if args.component != "tidb" and not args.dry_run:
        # Left by an earlier run in this pod (a node that restarted): the world has changed since.
        me.args_file.unlink(missing_ok=True)
    given = settings.load(args.config)
    connect = _Connection(args.kubeconfig, args.context)
    job = BootJob(
        args.component, me, Observer(me, given, lambda: connect.client), lambda: connect.client
    )
    options = Options(args.dry_run, args.output, args.wait, given.poll.total_seconds())
    runner: Engine[Any, Any] = Engine(job, options)
    if args.component != "tidb":
        runner.reporter = PodEvents(me, Recorder(connect.client, f"{names.GROUP}/boot", me.pod))
    return runner.run()


def _environment(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise JobError(
            f"environment variable {name} is not set; the chart sets it from the downward API"
        )
    return value


@dataclass
class _Connection:
    """Made when it is first needed: TiDB's init container has no rights and no token."""

    kubeconfig: str
    context: str

    @cached_property
    def client(self) -> Client:
        return Client.connect("boot", kubeconfig=self.kubeconfig, context=self.context)


@dataclass(frozen=True)
class BootJob:
    component: str
    me: Self
    observer: Observer
    client: Callable[[], Client]

    @property
    def name(self) -> str:
        return "boot"

    def observe(self) -> Snapshot:
        looks: dict[str, Callable[[], Snapshot]] = {
            "pd": self.observer.member,
            "tikv": self.observer.store,
            "tidb": self.observer.server,
        }
        return looks[self.component]()

    def plan(self, snapshot: Snapshot) -> Plan[WriteArgs | WriteRecord]:
        if isinstance(snapshot, MemberSnapshot):
            return member_plan.plan(snapshot)
        if isinstance(snapshot, StoreSnapshot):
            return store.plan_store(snapshot, names.record(self.me.cluster.release))
        return store.plan_server(snapshot)

    def apply(self, action: WriteArgs | WriteRecord) -> Outcome:
        return apply(self.me, self.client(), action)
