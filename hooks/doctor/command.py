"""`kubectl tidb …` (console script kubectl-tidb), and the same in the image: `python -m hooks tidb …`.

A command's module is imported only when it is named: `--help` answers at once. Each has `configure(parser)` and
`run(args) -> int`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from hooks.engine import EngineError, Exit
from hooks.kube.errors import ConfigurationError, KubeError, RetryableError, UnauthorizedError

# command → (module, one line of help)
COMMANDS: dict[str, tuple[str, str]] = {
    "status": ("hooks.doctor.status", "members, stores, pods, disks and what is in progress, on one screen"),
    "disks": ("hooks.doctor.disks_command", "every disk: node, size, phase, claim, and why it isn't offered"),
    "doctor": ("hooks.doctor.job", "why a pod is pending, what else isn't well, and what ends it"),
    "plan": ("hooks.doctor.plan", "what failover, cleanup or volumes would do now (changes nothing)"),
    "wipe": ("hooks.doctor.wipe", "give up what is on a released or refused disk, named and confirmed"),
    "completion": ("hooks.doctor.completion", "how to complete these commands with the Tab key"),
}  # fmt: skip

EPILOG = """\
examples:
  kubectl tidb status -n shop                    one screen
  kubectl tidb status -n shop --watch            the same, again and again
  kubectl tidb doctor -n shop                    everything that isn't well
  kubectl tidb doctor shop-tikv-2 -n shop        one pod
  kubectl tidb doctor -n shop --save case.json   for a support case, without secrets
  kubectl tidb doctor --from case.json           read it elsewhere
  kubectl tidb plan failover -n shop             what the failover job would do now
  kubectl tidb disks -o json                     for programs

exit codes: 0 well or done, 1 error, 3 something ends by itself, 4 a person must decide or act
"""


def main(argv: Sequence[str] | None = None, prog: str = "kubectl tidb") -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    args = parser(words, prog).parse_args(words)
    try:
        return int(args.run(args))
    except (KubeError, EngineError) as error:
        print(f"{prog} {args.command}: error: {error}", file=sys.stderr)
        if hint := _hint(error):
            print(f"\n{hint}", file=sys.stderr)
        return Exit.ERROR
    except BrokenPipeError:
        return Exit.DONE
    except KeyboardInterrupt:
        return 130


def parser(words: Sequence[str], prog: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=prog,
        description="Look at TiDB clusters of the chart helm-tidb, and say why something waits.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", metavar="command", required=True)
    chosen = next((word for word in words if not word.startswith("-")), "")
    for name, (module, text) in COMMANDS.items():
        sub = commands.add_parser(
            name, help=text, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == chosen:
            command = importlib.import_module(module)
            command.configure(sub)
            sub.set_defaults(run=command.run)
    return made


def common(sub: argparse.ArgumentParser, *, release: bool = True) -> None:
    """The options that every command has."""
    sub.add_argument("-n", "--namespace", default="", help="namespace (default: the kubeconfig's)")
    if release:
        sub.add_argument(
            "-l", "--release", default="", help="release (default: the only one there)"
        )
    sub.add_argument(
        "-o", "--output", choices=("table", "json", "yaml"), default="table", help="default: table"
    )
    sub.add_argument("--watch", action="store_true", help="look again every 2 s until Ctrl-C")
    sub.add_argument("--kubeconfig", default="", help="kubeconfig (default: KUBECONFIG)")
    sub.add_argument("--context", default="", help="context of the kubeconfig")


def _hint(error: Exception) -> str:
    if isinstance(error, ConfigurationError):
        return (
            "hint: `kubectl config current-context` shows whether kubectl has a cluster to talk to"
        )
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
