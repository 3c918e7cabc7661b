"""python -m ci.tools: build, list and find the pinned tools."""

from __future__ import annotations

import argparse
import signal
import sys

from ci import tools
from ci.debian import DebianPackagesMissingError
from ci.tools import builder, go
from ci.tools.families import FAMILIES


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ci.tools", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("build", help="build what is not built yet (no name: all)")
    verb.add_argument("names", nargs="*", metavar="TOOL", help="a tool or a family; see list")
    verb = verbs.add_parser("path", help="print where a built tool is")
    verb.add_argument("name", metavar="TOOL")
    verbs.add_parser("list", help="every tool: version, built or missing, where")
    options = parser.parse_args(arguments)
    try:
        if options.verb == "build":
            tools.build(*options.names)
        elif options.verb == "path":
            print(tools.path(options.name))
        else:
            _list()
    except (tools.ToolError, DebianPackagesMissingError) as error:
        print(f"tools: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _list() -> None:
    toolchain = go.choose()
    for family in FAMILIES.values():
        folder = builder.folder(family, toolchain)
        for name, place in family.names.items():
            state = str(folder / place) if folder.exists() else "missing"
            print(f"{name:30} {family.version:8} {state}")


if __name__ == "__main__":
    # `| head` ends it without a word. Here only: tests call main() in their own process.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
