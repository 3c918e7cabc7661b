"""The test cluster's command: `python -m ci.cluster --help`.

Exit codes: 0 done, 1 an error said in one sentence, 2 wrong usage, 130 Ctrl-C (which cleans up what the command began).
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from types import FrameType

from ci import image, tools
from ci.cluster import argocd, faults, processes, state, usage
from ci.cluster.cluster import DEFAULT_NAME, Cluster, down
from ci.cluster.errors import ClusterError
from ci.debian import DebianPackagesMissingError
from ci.progress import say, step

UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "": 1}

EXAMPLES = """\
examples:
  python -m ci.cluster up                                   four nodes with two disks each
  python -m ci.cluster up --name api --nodes 0              only the control plane
  python -m ci.cluster up --nodes 4 --kwok 100 --image hooks
  export KUBECONFIG=$(python -m ci.cluster kubeconfig)
  python -m ci.cluster kill-node n2; python -m ci.cluster start-node n2
  python -m ci.cluster pull-disk n1 d0; python -m ci.cluster insert-disk n1 d0 --blank
  python -m ci.cluster down
"""


def main(argv: list[str] | None = None) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    args = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], None] = args.run
    try:
        run(args)
    except (ClusterError, DebianPackagesMissingError, tools.ToolError, image.ImageError) as error:
        say(f"cluster {args.command}: {error}")
        return 1
    except KeyboardInterrupt:
        say(f"cluster {args.command}: interrupted")
        return 130
    return 0


def _up(args: argparse.Namespace) -> None:
    began = time.monotonic()
    cluster = Cluster.up(
        args.name,
        nodes=args.nodes,
        disks_a_node=args.disks,
        disk_size=args.disk_size,
        disk_fs=args.disk_fs,
        kwok_nodes=args.kwok,
        images=args.image,
        with_argocd=args.argocd,
    )
    say(
        f"cluster {args.name}: up after {time.monotonic() - began:.1f} s, {len(cluster.nodes)} nodes Ready"
    )
    print(f"export KUBECONFIG={cluster.kubeconfig}")


def _down(args: argparse.Namespace) -> None:
    names = state.names() if args.all else [args.name]
    for name in names:
        with step(f"cluster {name} down"):
            there = down(name)
        if not there:
            say(f"cluster {name}: there is none, nothing to do")


def _status(args: argparse.Namespace) -> None:
    cluster = Cluster.find(args.name)
    memory = cluster.memory
    for name, process in memory.processes.items():
        print(
            f"{name:<24} {'running' if processes.alive(process) else 'DEAD':<8} pid {process.pid}"
        )
    for name in cluster.nodes:
        place, item = cluster.node(name)
        how = "off" if item.init is None else "running" if processes.alive(item.init) else "DEAD"
        slots = ", ".join(
            f"{disk.slot} {disk.serial if disk.inserted else '(empty)'}" for disk in item.disks
        )
        print(f"{name:<24} {how:<8} {place.address:<15} {slots}")
    found = usage.measure(memory, args.seconds)
    print(f"{found.processes} processes, {found.pss_bytes / 2**20:.0f} MiB PSS, "
          f"{found.cpu * 100:.1f} % of one core over {found.seconds:.0f} s")  # fmt: skip


def _kubeconfig(args: argparse.Namespace) -> None:
    print(Cluster.find(args.name).kubeconfig)


def _load_image(args: argparse.Namespace) -> None:
    print(Cluster.find(args.name).load_image(args.image))


def _argocd(args: argparse.Namespace) -> None:
    argocd.start(Cluster.find(args.name))


def _on_node(
    act: Callable[[Cluster, str], None], cluster: Cluster, args: argparse.Namespace
) -> None:
    act(cluster, args.node)


def _on_disk(
    act: Callable[[Cluster, str, str], None], cluster: Cluster, args: argparse.Namespace
) -> None:
    act(cluster, args.node, args.slot)


def _first_line(act: Callable[..., None]) -> str:
    return (act.__doc__ or "").partition("\n")[0]


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM ends like Ctrl-C, so that a killed CI job cleans up too."""
    raise KeyboardInterrupt


def _bytes(text: str) -> int:
    """A Kubernetes quantity of bytes (1Gi, 512Mi, 1073741824)."""
    digits = text.rstrip("KMGTi")
    unit = text[len(digits) :]
    if not digits.isdecimal() or unit not in UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it like 1Gi or 512Mi")
    return int(digits) * UNITS[unit]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ci.cluster",
        description="A real Kubernetes on this machine: nodes as Linux namespaces, disks as loop devices.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], None], text: str
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument(
            "--name", default=DEFAULT_NAME, help="the cluster's name (default: %(default)s)"
        )
        made.set_defaults(run=run)
        return made

    up = command("up", _up, "start a cluster; ends when all nodes are Ready and DNS answers")
    up.add_argument(
        "--nodes", type=int, default=4, help="real nodes (default: 4; 0: control plane only)"
    )
    up.add_argument("--disks", type=int, default=2, help="disks a node (default: 2)")
    up.add_argument(
        "--disk-size", type=_bytes, default=2**30, help="size of each disk (default: 1Gi, sparse)"
    )
    up.add_argument("--disk-fs", default="xfs", help="xfs, ext4 or none (default: xfs)")
    up.add_argument("--kwok", type=int, default=0, help="further nodes that exist only in the API")
    up.add_argument(
        "--image", action="append", default=[], help="an image of ci.image to load; may be repeated"
    )
    up.add_argument("--argocd", action="store_true", help="real Argo CD beside the control plane")
    gone = command("down", _down, "remove a cluster and everything it left; may be repeated")
    gone.add_argument("--all", action="store_true", help="every test cluster of this machine")
    status = command("status", _status, "processes, nodes, disks, memory (PSS) and CPU")
    status.add_argument(
        "--seconds", type=float, default=5.0, help="how long to watch the CPU (default: 5)"
    )
    command("kubeconfig", _kubeconfig, "print the path of the administrator's kubeconfig")
    load = command(
        "load-image", _load_image, "build an image of ci.image and import it into every node"
    )
    load.add_argument("image")
    command("start-argocd", _argocd, "start Argo CD beside a cluster that is up")

    def fault(
        name: str, act: Callable[[Cluster, argparse.Namespace], None], text: str
    ) -> argparse.ArgumentParser:
        return command(name, lambda args: act(Cluster.find(args.name), args), text)

    on_nodes: dict[str, Callable[[Cluster, str], None]] = {
        "kill-node": faults.kill_node,
        "start-node": faults.start_node,
        "forget-node": faults.forget_node,
        "cut-node": faults.cut_node,
        "heal-node": faults.heal_node,
        "freeze-node": faults.freeze_node,
        "thaw-node": faults.thaw_node,
    }
    for name, act in on_nodes.items():
        made = fault(name, partial(_on_node, act), _first_line(act))
        made.add_argument("node")
    on_disks: dict[str, Callable[[Cluster, str, str], None]] = {
        "pull-disk": faults.pull_disk,
        "fail-disk": faults.fail_disk,
    }
    for name, hit in on_disks.items():
        made = fault(name, partial(_on_disk, hit), _first_line(hit))
        made.add_argument("node")
        made.add_argument("slot")
    insert = fault(
        "insert-disk",
        lambda cluster, args: faults.insert_disk(
            cluster, args.node, args.slot, blank=args.blank, fs=args.fs
        ),
        "put a disk into a slot: the pulled one, or a new one",
    )
    insert.add_argument("node")
    insert.add_argument("slot")
    insert.add_argument(
        "--blank", action="store_true", help="a new, empty disk with another serial"
    )
    insert.add_argument(
        "--fs", choices=("xfs", "ext4", "none"), help="a new disk's file system (none: raw)"
    )
    stop = fault(
        "stop-api", lambda cluster, args: faults.stop_api(cluster, args.what), "the API goes away"
    )
    stop.add_argument("--what", choices=("kube-apiserver", "etcd"), default="kube-apiserver")
    fault("start-api", lambda cluster, _: faults.start_api(cluster), "the API comes back")
    return parser


if __name__ == "__main__":
    # `| head` ends it without a word. Here only: tests call main() in their own process.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
