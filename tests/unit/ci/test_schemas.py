"""Kubernetes' JSON schemas: every reference is found on disk, and a version that is not there is told."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from ci import tools


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELM_TIDB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("minor", ["1.30", "1.36"])
def test_a_schema_refuses_unknown_fields_and_finds_all_that_it_refers_to(minor: str) -> None:
    folder = tools.schemas(minor)
    text = (folder / "statefulset-apps-v1.json").read_text()
    schema = json.loads(text)
    assert "$id" not in schema
    assert schema["additionalProperties"] is False
    definitions = json.loads((folder / "_definitions.json").read_text())["$defs"]
    references = set(re.findall(r'"\$ref":"([^"]+)"', text))
    assert references
    for reference in references:
        file, _, name = reference.partition("#/$defs/")
        assert file == "_definitions.json"
        assert name in definitions
    assert tools.schemas(minor) == folder


@pytest.mark.parametrize("minor", ["1.99", "v1.36", "../1.36"])
def test_a_version_that_is_not_carried_is_told_with_those_that_are(minor: str) -> None:
    with pytest.raises(tools.SchemasMissingError) as caught:
        tools.schemas(minor)
    assert str(caught.value).startswith(
        f"no schemas for Kubernetes {minor!r}; kubernetes-validate 1."
    )
    assert "1.30, 1.31" in str(caught.value)


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        tools.SchemasMissingError, match=r"kubernetes-validate is not installed; run `make env`"
    ):
        tools.schemas("1.36")
