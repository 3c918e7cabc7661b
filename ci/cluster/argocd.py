"""Argo CD beside the control plane; written by the image and tools developer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci.cluster.cluster import Cluster


def start(cluster: Cluster) -> None:
    raise NotImplementedError(cluster.name)
