"""`python -m ci.demo`: the demo's command. Exit codes: 0 told to the end, 1 an error said, 130 Ctrl-C."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from ci import image, tools
from ci.cluster import Cluster, ClusterError
from ci.cluster.cluster import down
from ci.debian import DebianPackagesMissingError
from ci.demo import release
from ci.demo.milestones import NotReachedError
from ci.demo.story import LostRowsError, Story
from ci.demo.teller import Teller
from ci.demo.tools import NEEDED, ROOT, CommandError, Shell

ERRORS = (
    ClusterError, DebianPackagesMissingError, tools.ToolError, image.ImageError, NotReachedError, CommandError,
    LostRowsError, release.ImagesError,
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ci.demo", description=__doc__)
    parser.add_argument(
        "--keep", action="store_true", help="leave the cluster running, for exploring"
    )
    parser.add_argument("--name", default="demo", help="the cluster's name (default: %(default)s)")
    parser.add_argument(
        "--log", type=Path, help="keep the story as a text file, too (docs/demo.log is such a one)"
    )
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    teller = Teller(args.log)
    home = ROOT / "build" / f"demo-{args.name}"
    began = False
    keep = False
    try:
        images = ["hooks", "standin"] if release.stand_ins() else ["hooks"]
        tools.build(*NEEDED)
        _introduce(teller)
        teller.chapter("A Kubernetes of four machines, each with two empty disks")
        teller.command(f"python -m ci.cluster up --name {args.name}")
        cluster = Cluster.up(args.name, nodes=4, disks_a_node=2, images=images)
        began = True
        teller.happened(f"{len(cluster.nodes)} nodes are Ready: {', '.join(cluster.nodes)}")
        shell = Shell.make(home, cluster.kubeconfig)
        Story(cluster, shell, teller).tell()
        keep = args.keep
        _close(teller, shell, args.name, keep=keep)
        return 0
    except ERRORS as error:
        keep = args.keep
        teller.plain(f"\ndemo: {error}")
        if began:
            _look(teller, home, args.name)
        return 1
    except KeyboardInterrupt:
        teller.plain("\ndemo: interrupted")
        return 130
    finally:
        if began and not keep:
            down(args.name)
            shutil.rmtree(home, ignore_errors=True)
        teller.close()


def _introduce(teller: Teller) -> None:
    kind = (
        "stand-ins for PD, TiKV and TiDB (they keep rows, and are no database)"
        if release.stand_ins()
        else "PingCAP's images"
    )
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    teller.plain(
        f"helm-tidb: TiDB on local disks, from a chart and no operator. {when}, {os.cpu_count()} CPUs, "
        f"{platform.machine()}, {kind}."
    )


def _close(teller: Teller, shell: Shell, name: str, *, keep: bool) -> None:
    teller.chapter("Told to the end")
    if not keep:
        teller.plain(
            f"{teller.seconds:6.1f} s  all in all; nothing is left running. `make demo KEEP=1` leaves it for exploring."
        )
        return
    teller.plain(f"{teller.seconds:6.1f} s  all in all; the cluster is left running.")
    teller.plain(
        f"""
try next:
  export KUBECONFIG={shell.kubeconfig} PATH={shell.bin}:$PATH
  kubectl tidb status -n {release.NAMESPACE} --watch
  kubectl scale sts/{release.NAME}-tikv -n {release.NAMESPACE} --replicas 2      # refused, and says why
  python -m ci.cluster pull-disk n2 d0 --name {name}             # a disk dies
  kubectl tidb doctor -n {release.NAMESPACE}
clean up:
  make clean                                             # or: python -m ci.cluster down --name {name}"""
    )


def _look(teller: Teller, home: Path, name: str) -> None:
    """What the doctor says of a story that stopped: the demo's own failures are explained by the product."""
    try:
        shell = Shell(home, Cluster.find(name).kubeconfig)
        words = ("kubectl", "tidb", "doctor", "-n", release.NAMESPACE)
        teller.command(" ".join(words))
        teller.output(shell.run(*words, codes=(0, 1, 3, 4), timeout=30), most=60)
        teller.output(
            shell.run("kubectl", "get", "pods", "-A", "-o", "wide", codes=(0, 1)), most=60
        )
    except (ClusterError, CommandError, OSError) as error:
        teller.plain(f"demo: could not look at the cluster: {error}")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
