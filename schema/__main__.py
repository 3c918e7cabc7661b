"""`python -m schema` writes every file that follows from schema/; `--check` writes none and fails when one is stale."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fastjsonschema
import jsonschema
import yaml

from schema import compiled, crd, values

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


def _validator(source: str) -> str:
    """Python that checks a document by a schema (schema/compiled)."""
    schema = yaml.safe_load((ROOT / "schema" / source).read_text())
    code = fastjsonschema.compile_to_code(
        _plain(schema), use_default=False, detailed_exceptions=False
    )
    # The generator's package would cost as much at start as jsonschema does: the exception is all that it is for.
    ours = "from schema.compiled import MismatchError as JsonSchemaValueException"
    code, lines = re.subn(
        "^from fastjsonschema import .*$",
        f"{ours}\n\nJsonSchemaValuesException = JsonSchemaValueException",
        code,
        flags=re.MULTILINE,
    )
    if lines != 1:
        raise values.ValuesSchemaError(
            f"{source}: fastjsonschema writes its imports in another way now"
        )
    head = f"# Written by `python -m schema` from schema/{source}: never by hand.\n# mypy: ignore-errors\n"
    return f"{head}{code}\n"


def _plain(node: Any) -> Any:
    """The schema in words that fastjsonschema writes code for: it has none for `const` without long messages."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        "enum" if key == "const" else key: [it] if key == "const" else _plain(it)
        for key, it in node.items()
        if key != "$id"  # it would name the functions
    }


# file → how to write it
OUTPUTS: dict[str, Callable[[], str]] = {
    "chart/values.schema.json": _values_json,
    "chart/README.md": _chart_readme,
    "chart/templates/volumes/crd.yaml": crd.template,
    **{
        f"schema/compiled/{compiled.module(source)}.py": partial(_validator, source)
        for source in ("postrender.config.schema.yaml", "postrender.lock.schema.yaml")
    },
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
