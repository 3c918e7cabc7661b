"""Names, addresses and folders of one cluster, all derived from its name and its slot.

Clusters side by side get different slots, hence different networks; everything on the host carries the slot in its
name (`tc3-n1`), so that two clusters never meet and a clean-up finds its own by name alone.

    rack      10.250.SLOT.0/24    .1 control plane, .11 … nodes, .254 the host
    pods      10.(160+SLOT).N.0/24
    services  10.(200+SLOT).0.0/16
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ci.cluster.errors import ClusterError

MAX_SLOTS = 32
MAX_NODES = 30
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def clusters_folder() -> Path:
    """Where the clusters keep their state: `$HELM_TIDB_CLUSTERS`, or `/var/tmp/helm-tidb`.

    Not under /tmp: that may be a tmpfs, on which neither loop devices nor overlay mounts work well.
    """
    return Path(os.environ.get("HELM_TIDB_CLUSTERS") or "/var/tmp/helm-tidb")


@dataclass(frozen=True)
class NodeLayout:
    """One node's place: `number` counts from 1."""

    cluster: Layout
    number: int

    @property
    def name(self) -> str:
        return f"n{self.number}"

    @property
    def address(self) -> str:
        return f"10.250.{self.cluster.slot}.{10 + self.number}"

    @property
    def pods(self) -> str:
        return f"10.{160 + self.cluster.slot}.{self.number}.0/24"

    @property
    def netns(self) -> str:
        return f"tc{self.cluster.slot}-n{self.number}"

    @property
    def veth(self) -> str:
        """The rack's end of the node's cable, in the control plane's network namespace."""
        return f"tcv{self.number}"

    @property
    def folder(self) -> Path:
        return self.cluster.folder / self.name


@dataclass(frozen=True)
class Layout:
    """One cluster's place on this machine."""

    name: str
    slot: int

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ClusterError(
                f"cluster name {self.name!r}: at most 32 of a-z, 0-9 and '-', starting and ending with "
                "a letter or digit; choose another --name"
            )
        if not 0 <= self.slot < MAX_SLOTS:
            raise ClusterError(f"slot {self.slot}: there are {MAX_SLOTS}, from 0")

    def node(self, number: int) -> NodeLayout:
        if not 1 <= number <= MAX_NODES:
            raise ClusterError(
                f"node {number}: this cluster's network has room for nodes 1 to {MAX_NODES}"
            )
        return NodeLayout(self, number)

    @property
    def folder(self) -> Path:
        return clusters_folder() / self.name

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def netns(self) -> str:
        return f"tc{self.slot}-cp"

    @property
    def host_veth(self) -> str:
        return f"tc{self.slot}h"

    @property
    def address(self) -> str:
        return f"10.250.{self.slot}.1"

    @property
    def host_address(self) -> str:
        return f"10.250.{self.slot}.254"

    @property
    def rack(self) -> str:
        return f"10.250.{self.slot}.0/24"

    @property
    def pods(self) -> str:
        return f"10.{160 + self.slot}.0.0/16"

    @property
    def services(self) -> str:
        return f"10.{200 + self.slot}.0.0/16"

    @property
    def api_service(self) -> str:
        return f"10.{200 + self.slot}.0.1"

    @property
    def server(self) -> str:
        return f"https://{self.address}:6443"
