"""`python -m hooks <job>`: parse, dispatch, and turn errors into one line and an exit code.

A job's module is imported only when it is named, so that `--help` answers at once and an init container loads
nothing that it doesn't need. Each `job.py` has `configure(parser)` and `run(args) -> int`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from hooks.engine import EngineError, Exit
from hooks.kube import KubeError

# subcommand → (module, one line of help)
JOBS: dict[str, tuple[str, str]] = {
    "boot": ("hooks.boot.job", "decide how this member or store starts (init container)"),
    "check": ("hooks.check.job", "ask the database by SQL and PD for its stores (helm test)"),
    "cleanup": ("hooks.cleanup.job", "remove what nothing needs any more"),
    "disks": ("hooks.disks.job", "probe this node's disks, publish them, wipe what was released"),
    "doctor": ("hooks.doctor.job", "say why a pod is pending and what a plan would do"),
    "exporter": ("hooks.exporter", "what the CronJobs told last, as Prometheus metrics"),
    "failover": ("hooks.failover.job", "replace a store or member whose local disk is gone"),
    "preflight": (
        "hooks.doctor.preflight",
        "whether an install or upgrade would find what it needs",
    ),
    "scale": ("hooks.scale.job", "check a change of replicas before it is made"),
    "tidb": (
        "hooks.doctor.command",
        "the commands of kubectl tidb: status, disks, plan, wipe and more",
    ),
    "volumes": ("hooks.volumes.job", "turn published disks into volumes and mark their use"),
}


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    return to_the_last_byte(lambda: _main(words))


def to_the_last_byte(command: Callable[[], int]) -> int:
    """The command's exit code, its output flushed. A reader that left (`| head`) ends it without a word."""
    try:
        try:
            return command()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered is flushed once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE


def _main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m hooks",
        description="The jobs of helm-tidb. Each can be run by hand with --dry-run.",
        epilog="exit codes: 0 done or nothing to do, 1 error, 3 waiting, 4 refused: a person must decide",
    )
    commands = parser.add_subparsers(dest="job", metavar="job", required=True)
    chosen = next((word for word in words if not word.startswith("-")), "")
    for name, (module, text) in JOBS.items():
        sub = commands.add_parser(
            name, help=text, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == chosen:
            try:
                job = importlib.import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module and not module.startswith(f"{error.name}."):
                    raise
                sub.set_defaults(run=lambda _, name=name: _absent(name))
                continue
            job.configure(sub)
            sub.set_defaults(run=job.run)
    args = parser.parse_args(words)
    try:
        return int(args.run(args))
    except (KubeError, EngineError) as error:
        print(f"{args.job}: error: {error}", file=sys.stderr)
        return Exit.ERROR
    except KeyboardInterrupt:
        return 130


def _absent(name: str) -> int:
    print(f"{name}: error: this image has no job {name}", file=sys.stderr)
    return Exit.ERROR
