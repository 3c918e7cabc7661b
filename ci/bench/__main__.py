"""Run the benchmarks named, or all: `python -m ci.bench [NAME …]`."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from ci.bench import machine

NAMES = tuple(sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py")))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ci.bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"which ones: {', '.join(NAMES)}")
    args = parser.parse_args()
    unknown = sorted(set(args.name) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    for name in args.name or NAMES:
        print(f"== {name}: {machine()}", flush=True)
        importlib.import_module(f"ci.bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
