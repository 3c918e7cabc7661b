"""`python -m hooks scale`: the pre-install and pre-upgrade Job. Argo CD calls every sync both: it reads live state."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from hooks import commandline, engine
from hooks.engine import Action, Engine, Outcome, Plan
from hooks.kube import Client
from hooks.scale import observe
from hooks.scale.plan import WHAT, Change, plan


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--release", required=True, help="prefix of the release's objects")
    parser.add_argument("--namespace", required=True, help="namespace of the release")
    parser.add_argument(
        "--want",
        action="append",
        required=True,
        type=_want,
        metavar="COMPONENT=REPLICAS",
        help="replicas that the new values have (pd, tikv); once a component",
    )
    commandline.job(parser)


def _want(text: str) -> tuple[str, int]:
    component, _, replicas = text.partition("=")
    if component not in WHAT or not replicas.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: expected pd=NUMBER or tikv=NUMBER")
    return component, int(replicas)


def run(args: argparse.Namespace) -> int:
    client = Client.connect("scale", kubeconfig=args.kubeconfig, context=args.context)
    job = ScaleJob(client, args.namespace, args.release, dict(args.want))
    runner: Engine[Any, Any] = Engine(job, engine.options(args))
    return runner.run()


@dataclass(frozen=True)
class ScaleJob:
    client: Client
    namespace: str
    release: str
    wanted: dict[str, int]

    @property
    def name(self) -> str:
        return "scale"

    def observe(self) -> tuple[Change, ...]:
        return observe.changes(self.client, self.namespace, self.release, self.wanted)

    def plan(self, snapshot: tuple[Change, ...]) -> Plan[Action]:
        return plan(snapshot)

    def apply(self, action: Action) -> Outcome:
        raise engine.JobError(f"scale has no actions yet, {action.code} is none of its own")
