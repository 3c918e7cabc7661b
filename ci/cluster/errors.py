"""What can go wrong with a test cluster, as sentences that name the remedy."""

from __future__ import annotations


class ClusterError(Exception):
    """Something asked of the test cluster can't be done; the text says what, why and what to do."""


class MachineUnfitError(ClusterError):
    """This machine lacks something that a cluster needs: rights, a kernel feature, room, a package."""


class WaitTimeoutError(ClusterError):
    """A condition did not come true in time; the text ends with what was seen last."""
