"""Validators written by `python -m schema`, one for each schema that the post-renderer checks at every start.

jsonschema takes 50 ms to load and to read a schema, these take 5. They say yes or no: what is wrong, and how to mend
it, jsonschema finds out after a no.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


class MismatchError(ValueError):
    """A document does not meet the schema; the text is the generator's, without the remedy that a user needs."""


def module(schema: str) -> str:
    """The module's name for a schema's file name."""
    return schema.removesuffix(".schema.yaml").replace(".", "_")


def validator(schema: str) -> Callable[[Any], object]:
    """What raises MismatchError for a document that the schema of this file name does not allow."""
    validate: Callable[[Any], object] = import_module(f"{__name__}.{module(schema)}").validate
    return validate
