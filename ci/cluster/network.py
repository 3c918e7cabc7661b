"""The rack: one bridge, one cable a node, one to the host.

The bridge lies in the control plane's network namespace, so the host's own firewall never sees the rack's traffic, and
deleting that namespace takes bridge and cables with it. On the host remain one veth and the routes over it.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from ci.cluster.layout import Layout, NodeLayout
from ci.cluster.run import attempt, run

BRIDGE = "rack"


def make_rack(layout: Layout) -> None:
    """The control plane's namespace, its bridge, and the host's way to rack, pods and Services.

    The host reaches Services (admission webhooks, tests) through node 1, once there is one.
    """
    run("ip", "netns", "add", layout.netns)
    ip = ("ip", "-n", layout.netns)
    run(*ip, "link", "set", "lo", "up")
    run(*ip, "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0")
    run(*ip, "addr", "add", f"{layout.address}/24", "dev", BRIDGE)
    run(*ip, "link", "set", BRIDGE, "up")
    run(
        "ip",
        "link",
        "add",
        layout.host_veth,
        "type",
        "veth",
        "peer",
        "name",
        "host",
        "netns",
        layout.netns,
    )
    run(*ip, "link", "set", "host", "master", BRIDGE, "up")
    run("ip", "addr", "add", f"{layout.host_address}/24", "dev", layout.host_veth)
    run("ip", "link", "set", layout.host_veth, "up")


def add_cable(node: NodeLayout, others: list[NodeLayout]) -> None:
    """A network namespace for the node with its address, and routes to every other node's pods."""
    cluster = node.cluster
    run("ip", "netns", "add", node.netns)
    run(*("ip", "-n", cluster.netns, "link", "add", node.veth, "type", "veth"),
        *("peer", "name", "eth0", "netns", node.netns))  # fmt: skip
    run("ip", "-n", cluster.netns, "link", "set", node.veth, "master", BRIDGE, "up")
    commands = [
        f"addr add {node.address}/24 dev eth0",
        "link set eth0 up",
        "link set lo up",
        f"route add default via {cluster.address}",
        *(f"route add {other.pods} via {other.address}" for other in others if other != node),
    ]
    run("ip", "-n", node.netns, "-batch", "-", stdin="\n".join(commands))
    run("nsenter", f"--net=/run/netns/{node.netns}", "sysctl", "-qw", "net.ipv4.ip_forward=1")


def route_to_nodes(layout: Layout, nodes: list[NodeLayout]) -> None:
    """The host's and the control plane's way to pods and Services."""
    routes = [f"route replace {node.pods} via {node.address}" for node in nodes]
    if nodes:
        routes.append(f"route replace {layout.services} via {nodes[0].address}")
    run("ip", "-batch", "-", stdin="\n".join(routes))
    run("ip", "-n", layout.netns, "-batch", "-", stdin="\n".join(routes))


def set_cable(node: NodeLayout, *, up: bool) -> None:
    """Pull the node's network cable, or plug it in again. Its processes notice nothing else."""
    run("ip", "-n", node.cluster.netns, "link", "set", node.veth, "up" if up else "down")


def remove_node(node: NodeLayout) -> None:
    attempt("ip", "-n", node.cluster.netns, "link", "del", node.veth)
    if Path(f"/run/netns/{node.netns}").exists():
        run("ip", "netns", "del", node.netns)


def remove_rack(layout: Layout) -> None:
    """Everything of this cluster's network that is still there, found by name."""
    for path in Path("/run/netns").glob(f"tc{layout.slot}-n*"):
        run("ip", "netns", "del", path.name)
    if Path(f"/run/netns/{layout.netns}").exists():
        run("ip", "netns", "del", layout.netns)
    # The kernel removes a namespace's end of a veth a moment after the namespace: do not wait for it.
    attempt("ip", "link", "del", layout.host_veth)


def conflict(layout: Layout) -> str | None:
    """What of this machine's own network overlaps with the slot's, in words; None when nothing does.

    Traffic to a range that is routed elsewhere already would vanish into the cluster.
    """
    ours = [ipaddress.ip_network(text) for text in (layout.rack, layout.pods, layout.services)]
    for route in json.loads(run("ip", "-j", "route", "show", "table", "all")):
        if route["dst"] == "default" or ":" in route["dst"]:
            continue
        theirs = ipaddress.ip_network(route["dst"], strict=False)
        for network in ours:
            if network.overlaps(theirs):
                return f"{theirs} is routed already (dev {route.get('dev', route.get('type'))}), {network} is needed"
    return None
