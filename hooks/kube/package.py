"""What we use of the `kubernetes` package, and nothing else of it.

`import kubernetes` runs its `__init__`, which brings the dynamic client, informers, web sockets, OAuth and models in
pydantic: 24 MB, and 0.4 s of CPU, which under a CronJob's limit of 100m is four seconds of its minute. An import
statement cannot pass over a package's `__init__`; so the three packages on the way to our modules are entered bare.
Whoever has imported the whole package before finds it unchanged.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import Any


def _enter(name: str) -> None:
    """Make a package known by its path alone, so that its modules can be imported one by one."""
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    parent, _, own = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], own, module)


for _name in ("kubernetes", "kubernetes.config", "kubernetes.utils"):
    _enter(_name)

from kubernetes.client.configuration import Configuration  # noqa: E402 - after the packages were entered
from kubernetes.client.exceptions import ApiException  # noqa: E402
from kubernetes.client.rest import RESTClientObject  # noqa: E402
from kubernetes.config.config_exception import ConfigException  # noqa: E402
from kubernetes.config.incluster_config import load_incluster_config  # noqa: E402
from kubernetes.utils.keepalive import tcp_keepalive_socket_options  # noqa: E402

# The package ships no types; these are the calls of it that we make.
load_in_cluster: Callable[..., None] = load_incluster_config


def load_kubeconfig(**how: Any) -> None:
    """kubernetes.config.load_kube_config: outside a pod, with exec and OIDC plugins."""
    importlib.import_module("kubernetes.config.kube_config").load_kube_config(**how)


def list_contexts(**how: Any) -> Any:
    """kubernetes.config.list_kube_config_contexts."""
    return importlib.import_module("kubernetes.config.kube_config").list_kube_config_contexts(**how)


__all__ = [
    "ApiException",
    "ConfigException",
    "Configuration",
    "RESTClientObject",
    "list_contexts",
    "load_in_cluster",
    "load_kubeconfig",
    "tcp_keepalive_socket_options",
]
