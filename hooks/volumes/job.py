"""`python -m hooks volumes`: once (by hand, CronJob), `--scan` (hook Job) or `--controller` (Deployment)."""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import sys
import threading
from datetime import timedelta

from hooks import commandline, engine
from hooks.engine import Engine, Exit, Outcome, Plan
from hooks.kube import Client, KubeError, Lease, Recorder, acquire
from hooks.kube.lease import RENEW_SECONDS
from hooks.metrics import Metrics, serve
from hooks.reporting import KubeReporter
from hooks.volumes import observe, table
from hooks.volumes.actions import VolumeAction
from hooks.volumes.apply import Applier
from hooks.volumes.controller import Controller
from hooks.volumes.model import NEVER, Policy
from hooks.volumes.observe import Snapshot
from hooks.volumes.scan import Scan
from hooks.volumes.world import World

LEASE_SUFFIX = "-volumes"


def configure(parser: argparse.ArgumentParser) -> None:
    commandline.job(parser)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--controller", action="store_true", help="run until stopped, one at a time by a Lease"
    )
    mode.add_argument(
        "--scan",
        action="store_true",
        help="ask every agent for a fresh scan and wait for the answers",
    )
    parser.add_argument("--namespace", default=os.environ.get("POD_NAMESPACE", "default"))
    parser.add_argument(
        "--release", default="tidb", help="name of the release that manages the disks"
    )
    parser.add_argument("--storage-class", default="tidb-local")
    parser.add_argument(
        "--shared-class", default="", help="offer disks that share hardware, under this class"
    )
    parser.add_argument(
        "--wipe-after", type=_wipe_after, default=timedelta(hours=72), metavar="DURATION|never"
    )
    parser.add_argument(
        "--take-over", default="", metavar="NAMESPACE.RELEASE", help="treat its volumes as ours"
    )
    parser.add_argument(
        "--label", action="append", default=[], metavar="KEY=VALUE", help="on all that is made"
    )
    parser.add_argument(
        "--daemon-set", default="", help="the agents, for --scan (default: <release>-disk-agent)"
    )
    parser.add_argument(
        "--port", type=int, default=8080, help="of /metrics and /healthz, for --controller"
    )
    parser.add_argument("--address", default="", help="of the same; default: every one")
    parser.add_argument(
        "--unattended",
        action="store_true",
        help="exit 0 also when something waits or is refused (CronJob)",
    )


def run(args: argparse.Namespace) -> int:
    client = Client.connect(
        "volumes", kubeconfig=args.kubeconfig, context=args.context, connections=32
    )
    policy = Policy(
        storage_class=args.storage_class,
        shared_class=args.shared_class,
        wipe_after=args.wipe_after,
        manager=f"{args.namespace}.{args.release}",
        takes_over=args.take_over,
        labels=dict(_label(text) for text in args.label),
    )
    if args.controller:
        return control(client, policy, args)
    if args.scan:
        name = args.daemon_set or f"{args.release}-disk-agent"
        seconds = args.wait or 120.0
        return Scan(client, policy, args.namespace, name, seconds).run()
    job = VolumesJob(client, policy, args.namespace)
    metrics = Metrics()
    recorder = Recorder(client, "helm-tidb.io/volumes", _me())
    reporter = KubeReporter(client, args.namespace, args.release, recorder)
    code = Engine(job, engine.options(args), reporter, metrics).run()
    if args.output == "table" and not args.dry_run and code is not Exit.ERROR:
        for line in table.lines(table.rows(job.world.views(observe.now(client)))):
            print(line)
    if args.unattended and code in (Exit.WAITING, Exit.REFUSED):
        return Exit.DONE
    return code


class VolumesJob:
    """All volumes at once, for the engine."""

    name = "volumes"

    def __init__(self, client: Client, policy: Policy, namespace: str) -> None:
        self.client, self.policy, self.namespace = client, policy, namespace
        self.world = World()
        self._applier = Applier(client, self.world, policy, namespace)

    def observe(self) -> Snapshot:
        self.world = observe.read(self.client, self.namespace)
        self._applier = Applier(self.client, self.world, self.policy, self.namespace)
        return observe.snapshot(self.world, observe.now(self.client), self.policy)

    def plan(self, snapshot: Snapshot) -> Plan[VolumeAction]:
        return observe.plan_all(snapshot, self.policy)

    def apply(self, action: VolumeAction) -> Outcome:
        return self._applier.apply(action)


def control(client: Client, policy: Policy, args: argparse.Namespace) -> int:
    """Until SIGTERM, or until the Lease is lost: then the process ends, and another begins with a fresh view."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    lease = Lease(client, args.namespace, args.release + LEASE_SUFFIX, _me())
    controller = Controller(
        client,
        policy,
        args.namespace,
        Recorder(client, "helm-tidb.io/volumes", _me()),
        stop=stop,
        leads=lambda: lease.held,
    )
    leading = threading.Event()
    server = serve(
        controller.metrics,
        args.port,
        host=args.address,
        healthy=lambda: controller.healthy() if leading.is_set() else "",
    )
    try:
        if not acquire(lease, stop=stop, waiting=lambda who: _say(f"standing by: {who} leads")):
            return Exit.DONE
        leading.set()
        controller.metrics.set("helm_tidb_leader", 1, job="volumes")
        _say("leads")
        lost = _renew(lease, stop)
        controller.run()
        if lost.is_set():
            _say("error: the Lease was lost; ending, so that its new holder works alone")
            return Exit.ERROR
        lease.release()
        return Exit.DONE
    finally:
        server.shutdown()


def _renew(lease: Lease, stop: threading.Event) -> threading.Event:
    """Renew until `stop`. When somebody else has it, `stop` and the returned Event are set.

    While the API server is away nobody can take it, and nothing can be written either: no reason to end. Nor to act
    before it is renewed again: it may have been this machine that was cut off, and its view is as old as the cut.
    """
    lost = threading.Event()

    def renew() -> None:
        while not stop.wait(RENEW_SECONDS):
            try:
                taken = lease.try_acquire()
            except KubeError:
                continue
            if taken:
                lost.set()
                stop.set()

    threading.Thread(target=renew, name="lease", daemon=True).start()
    return lost


def _me() -> str:
    return os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}"


def _wipe_after(text: str) -> timedelta:
    if text == "never":
        return NEVER
    return timedelta(seconds=commandline.duration(text))


def _label(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"([^=]+)=(.*)", text)
    if match is None:
        raise engine.JobError(f"--label {text!r}: expected KEY=VALUE")
    return match.group(1), match.group(2)


def _say(text: str) -> None:
    print(f"volumes: {text}", file=sys.stderr, flush=True)
