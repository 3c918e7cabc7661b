"""python -m ci.image: build images and say where they are."""

from __future__ import annotations

import argparse
import sys

from ci import image
from ci.debian import DebianPackagesMissingError
from ci.tools import ToolError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ci.image", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("build", help="build images: prints name, digest, MB unpacked, archive")
    verb.add_argument(
        "names",
        nargs="+",
        choices=list(image.RECIPES),
        metavar="IMAGE",
        help=", ".join(image.RECIPES),
    )
    verbs.add_parser("list", help="every recipe: image, user, entry point")
    options = parser.parse_args(arguments)
    try:
        if options.verb == "build":
            for name in options.names:
                built = image.build(name)
                print(f"{built.ref} {built.digest} {built.size_bytes / 1e6:.1f} MB {built.archive}")
        else:
            for recipe in image.RECIPES.values():
                print(
                    f"{recipe.ref:26} user {recipe.user:5} {' '.join(recipe.entrypoint + recipe.command)}"
                )
    except (image.ImageError, ToolError, DebianPackagesMissingError) as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
