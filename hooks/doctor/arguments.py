"""The words of each command of `kubectl tidb`. Apart from what the commands do, so that `--help` loads nothing else."""

from __future__ import annotations

import argparse
from pathlib import Path

PLANS = ("cleanup", "failover", "volumes")

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
  kubectl tidb wipe tv-37ef92932bb4971f --watch  give up what is on a disk, and see it cleared

exit codes: 0 well or done, 1 error, 3 something ends by itself, 4 a person must decide or act
"""


def common(
    sub: argparse.ArgumentParser, release: str = "release (default: the only one there)"
) -> None:
    """The options that every command has; `release` is what -l means there."""
    sub.add_argument("-n", "--namespace", default="", help="namespace (default: the kubeconfig's)")
    sub.add_argument("-l", "--release", default="", help=release)
    sub.add_argument(
        "-o", "--output", choices=("table", "json", "yaml"), default="table", help="default: table"
    )
    sub.add_argument("--watch", action="store_true", help="look again every 2 s until Ctrl-C")
    sub.add_argument("--kubeconfig", default="", help="kubeconfig (default: KUBECONFIG)")
    sub.add_argument("--context", default="", help="context of the kubeconfig")


def status(parser: argparse.ArgumentParser) -> None:
    common(parser)
    parser.epilog = EPILOG


def disks(parser: argparse.ArgumentParser) -> None:
    common(
        parser, release="only disks that claims of this release have (default: all of the cluster)"
    )
    parser.add_argument("--node", default="", help="only this node's")
    parser.epilog = EPILOG


def doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pod", nargs="?", default="", help="one pod (default: everything of the release)"
    )
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="keep what was looked at, without secrets"
    )
    parser.add_argument(
        "--from",
        type=Path,
        dest="source",
        metavar="FILE",
        help="read such a file instead of a cluster",
    )
    common(parser)
    parser.epilog = EPILOG


def plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", choices=PLANS, help="whose plan")
    common(parser)
    parser.epilog = EPILOG


def wipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "volume", nargs="*", help="TidbVolumes (tv-…), or NODE:PATH; none: list what could be wiped"
    )
    parser.add_argument(
        "--everything",
        action="store_true",
        help="foreign files too: all that is on the disk is deleted",
    )
    parser.add_argument(
        "--confirm", action="append", default=[], metavar="VOLUME",
        help="the name again, where nobody can be asked; once for each volume",
    )  # fmt: skip
    common(parser, release="list only disks that claims of this release had (default: all)")
    parser.epilog = EPILOG


def completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", help="words to complete, the last one as far as it is typed"
    )


CONFIGURE = {
    "status": status,
    "disks": disks,
    "doctor": doctor,
    "plan": plan,
    "wipe": wipe,
    "completion": completion,
}
