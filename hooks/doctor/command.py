"""`kubectl tidb …` (console script kubectl-tidb), and the same in the image: `python -m hooks tidb …`.

What a command does is imported only when it runs: `--help` answers at once. Each module has `run(args) -> int`; its
words are in arguments.py.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from functools import partial

from hooks.cli import to_the_last_byte
from hooks.doctor import arguments
from hooks.engine import EngineError, Exit
from hooks.kube.errors import (
    ConfigurationError,
    ForbiddenError,
    KubeError,
    RetryableError,
    UnauthorizedError,
)

# command → (module, one line of help)
COMMANDS: dict[str, tuple[str, str]] = {
    "status": ("hooks.doctor.status", "members, stores, pods, disks and what is in progress, on one screen"),
    "disks": ("hooks.doctor.disks_command", "every disk: node, size, phase, claim, and why it isn't offered"),
    "doctor": ("hooks.doctor.job", "why a pod is pending, what else isn't well, and what ends it"),
    "plan": ("hooks.doctor.plan", "what failover, cleanup or volumes would do now (changes nothing)"),
    "wipe": ("hooks.doctor.wipe", "give up what is on a released or refused disk, named and confirmed"),
    "completion": ("hooks.doctor.completion", "how to complete these commands with the Tab key"),
}  # fmt: skip


def main(argv: Sequence[str] | None = None, prog: str = "kubectl tidb") -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    return to_the_last_byte(lambda: _main(words, prog))


def _main(words: Sequence[str], prog: str) -> int:
    args = parser(words, prog).parse_args(words)
    try:
        return int(args.run(args))
    except (KubeError, EngineError) as error:
        print(f"{prog} {args.command}: error: {error}", file=sys.stderr)
        if hint := _hint(error):
            print(f"\n{hint}", file=sys.stderr)
        return Exit.ERROR
    except KeyboardInterrupt:
        return 130


def parser(words: Sequence[str], prog: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=prog,
        description="Look at TiDB clusters of the chart helm-tidb, and say why something waits.",
        epilog=arguments.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", metavar="command", required=True)
    chosen = next((word for word in words if not word.startswith("-")), "")
    for name, (module, text) in COMMANDS.items():
        sub = commands.add_parser(
            name, help=text, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == chosen:
            arguments.CONFIGURE[name](sub)
            sub.set_defaults(run=partial(_run, module))
    return made


def _run(module: str, args: argparse.Namespace) -> int:
    return int(importlib.import_module(module).run(args))


def _hint(error: Exception) -> str:
    if isinstance(error, ConfigurationError):
        return (
            "hint: `kubectl config current-context` shows whether kubectl has a cluster to talk to"
        )
    if isinstance(error, ForbiddenError):
        from hooks.doctor import gaps

        return gaps.role_for(str(error))
    if isinstance(error, UnauthorizedError):
        return "hint: log in to the cluster again; `kubectl auth whoami` shows who you are there"
    if isinstance(error, RetryableError):
        return "hint: `kubectl get --raw /readyz` shows whether the API server answers at all"
    return ""


def configure(sub: argparse.ArgumentParser) -> None:
    """For hooks/cli.py: all words go on to `main`."""
    sub.add_argument("words", nargs=argparse.REMAINDER, help="as of kubectl tidb")


def run(args: argparse.Namespace) -> int:
    return main(args.words, "python -m hooks tidb")
