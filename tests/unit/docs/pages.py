"""The pages whose commands tests/cluster/test_demo.py runs, and what counts as a command: each line of a ```sh block,
and what stands behind `$ ` in a ```console block.
"""

from __future__ import annotations

import re

from ci.demo.tools import ROOT

# In the order of a reader, who leaves at the end.
PAGES = (
    "README.md", "docs/kubectl-tidb.md", "docs/failover.md", "docs/cleanup.md", "docs/scale.md", "docs/boot.md",
    "docs/failures/pending-pod.md", "docs/failures/node-lost.md", "docs/failures/disk-lost.md",
    "docs/failures/two-lost.md", "docs/failures/pd-quorum-lost.md", "docs/volumes.md", "docs/disk-agent.md",
    "docs/test-cluster.md", "docs/install.md",
)  # fmt: skip
# Pages whose commands another suite runs, comparing their output.
ELSEWHERE = {"docs/postrender.md": "tests/postrender/test_docs.py"}


def commands(page: str) -> list[tuple[str, str]]:
    """(command, its comment) of each command of the page."""
    blocks = re.findall(
        r"^ *```(sh|console)\n(.*?)^ *```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
    )
    lines = [
        line.strip().removeprefix("$ ")
        for kind, text in blocks
        for line in text.splitlines()
        if kind == "sh" or line.strip().startswith("$ ")
    ]
    found = []
    for line in lines:
        command, _, comment = line.partition(" #")
        if command.strip():
            found.append((command.strip(), comment.strip()))
    return found
