"""Read the configuration: a file, or a KRM function's own. Every key is described in
schema/postrender.config.schema.yaml.

A yes comes from a validator that is written in advance (schema/compiled). jsonschema takes longer to load than a stream
to pass: it is asked only what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from postrender.errors import ConfigError, StreamError
from postrender.manifest import Selection
from postrender.reader import Reader
from postrender.rules import Rule
from postrender.rules.api_versions import ApiVersions
from postrender.rules.exposure import Exposure
from postrender.rules.guaranteed import Guaranteed
from postrender.rules.images import Images
from postrender.rules.isolation import Isolation
from postrender.rules.labels import Labels
from postrender.stream import Chunk, decode
from postrender.values import Token, Value
from schema.compiled import MismatchError, validator
from schema.names import API_VERSION

KIND = "PostRender"
# Labels come first, so that what a later rule says of an object is said of the object as it goes out.
RULES: tuple[type[Rule], ...] = (Labels, Images, Guaranteed, Exposure, Isolation, ApiVersions)
_SELECTIONS = frozenset({"exclude", "allow", "hostPaths"})


def rules(config: dict[str, Any], base: Path) -> list[Rule]:
    """The rules that a checked configuration turns on. `base` is the folder that a lock file's path starts from."""
    sections = config.get("rules") or {}
    made = []
    for rule in RULES:
        section = dict(sections.get(rule.name) or {})
        if not section.pop("enabled", True):
            continue
        made.append(rule(**{_attribute(key): _value(key, it, base) for key, it in section.items()}))
    return made


def load(path: Path) -> list[Rule]:
    """The rules of a configuration file. Raises ConfigError."""
    return rules(read(path, "postrender.config.schema.yaml", KIND), path.parent)


def of_function(body: dict[str, Value]) -> list[Rule]:
    """The rules of a KRM function's configuration. Paths in it start from the working folder. Raises ConfigError."""
    name = "functionConfig"
    if body.get("kind") != KIND:
        raise ConfigError(
            f"{name}: kind is {body.get('kind')!r}; write apiVersion: {API_VERSION}, kind: {KIND}"
        )
    config = plain_data(body)
    check(config, "postrender.config.schema.yaml", name)
    return rules(config, Path())


def read(path: Path, schema: str, kind: str) -> dict[str, Any]:
    """A YAML file checked by a schema. Raises ConfigError that names the file, the key and the value."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    try:
        content = Reader().read(Chunk(decode(data), 0, 0)).root
    except StreamError as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: has to start with apiVersion: {API_VERSION} and kind: {kind}")
    config: dict[str, Any] = plain_data(content)
    check(config, schema, str(path))
    return config


def check(config: dict[str, Any], schema: str, name: str) -> None:
    """Raises ConfigError with every fault: the key, the value, what was expected."""
    try:
        validator(schema)(config)
    except MismatchError as mismatch:
        from jsonschema import Draft7Validator

        faults = sorted(
            Draft7Validator(schema_of(schema)).iter_errors(config),
            key=lambda fault: list(map(str, fault.path)),
        )
        told = [f"{name}: {_key(fault)}: {_problem(fault)}" for fault in faults]
        # jsonschema lets a pattern's `$` match before a line break at the end of a value.
        told = told or [f"{name}: {str(mismatch).removeprefix('data.')}"]
        raise ConfigError("\n".join(dict.fromkeys(told))) from mismatch


@cache
def schema_of(file_name: str) -> dict[str, Any]:
    """A schema of the package `schema`, by its file name."""
    from importlib import resources

    import yaml

    text = resources.files("schema").joinpath(file_name).read_text("utf-8")
    schema: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return schema


def plain_data(value: Value) -> Any:
    """A value as JSON has it, by YAML 1.2's core schema: what a configuration means is ours to say."""
    if isinstance(value, dict):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_data(item) for item in value]
    if not isinstance(value, Token):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    if re.fullmatch(r"[-+]?[0-9]+", value):
        return int(value)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", value):
        return float(value)
    return str(value)


def parameters(rule: Rule) -> dict[str, Any]:
    """A rule's parameters by their names in the configuration."""
    shown = [each for each in fields(rule) if not each.name.startswith("_")]  # type: ignore[arg-type]
    return {_camel(each.name): getattr(rule, each.name) for each in shown if each.name != "totals"}


def _attribute(key: str) -> str:
    return re.sub(r"[A-Z]", lambda found: "_" + found.group().lower(), key)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _value(key: str, value: Any, base: Path) -> Any:
    if key in _SELECTIONS:
        return tuple(Selection(**each) for each in value)
    if key == "lock":
        return _lock(base / value) if value else {}
    if key == "set":
        return {name: str(quantity) for name, quantity in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _lock(path: Path) -> dict[str, str]:
    images: dict[str, str] = read(path, "postrender.lock.schema.yaml", "ImageLock")["images"]
    return images


def _key(fault: Any) -> str:
    path = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault.absolute_path
    )
    return path.lstrip(".") or "(whole file)"


def _problem(fault: Any) -> str:
    """jsonschema's words, but for those that would not help."""
    if fault.validator == "additionalProperties" and isinstance(fault.validator_value, bool):
        from difflib import get_close_matches

        known: Sequence[str] = sorted(fault.schema.get("properties", {}))
        unknown = sorted(set(fault.instance) - set(known))
        told = []
        for key in unknown:
            near = get_close_matches(key, known, 1)
            hint = f", did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
            told.append(f"unknown key {key!r}{hint}")
        return "; ".join(told)
    if fault.validator == "enum":
        return (
            f"is {fault.instance!r}, has to be one of {', '.join(map(str, fault.validator_value))}"
        )
    if fault.validator == "const":
        return f"is {fault.instance!r}, has to be {fault.validator_value}"
    if fault.validator == "pattern":
        return f"{fault.instance!r} does not match {fault.validator_value}"
    if fault.validator == "not":
        return f"{fault.instance!r} belongs to Helm"
    return str(fault.message)
