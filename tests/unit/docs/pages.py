"""The pages whose commands tests/cluster/test_demo.py runs, and what counts as a command."""

from __future__ import annotations

import re

from ci.demo.tools import ROOT

# In the order of a reader, who leaves at the end.
PAGES = (
    "README.md", "docs/kubectl-tidb.md", "docs/failover.md", "docs/cleanup.md", "docs/scale.md", "docs/boot.md",
    "docs/failures/pending-pod.md", "docs/failures/node-lost.md", "docs/failures/disk-lost.md",
    "docs/failures/two-lost.md", "docs/failures/pd-quorum-lost.md", "docs/install.md",
)  # fmt: skip


def commands(page: str) -> list[tuple[str, str]]:
    """(command, its comment) of each line of the page's ```sh blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    found = []
    for line in "".join(blocks).splitlines():
        command, _, comment = line.partition(" #")
        if command.strip():
            found.append((command.strip(), comment.strip()))
    return found
