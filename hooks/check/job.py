"""`python -m hooks check`: what the pod of `helm test` runs. No rights, no token: it speaks to the database alone."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from hooks import commandline, engine
from hooks.check.observe import Observer
from hooks.check.plan import Snapshot, plan
from hooks.engine import Action, Engine, Exit, Outcome, Plan


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sql", required=True, metavar="HOST:PORT", type=_address, help="where TiDB listens"
    )
    parser.add_argument(
        "--user", default="root", help="SQL user; its password is in SQL_PASSWORD (default: root)"
    )
    parser.add_argument(
        "--pd", required=True, metavar="URL", help="where PD listens: http://HOST:2379"
    )
    parser.add_argument("--stores", required=True, type=int, help="how many stores there should be")
    commandline.job(parser)
    parser.set_defaults(wait=120.0)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: expected HOST:PORT")
    return host, int(port)


def run(args: argparse.Namespace) -> int:
    host, port = args.sql
    observer = Observer(host, port, args.user, args.pd, args.stores)
    runner: Engine[Any, Any] = Engine(CheckJob(observer), engine.options(args))
    code = runner.run()
    if code is Exit.DONE and args.output == "table":
        # "Nothing to do" is the engine's word for it; whoever typed `helm test` wants to read what was found.
        print(
            f"check: TiDB answers at {host}:{port} as {args.user}, and all {args.stores} stores or more are Up"
        )
    return code


@dataclass(frozen=True)
class CheckJob:
    observer: Observer

    @property
    def name(self) -> str:
        return "check"

    def observe(self) -> Snapshot:
        return self.observer.look()

    def plan(self, snapshot: Snapshot) -> Plan[Action]:
        return plan(snapshot)

    def apply(self, action: Action) -> Outcome:
        raise engine.JobError(f"check changes nothing, {action.code} is none of its own")
