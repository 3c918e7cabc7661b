"""`python -m hooks failover`: replace a store or member whose local disk is gone. A CronJob each minute, or by
hand.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from hooks import commandline, pd
from hooks.engine import JobError, Outcome, Plan
from hooks.failover import connect
from hooks.failover.actions import Step
from hooks.failover.apply import Performer
from hooks.failover.connect import Connection
from hooks.failover.evidence import clock, pod_node
from hooks.failover.model import PdSilent, Policy, Slot, Snapshot
from hooks.failover.observe import Observer
from hooks.failover.plan import plan


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tikv-after",
        type=commandline.duration,
        default=Policy.tikv_after.total_seconds(),
        metavar="DURATION",
        help="how long a store's node or disk must be away, and PD hear nothing (default: 30m)",
    )
    parser.add_argument(
        "--pd-after",
        type=commandline.duration,
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
    connect.configure(parser)


def run(args: argparse.Namespace) -> int:
    connection = Connection.make("failover", args)
    policy = Policy(
        tikv_after=timedelta(seconds=args.tikv_after),
        pd_after=timedelta(seconds=args.pd_after),
        max_per_day=args.max_per_day,
    )
    observer = Observer(
        client=connection.client,
        pd_of=connection.pd_of,
        names=connection.names,
        policy=policy,
        local_provisioners=tuple(args.local_provisioner),
        keep=not args.dry_run,
    )
    performer = Performer(connection.client, lambda: observer.pd, connection.names)
    job = FailoverJob(observer, performer, policy, connection.turn.take)
    return connection.run(job, args, sees)


def sees(world: Snapshot) -> str:
    """PD's members and stores, and the places that need a look, with their nodes."""
    view = world.pd
    if isinstance(view, PdSilent):
        return f"no view of PD ({view.said})"
    states = Counter(store.state_name for store in view.stores)
    stores = ", ".join(f"{number} {name}" for name, number in sorted(states.items())) or "none"
    said = (
        f"PD cluster {view.cluster_id} led by {view.leader.name}; {len(view.healthy)} of {len(view.members)} members "
        f"healthy; stores: {stores}"
    )
    places = [f"{slot.name} ({place(slot, world)})" for slot in world.slots]
    return f"{said}; not well: {', '.join(places)}" if places else said


def place(slot: Slot, world: Snapshot) -> str:
    """Where its data lies: "volume tv-1-g1 on Node n2, NotReady"."""
    volume = slot.claim.volume if slot.claim else None
    if volume is None:
        return "no volume"
    node = world.node_of(volume) if volume.local else pod_node(slot, world)
    if node is None:
        return f"volume {volume.name} on no Node" if volume.local else f"volume {volume.name}"
    disk = f", disk {volume.phase}" if volume.phase not in ("", "Bound") else ""
    ready = "Ready" if node.ready else f"NotReady since {clock(node.ready_since)}"
    return f"volume {volume.name} on Node {node.name}, {ready}{disk}"


@dataclass
class FailoverJob:
    """What the engine runs. `take_turn` comes before each action; it raises JobError while another job works."""

    observer: Observer
    performer: Performer
    policy: Policy
    take_turn: Callable[[], None]
    name: str = "failover"

    def observe(self) -> Snapshot:
        try:
            return self.observer.look()
        except pd.PdError as error:
            raise JobError(str(error)) from error

    def plan(self, snapshot: Snapshot) -> Plan[Step]:
        return plan(snapshot, self.policy)

    def apply(self, action: Step) -> Outcome:
        self.take_turn()
        return self.performer.apply(action)
