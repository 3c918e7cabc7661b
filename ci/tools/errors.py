"""What can go wrong with a pinned tool, by remedy."""

from __future__ import annotations


class ToolError(Exception):
    """Root of this package's errors."""


class UnknownToolError(ToolError):
    """No family makes a tool of that name."""


class ToolMissingError(ToolError):
    """The tool is pinned and not built; the message names the command that builds it."""


class ToolBuildError(ToolError):
    """Go, or the C compiler, refused; the message ends with its own last lines."""


class GoMissingError(ToolError):
    """Neither a Go of the needed version is on PATH, nor could one be installed."""


class SchemasMissingError(ToolError):
    """The Python package that carries Kubernetes' JSON schemas is not installed, or lacks that version."""
