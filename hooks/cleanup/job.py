"""`python -m hooks cleanup`: remove what nothing needs any more. A CronJob, or by hand."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from hooks import commandline, pd
from hooks.cleanup.actions import Cleaning
from hooks.cleanup.apply import Performer
from hooks.cleanup.model import Policy, Snapshot
from hooks.cleanup.observe import Observer
from hooks.cleanup.plan import plan
from hooks.engine import JobError, Outcome, Plan
from hooks.failover import connect
from hooks.failover.connect import Connection


def configure(parser: argparse.ArgumentParser) -> None:
    for name, default, what in (
        ("claims", Policy.claims_after, "the claim of an ordinal that is gone is kept"),
        ("volumes", Policy.volumes_after, "the record of a disk is kept whose Node was deleted"),
        ("pods", Policy.pods_after, "the finished pod of a Job is kept"),
    ):
        parser.add_argument(
            f"--{name}-after",
            type=commandline.duration,
            default=default.total_seconds(),
            metavar="DURATION",
            help=f"how long {what} (default: {default.total_seconds() / 3600:.0f}h)",
        )
    parser.add_argument(
        "--volumes", action="store_true", help="this release manages disks: look after TidbVolumes"
    )
    connect.configure(parser)


def run(args: argparse.Namespace) -> int:
    connection = Connection.make("cleanup", args)
    policy = Policy(
        claims_after=timedelta(seconds=args.claims_after),
        volumes_after=timedelta(seconds=args.volumes_after),
        pods_after=timedelta(seconds=args.pods_after),
    )
    observer = Observer(
        client=connection.client,
        pd_of=connection.pd_of,
        names=connection.names,
        lease=connection.names.lease,
        volumes_after=policy.volumes_after,
        volumes=args.volumes,
    )
    performer = Performer(
        connection.client,
        lambda: observer.pd,
        observer.look,
        args.namespace,
        policy,
    )
    job = CleanupJob(observer, performer, policy, connection.turn.take)
    return connection.run(job, args, sees)


def sees(world: Snapshot) -> str:
    """How much there is of all that cleanup looks after."""
    known = f"{len(world.stores)} stores in PD, {len(world.tombstones)} of them Tombstone"
    beyond = [one.name for one in world.claims if one.ordinal >= world.replicas[one.component]]
    return (
        f"{known if world.pd_known else 'no PD of this release'}; {len(world.claims)} claims, "
        f"{len(beyond)} beyond the replicas; {len(world.entries)} notes, {len(world.released)} released volumes, "
        f"{len(world.lost)} lost disks, {len(world.finished)} finished pods"
    )


@dataclass
class CleanupJob:
    """What the engine runs. `take_turn` comes before each action; it raises JobError while another job works."""

    observer: Observer
    performer: Performer
    policy: Policy
    take_turn: Callable[[], None]
    name: str = "cleanup"

    def observe(self) -> Snapshot:
        try:
            return self.observer.look()
        except pd.PdError as error:
            raise JobError(str(error)) from error

    def plan(self, snapshot: Snapshot) -> Plan[Cleaning]:
        return plan(snapshot, self.policy)

    def apply(self, action: Cleaning) -> Outcome:
        self.take_turn()
        return self.performer.apply(action)
