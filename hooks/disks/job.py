"""`python -m hooks disks`: the agent of one node (DaemonSet), or with --dry-run one look at this machine's disks."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from hooks import commandline
from hooks.disks import inventory
from hooks.disks.agent import Agent
from hooks.disks.config import ConfigError, ConfigFile
from hooks.disks.filesystem import Contents, Looker
from hooks.disks.host import Host, attribute
from hooks.disks.inventory import Entry, Node
from hooks.disks.judge import judge
from hooks.disks.mountinfo import Mount, MountinfoError
from hooks.disks.observe import Snapshot, observe
from hooks.disks.wipe import ignore_broken_leases
from hooks.engine import Exit
from hooks.metrics import Metrics, serve

LOG = logging.getLogger("disks")
_LOOK_SECONDS = 5.0
_FIRST_MAIL_SECONDS = 10.0
# A round takes milliseconds, and seconds when disks hang; the probe's period comes on top.
_STALLED_SECONDS = 120.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", default="/mnt/disks", help="the discovery directory")
    parser.add_argument(
        "--host-dev", type=Path, default=Path("/dev"), help="where the node's /dev is mounted"
    )
    parser.add_argument(
        "--host-udev",
        type=Path,
        default=Path("/run/udev/data"),
        help="where the node's udev database is mounted",
    )
    parser.add_argument("--config", type=Path, help="configuration file (JSON)")
    parser.add_argument("--namespace", default=os.environ.get("POD_NAMESPACE", "default"))
    parser.add_argument("--node", default=os.environ.get("NODE_NAME", ""), help="this node's name")
    parser.add_argument("--node-ip", default=os.environ.get("NODE_IP", ""))
    parser.add_argument("--agent-version", default=os.environ.get("AGENT_VERSION", ""))
    parser.add_argument("--port", type=int, default=0, help="of /metrics and /healthz; 0: none")
    parser.add_argument(
        "--dry-run", action="store_true", help="look once, print the disks, write nothing"
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    commandline.api_server(parser)


def run(args: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="disks: %(message)s")
    # urllib3 warns of each broken connection; the watch and the client say it in their own words.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        config = ConfigFile(args.config)
        if args.dry_run:
            return _look_once(args, config)
        return _serve(args, config)
    except (ConfigError, MountinfoError) as error:
        print(f"disks: error: {error}", file=sys.stderr)
        return Exit.ERROR


def _observer(args: argparse.Namespace) -> Observer:
    return Observer(Host(dev=args.host_dev, udev=args.host_udev), args.root.rstrip("/") or "/")


class Observer:
    """Looks at the whole node when it is called; remembers only which disks hang."""

    def __init__(self, host: Host, root: str) -> None:
        self._host = host
        self._root = root
        self._looker = Looker()

    def __call__(self) -> Snapshot:
        return observe(self._host, self._root, self._look)

    def _look(self, mounts: Iterable[Mount]) -> Mapping[Mount, Contents]:
        return self._looker.look(mounts, _LOOK_SECONDS)


def _node(args: argparse.Namespace) -> Node:
    return Node(
        name=args.node or os.uname().nodename,
        ip=args.node_ip,
        boot_id=attribute(Path("/proc/sys/kernel/random/boot_id")) or "",
        agent=args.agent_version,
        root=args.root.rstrip("/") or "/",
    )


def _look_once(args: argparse.Namespace, config: ConfigFile) -> int:
    entries = judge(_observer(args)(), config.config.policy, {})
    if args.output == "json":
        document = inventory.document(_node(args), entries, (), None)
        print(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        print("\n".join(table(entries)))
    return Exit.DONE


def table(entries: tuple[Entry, ...]) -> list[str]:
    """The verdict, then a line a disk, with what is wrong with it below."""
    usable = [entry for entry in entries if not entry.problems]
    lines = [f"disks: {len(usable)} of {len(entries)} could be offered as volumes"]
    for entry in sorted(entries, key=lambda e: (bool(e.problems), e.path, e.device)):
        size = inventory.size(entry.capacity_bytes or entry.size_bytes)
        words = (
            entry.path or "(not mounted)",
            entry.device or "-",
            size,
            entry.fs_type or "-",
            "rotational" if entry.rotational else "solid-state",
            entry.identity or "no identity",
        )
        lines.append("  " + "  ".join(words))
        lines += [f"      {problem.code}: {problem.message}" for problem in entry.problems]
    return lines


def _serve(args: argparse.Namespace, config: ConfigFile) -> int:
    from hooks.disks.exchange import KubeExchange
    from hooks.kube import Client

    if not args.node:
        print(
            "disks: error: which node this is, is not known: set NODE_NAME from spec.nodeName or say --node",
            file=sys.stderr,
        )
        return Exit.ERROR
    ignore_broken_leases()
    waker = Waker()
    stopping: list[int] = []

    def stop(number: int, _: object) -> None:
        stopping.append(number)
        waker.wake()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    client = Client.connect("disks", kubeconfig=args.kubeconfig, context=args.context)
    exchange = KubeExchange(client, args.namespace, args.node, waker.wake)
    exchange.follow()
    exchange.wait(_FIRST_MAIL_SECONDS)
    agent = Agent(
        _node(args),
        exchange,
        _observer(args),
        config,
        clock=time.monotonic,
        now=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        wake=waker.wake,
    )
    metrics = Metrics()
    metrics.describe("helm_tidb_disks", "gauge", "Disks of this node, by problem (none: usable).")
    health = Health()
    if args.port:
        serve(metrics, args.port, healthy=health.wrong)
    LOG.info("agent of node %s, disks below %s", args.node, args.root)
    while not stopping:
        try:
            seconds = agent.round()
        except (OSError, MountinfoError) as error:
            # Nothing is known of this node now, so nothing is said: the last inventory stands.
            LOG.warning("this node's disks could not be examined: %s; trying again", error)
            seconds = _LOOK_SECONDS
        else:
            health.beat()
            metrics.set("helm_tidb_last_success_seconds", time.time(), job="disks")
            _count(metrics, agent.entries)
        waker.wait(seconds)
    LOG.info("stopped")
    return Exit.DONE


def _count(metrics: Metrics, entries: tuple[Entry, ...]) -> None:
    counts: dict[tuple[tuple[str, str], ...], float] = {}
    for entry in entries:
        for code in entry.codes or {"none"}:
            key = (("problem", code),)
            counts[key] = counts.get(key, 0.0) + 1
    metrics.reset("helm_tidb_disks", counts)


class Health:
    """Whether rounds still come to an end."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def beat(self) -> None:
        self._last = time.monotonic()

    def wrong(self) -> str:
        silent = time.monotonic() - self._last
        return f"no round has ended for {silent:.0f} s" if silent > _STALLED_SECONDS else ""


class Waker:
    """Sleeps until a mount comes or goes, somebody wakes it, or time is up."""

    def __init__(self, mountinfo: str = "/proc/self/mountinfo") -> None:
        # The kernel reports a changed mount table as an exceptional condition (proc_pid_mountinfo(5)).
        self._mounts = os.open(mountinfo, os.O_RDONLY | os.O_CLOEXEC)
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._mounts, select.POLLERR | select.POLLPRI)
        self._poll.register(self._read, select.POLLIN)

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: it will wake in any case
            os.write(self._write, b".")

    def wait(self, seconds: float) -> None:
        # Mounts come in bursts, and a look costs more than a moment's patience.
        if self._poll.poll(max(0, seconds) * 1000):
            time.sleep(0.05)
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 65536)
