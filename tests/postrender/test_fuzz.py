"""Broken input through the whole command, in this process: it never crashes and never writes a part.

Mutations of real streams, drawn by hypothesis, which shrinks what fails to the fewest of them. `make soak`
(HELM_TIDB_SOAK=1) gives it ten minutes, else it stops after a fixed number of inputs.
"""

from __future__ import annotations

import io
import random
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from postrender import cli
from tests.unit.postrender.release import SOAK

SOAK_SECONDS = 600
INPUTS = 400
GOLDEN = Path(__file__).parent.parent / "unit" / "postrender" / "golden"
# What a mutation puts in: YAML's own marks, bytes that are none, and fields with a type that no rule expects.
TOKENS = (
    *(
        b"---\n",
        b"--- ",
        b"...\n",
        b"%YAML 1.2\n",
        b"&a ",
        b"*a",
        b"<<: *a\n",
        b"!!str ",
        b"!x ",
        b"\t",
        b"\r\n",
    ),
    *(
        b"\r",
        b"{",
        b"}",
        b"[",
        b"]",
        b"|\n",
        b">-\n",
        b"|2+\n",
        b"'",
        b'"',
        b": ",
        b"? ",
        b"- ",
        b"#",
        b"\\",
        b"~",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\x00",
        b"\xff",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"y",
        b"0644",
        b"1e3",
        b"\n",
        b"spec:\n",
    ),
    *(b"kind: List\nitems:\n", b"kind: ResourceList\n", b"apiVersion: config.kubernetes.io/v1\n"),
    *(b"metadata: []\n", b"containers: {a: b}\n", b"resources: [1]\n", b"labels: x\n"),
)
RESOURCE_LIST = b"""apiVersion: config.kubernetes.io/v1
kind: ResourceList
functionConfig: {apiVersion: helm-tidb.io/v1, kind: PostRender, rules: {labels: {labels: {team: db}}}}
items:
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {template: {spec: {containers: [{name: a,
  image: 'x:1', resources: {limits: {cpu: 1, memory: 1Gi}}}]}}}}
"""
REFUSED = b"""---
# Source: a/templates/b.yaml
apiVersion: batch/v1
kind: Job
metadata: {name: a, annotations: {helm.sh/hook: pre-install}}
spec: {template: {spec: {containers: [{name: b, image: "x:1"}]}}}
"""
CONFIG = """apiVersion: helm-tidb.io/v1
kind: PostRender
rules: {labels: {labels: {team: db}, annotations: {a: b}, templates: true}, images: {mirrors: {docker.io: m.io/x}}}
"""


def seeds() -> list[bytes]:
    streams = [path.read_bytes() for path in sorted(GOLDEN.glob("*.in.yaml"))]
    assert streams
    return [*streams, RESOURCE_LIST, REFUSED]


def mutated(stream: bytes, dice: random.Random) -> bytes:
    data = bytearray(stream)
    for _ in range(dice.choice((1, 1, 2, 3, 8))):
        at = dice.randrange(len(data) + 1)
        kind = dice.randrange(6)
        if kind == 0:
            data[at:at] = dice.choice(TOKENS)
        elif kind == 1:
            del data[at : at + dice.choice((1, 2, 10, 100))]
        elif kind == 2:
            other = dice.randrange(len(data) + 1)
            data[at:at] = data[other : other + dice.choice((5, 50, 500))]
        elif kind == 3 and at < len(data):
            data[at] = dice.randrange(256)
        elif kind == 4:
            lines = bytes(data).split(b"\n")
            dice.shuffle(
                lines
            ) if dice.random() < 0.05 else lines.reverse() if dice.random() < 0.05 else None
            data = bytearray(b"\n".join(lines))
        else:
            data[at:at] = dice.choice(TOKENS) * dice.choice((2, 30, 300))
    return bytes(data)


def command(data: bytes, patch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, bytes]:
    out = io.BytesIO()
    patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    patch.setattr(sys, "stdout", io.TextIOWrapper(out, "utf-8", write_through=True))
    patch.setattr(sys, "stderr", io.StringIO())
    code = cli.main(arguments)
    sys.stdout.flush()
    return code, out.getvalue()


def test_no_input_crashes_it_or_gets_a_part_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    seen: Counter[int] = Counter()

    @settings(
        max_examples=INPUTS, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.sampled_from(seeds()), st.randoms(use_true_random=False))
    def search(stream: bytes, dice: random.Random) -> None:
        data = mutated(stream, dice)
        note(f"input: {data!r}")
        with monkeypatch.context() as patch:
            if b"ResourceList" not in data:
                patch.setenv(cli.CONFIG_VARIABLE, str(config))
            code, output = command(data, patch, "--report", str(tmp_path / "r.md"))
            if code == cli.Exit.DONE:
                again = command(output, patch)
            checked, _ = command(data, patch, "check", "--report", str(tmp_path / "r.sarif"))
            command(data, patch, "lock")
        seen[code] += 1
        assert checked == code
        if code == cli.Exit.DONE:
            assert again[0] == cli.Exit.DONE
            # A function's results tell what this pass did: a second one did nothing.
            assert again[1].partition(b"\nresults:")[0] == output.partition(b"\nresults:")[0]
        elif code == cli.Exit.ERROR:
            assert output == b""
        else:
            assert code == cli.Exit.REFUSED
            comment = all(line.startswith(b"# ") for line in output.splitlines())
            assert comment or b"\nitems: []\n" in output

    end = time.monotonic() + SOAK_SECONDS
    search()
    while SOAK and time.monotonic() < end:
        search()
    # Were nearly all refused, or none, the mutator would prove little.
    assert seen[cli.Exit.DONE] > seen.total() / 20
    assert seen[cli.Exit.ERROR] > seen.total() / 20
    print(f"{seen.total()} inputs: {seen}")
