"""`python -m schema` writes every file that follows from schema/; `--check` writes none and fails when one is stale."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema

from schema import crd, values

ROOT = Path(__file__).resolve().parent.parent

# The reference stands between these lines of a file that is otherwise written by hand.
BEGIN = "<!-- values: written by `python -m schema` from schema/values.schema.yaml -->"
END = "<!-- end of values -->"


def _values_json() -> str:
    return json.dumps(values.json_schema(values.load()), indent=1, ensure_ascii=False) + "\n"


def _chart_readme() -> str:
    text = (ROOT / "chart" / "README.md").read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise values.ValuesSchemaError(
            f"chart/README.md: has no place for the values; put these two lines where they belong:\n{BEGIN}\n{END}"
        )
    reference = values.reference(values.load(), values.defaults())
    return f"{before}{BEGIN}\n\n{reference}\n{END}{after}"


# file → how to write it
OUTPUTS: dict[str, Callable[[], str]] = {
    "chart/values.schema.json": _values_json,
    "chart/README.md": _chart_readme,
    "chart/templates/volumes/crd.yaml": crd.template,
}


def _values_findings() -> list[str]:
    authored, defaults = values.load(), values.defaults()
    found = values.findings(authored, defaults)
    strict = jsonschema.Draft7Validator(values.json_schema(authored))
    for error in strict.iter_errors(defaults):
        key = ".".join(str(part) for part in error.absolute_path)
        found.append(f"{key}: values.yaml does not meet values.schema.yaml: {error.message}")
    for value in values.leaves(authored):
        closed = jsonschema.Draft7Validator(values.strict(value.schema))
        for error in closed.iter_errors(value.schema.get("example")):
            found.append(f"{value.name}: its example does not meet its schema: {error.message}")
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m schema", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing, fail when a file is stale"
    )
    args = parser.parse_args(argv)
    found = _values_findings()
    for line in found:
        print(f"schema: {line}", file=sys.stderr)
    if found:
        return 1
    stale = []
    for name, write in OUTPUTS.items():
        path, text = ROOT / name, write()
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if not args.check:
            path.write_text(text)
    for name in stale:
        print(
            f"schema: {name} {'is stale: run `python -m schema`' if args.check else 'written'}",
            file=sys.stderr,
        )
    return 1 if args.check and stale else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except values.ValuesSchemaError as error:
        print(f"schema: {error}", file=sys.stderr)
        sys.exit(1)
