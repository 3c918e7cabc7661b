"""Input that is too large, too deep, or only large: memory stays bounded, and nothing comes out by halves."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postrender.conftest import ROOT

MIB = 2**20
DOCUMENT = (
    "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c-{number}\ndata:\n"
    + "".join(f"  key-{line}: value number {line} of this map\n" for line in range(60))
    + """---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: d-{number}}}
spec:
  template:
    spec:
      containers:
      - name: main
        image: x:1
        resources: {{limits: {{cpu: 1, memory: 1Gi}}}}
"""
)


def run(stream: Path, limit: int) -> subprocess.CompletedProcess[bytes]:
    """The command with at most `limit` bytes of address space: more ends it, whatever the machine has."""
    with stream.open("rb") as data:
        return subprocess.run(
            [sys.executable, "-m", "postrender"],
            stdin=data,
            capture_output=True,
            cwd=ROOT,
            check=False,
            timeout=120,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )


def test_fifty_megabytes_of_manifests_pass(tmp_path: Path) -> None:
    stream = tmp_path / "stream.yaml"
    whole = DOCUMENT.format(number=1)
    count = 50 * MIB // len(whole)
    stream.write_text("".join(DOCUMENT.format(number=number) for number in range(count)))
    done = run(stream, 600 * MIB)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n---\n") == 2 * count - 1
    assert done.stdout.count(b"requests:") == count


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: " + "x" * (50 * MIB), "characters, more than 4194304"),
        ("[" * (3 * MIB), "nested deeper than 200 levels"),
        ("- " * (1 * MIB), "nested deeper than 200 levels"),
        ("{a: " * (1 * MIB), "nested deeper than 200 levels"),
        (
            "a: &a [x]\n"
            + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(10))
            + "c: ["
            + "*b9, " * 50_000
            + "]\n",
            "aliases unfold to more",
        ),
        (
            "\n".join(
                f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9) if n else 'x'}]" for n in range(30)
            ),
            "aliases unfold to more",
        ),
        ("a: '" + "\n" * (3 * MIB), "found unexpected end of stream"),
    ],
    ids=[
        "one-document",
        "brackets",
        "dashes",
        "braces",
        "wide-aliases",
        "deep-aliases",
        "open-quote",
    ],
)
def test_what_is_too_large_or_too_deep_is_refused_in_bounded_memory(
    tmp_path: Path, text: str, reason: str
) -> None:
    stream = tmp_path / "stream.yaml"
    stream.write_text(text)
    done = run(stream, 600 * MIB)
    assert (done.returncode, done.stdout) == (1, b"")
    assert reason in done.stderr.decode()
    assert len(done.stderr) < 2000
