"""What is no release, and streams that are closed: told on stderr and in the report, nothing on stdout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.postrender.command import BAD, BARE, GOOD, ROOT, report, run


def test_bad_input_leaves_nothing(tmp_path: Path) -> None:
    done = run("--report", str(tmp_path / "r.json"), stdin=BAD)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "tidb-postrender: error: document 2 (t/b.yaml), line 6, column 5: no YAML: did not find"
    )
    body = report(tmp_path / "r.json")
    assert body["verdict"] == "error"
    assert (body["error"]["document"], body["error"]["line"]) == (2, 6)
    assert body["error"]["message"].startswith("no YAML: did not find expected node content")


BOMB = "".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9) if n else 'x'}]\n" for n in range(30))
# What follows a good document, by the issue's own words for it, and what its user is told.
BAD_INPUT: dict[str, tuple[str | bytes, str]] = {
    "no YAML": (
        "a: 'b\n",
        "line 5, column 4: no YAML: found unexpected end of stream while scanning a quoted scalar\n     5 | a: 'b",
    ),
    "duplicate key": ("a: 1\na: 2\n", "line 6, column 1: duplicate key 'a'"),
    "unknown anchor": ("a: *b\n", "line 5, column 4: unknown or unfinished anchor &b"),
    "merge of no mapping": ("<<: 1\n", "'<<' merges something that is no mapping"),
    "tab": (
        "a:\n\tb: 1\n",
        "line 6, column 1: no YAML: found character that cannot start any token",
    ),
    "byte order mark inside": ("\ufeffa: 1\nb: 2\n", "a byte order mark stands before this: only"),
    "CRLF in a list": ("- a\r\n- b\r\n", "line 5: the document is a list, not a Kubernetes object"),
    "list": ("- a\n", "line 5: the document is a list, not a Kubernetes object\n     5 | - a"),
    "scalar": ("some text\n", "line 5: the document is a single value, not a Kubernetes object"),
    "no object": ("a: 1\n", "line 5: the document is no Kubernetes object: it has no apiVersion"),
    "false cut": (
        "a: |\n---b\n",
        "line 6, column 1: a line starts with '---' but is no document marker",
    ),
    "cut by dots": (
        "a: 1\n...\nb: 2\n",
        "line 7, column 1: no YAML: did not find expected <document start>",
    ),
    "deep": ("a: " + "[" * 5000, "nested deeper than 200 levels"),
    "alias bomb": (BOMB, "aliases unfold to more than 100000 values"),
    "binary": ("a: \x00\n", "line 5, column 4: byte 0x00 is binary, not text"),
    "no UTF-8": (b"a: \xff\n", "line 5, column 4: byte 0xff is not UTF-8"),
    "too large": ("a: " + "x" * 2**22, "characters, more than 4194304"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_told_on_stderr_and_in_the_report_and_lets_nothing_through(
    tmp_path: Path, name: str
) -> None:
    bad, reason = BAD_INPUT[name]
    data = f"{GOOD}---\n".encode() + (bad if isinstance(bad, bytes) else bad.encode())
    done = run("--report", str(tmp_path / "r.json"), stdin=data)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tidb-postrender: error: ")
    assert reason in done.stderr
    body = report(tmp_path / "r.json")
    assert body["verdict"] == "error"
    assert body["error"]["message"] in done.stderr


@pytest.mark.parametrize("data", ["", " \n\r\n\t", "\ufeff", "# nothing\n", "---\n--- ~\n"])
def test_an_empty_release_is_an_error(tmp_path: Path, data: str) -> None:
    done = run("--report", str(tmp_path / "r.json"), stdin=data)
    assert (done.returncode, done.stdout) == (1, "")
    assert "would release nothing" in done.stderr
    assert report(tmp_path / "r.json")["verdict"] == "error"


@pytest.mark.parametrize("data", [b"", b"\x00\x01", b"\xff\xfe", b"[" * 100_000, b"a: \xff"])
def test_no_input_makes_a_partial_output(data: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "postrender"],
        input=data,
        capture_output=True,
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"tidb-postrender: error: ")
    assert b"Traceback" not in done.stderr


def test_a_closed_stdout_is_an_error() -> None:
    stream = GOOD + "data: {a: " + "x" * 1_000_000 + "}\n"
    program = subprocess.Popen(
        [sys.executable, "-m", "postrender"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert program.stdout
    program.stdout.close()
    _, said = program.communicate(stream.encode(), timeout=60)
    assert program.returncode == 1
    assert said == b"tidb-postrender: error: stdout can't be written: Broken pipe\n"


@pytest.mark.parametrize(
    ("closed", "code", "out", "err"),
    [
        ("stdin", 1, "", "tidb-postrender: error: reads manifests on stdin: helm template"),
        ("stdout", 1, "", "tidb-postrender: error: stdout can't be written: it is closed\n"),
        ("stderr", 4, "# tidb-postrender refused: ", ""),
    ],
)
def test_a_stream_that_was_closed_before_the_start(
    closed: str, code: int, out: str, err: str
) -> None:
    redirection = {"stdin": "<&-", "stdout": ">&-", "stderr": "2>&-"}[closed]
    stream = BARE if closed == "stderr" else GOOD
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m postrender {redirection}', sys.executable],
        input=stream,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert done.returncode == code
    assert done.stdout.startswith(out)
    assert bool(done.stdout) == bool(out)
    assert all(line.startswith("# ") for line in done.stdout.splitlines())
    assert done.stderr.startswith(err)
