"""The Go programs that the test cluster and the chart's tests run: pinned here, built once, kept in the cache.

    tools.build("etcd", "helm4")      # builds what is not there; another process's build is waited for
    tools.path("etcd")                # a Path; builds nothing, raises ToolMissingError with the remedy

A family is one Go module below this folder (`families.py`): its go.mod and go.sum are the pins, and the only place
where a version stands. One module for all does not compile: containerd and Kubernetes need different CRI versions.

To raise a pin: `cd ci/tools/FAMILY && go get -tool PACKAGE@VERSION && go mod tidy` (kubernetes: its version and all of
k8s.io/* in go.mod together), then `python -m ci.tools build FAMILY`.

`path` decides by hashing some small files, in about 10 ms: it may be called as often as wished. Standard library only,
so that the tools can be built before any Python package is there.
"""

from ci.tools.builder import build, path
from ci.tools.errors import (
    GoMissingError,
    SchemasMissingError,
    ToolBuildError,
    ToolError,
    ToolMissingError,
    UnknownToolError,
)
from ci.tools.schemas import schemas

__all__ = [
    "GoMissingError",
    "SchemasMissingError",
    "ToolBuildError",
    "ToolError",
    "ToolMissingError",
    "UnknownToolError",
    "build",
    "path",
    "schemas",
]
