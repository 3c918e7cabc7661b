"""Tab completion. kubectl (1.26+) asks a program `kubectl_complete-tidb` on the PATH; `pip install` puts it there.

kubectl passes the words after `tidb`, the one under the cursor last; the answer is one candidate a line and then a
directive of cobra's (`:4` = no file names).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from hooks.doctor.arguments import PLANS, common
from hooks.engine import EngineError, Exit
from hooks.kube.errors import KubeError

_NO_FILES = ":4"


def run(args: argparse.Namespace) -> int:
    if args.words:
        return complete(args.words)
    print(
        "kubectl completes `kubectl tidb` by the program kubectl_complete-tidb, which came with kubectl-tidb.\n"
        "Switch kubectl's own completion on, once:\n"
        "  bash:  source <(kubectl completion bash)\n"
        "  zsh:   source <(kubectl completion zsh)\n"
        "  fish:  kubectl completion fish | source"
    )
    return Exit.DONE


def main() -> int:
    """Console script kubectl_complete-tidb."""
    return complete(sys.argv[1:])


def complete(words: Sequence[str]) -> int:
    *before, typed = words or [""]
    for candidate in sorted(set(candidates(before, typed))):
        if candidate.startswith(typed):
            print(candidate)
    print(_NO_FILES)
    return Exit.DONE


def candidates(before: Sequence[str], typed: str) -> Iterable[str]:
    from hooks.doctor.command import COMMANDS, parser

    if not before:
        return COMMANDS
    chosen = before[0]
    if before[-1] in ("-o", "--output"):
        return ("json", "table", "yaml")
    if typed.startswith("-"):
        return _options(parser(before, "kubectl tidb"), chosen)
    if chosen == "plan":
        return PLANS
    try:
        return _live(chosen, before)
    except (KubeError, EngineError):
        return ()  # no cluster, no names: completion must never print an error


def _options(made: argparse.ArgumentParser, chosen: str) -> Iterable[str]:
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction) and chosen in action.choices:
            return [word for one in action.choices[chosen]._actions for word in one.option_strings]
    return ()


def _live(chosen: str, before: Sequence[str]) -> Iterable[str]:
    """Pods for doctor, volumes for wipe, asked with what was typed so far (-n, --context)."""
    from hooks import kube
    from hooks.doctor import session

    if chosen not in ("doctor", "wipe"):
        return ()
    reader = argparse.ArgumentParser(exit_on_error=False, add_help=False)
    common(reader)
    args, _ = reader.parse_known_args(list(before[1:]))
    client = session.connect(args)
    client.seconds = 1.0
    if chosen == "wipe":
        return [kube.name(one) for one in client.list(kube.TIDB_VOLUME)]
    selector = "app.kubernetes.io/name=tidb"
    return [
        kube.name(one) for one in client.list(kube.POD, session.namespace(args), labels=selector)
    ]
