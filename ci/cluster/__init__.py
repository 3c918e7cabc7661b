"""A real Kubernetes on one machine: etcd, API server, controllers, scheduler, kubelets, containerd.

A node is one set of Linux namespaces (mount, PID, network, host name, IPC, cgroup), so that it uses the default paths
and ports, sees only its own disks, and dies as a machine dies when its first process is killed. The control plane is
one more network namespace, which also holds the rack's bridge. See docs/test-cluster.md.
"""

from ci.cluster.cluster import Cluster
from ci.cluster.errors import ClusterError

__all__ = ["Cluster", "ClusterError"]
