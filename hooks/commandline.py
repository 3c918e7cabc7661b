"""The words of the jobs' command lines that more than one job understands."""

from __future__ import annotations

import argparse
import os
import re


def job(parser: argparse.ArgumentParser) -> None:
    """What the engine runs by; jobs call it from their own `configure`."""
    parser.add_argument(
        "--dry-run", action="store_true", help="print what a run would do and why; write nothing"
    )
    parser.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="how to print the plan"
    )
    parser.add_argument(
        "--wait",
        type=duration,
        default=0.0,
        metavar="DURATION",
        help="keep looking for so long while the plan only waits (default: return with exit code 3)",
    )
    api_server(parser)


def api_server(parser: argparse.ArgumentParser) -> None:
    """Where the API server is; in a pod nothing has to be said."""
    parser.add_argument(
        "--kubeconfig", default="", help="outside a pod: kubeconfig (default: KUBECONFIG)"
    )
    parser.add_argument("--context", default="", help="outside a pod: context of the kubeconfig")


def release(parser: argparse.ArgumentParser) -> None:
    """Which release, and where."""
    parser.add_argument("--release", required=True, help="prefix of the release's objects")
    parser.add_argument(
        "--namespace",
        default=os.environ.get("POD_NAMESPACE", ""),
        help="the release's namespace (default: POD_NAMESPACE)",
    )


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(text: str) -> float:
    """Seconds of `30m`, `1h30m`, `72h`, `2d`, `0`; ArgumentTypeError names the text and the form."""
    if text == "0":
        return 0.0
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no duration: expected numbers with units, such as 30s, 10m, 1h30m or 72h"
        )
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
