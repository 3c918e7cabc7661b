"""The pages hold together: no command untested, no link into nowhere, the chart's own values, one word one meaning."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml

from ci.demo import excerpt
from ci.demo.tools import ROOT
from tests.cluster.reasons import REASONS
from tests.unit.docs.pages import ELSEWHERE, PAGES, commands


def blocks(page: str) -> list[dict[str, Any]]:
    found = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(text) for text in found]


def test_no_page_with_commands_is_forgotten() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    named = [str(page.relative_to(ROOT)) for page in pages]
    assert {page for page in named if commands(page)} == {*PAGES, *ELSEWHERE}
    assert all((ROOT / test).exists() for test in ELSEWHERE.values())


@pytest.mark.parametrize("page", [*PAGES, "docs/glossary.md"])
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text())
    assert [one for one in targets if not (ROOT / page).parent.joinpath(one).exists()] == []


def test_what_messages_point_to_is_there() -> None:
    """A path below docs/ in the code is a page."""
    missing = []
    for source in (ROOT / "hooks").rglob("*.py"):
        for path in re.findall(r"docs/[\w/-]+\.md", source.read_text()):
            if not (ROOT / path).exists():
                missing.append(f"{source.relative_to(ROOT)}: {path}")
    assert missing == []


def test_what_the_readme_calls_its_evidence_is_there() -> None:
    named = re.findall(r"`((?:tests|hooks|ci|chart)/[\w/.]+)`", (ROOT / "README.md").read_text())
    assert len(named) >= 5
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_values_on_the_pages_are_the_charts() -> None:
    schema = json.loads((ROOT / "chart" / "values.schema.json").read_text())
    own, application, flux = blocks("README.md")
    assert (application["kind"], flux["kind"]) == ("Application", "HelmRelease")
    for values in (
        own,
        application["spec"]["source"]["helm"]["valuesObject"],
        flux["spec"]["values"],
    ):
        jsonschema.Draft7Validator(schema).validate(values)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate({**own, "tikvs": {}})


def test_the_image_that_a_user_pushes_is_the_one_that_the_chart_asks_for() -> None:
    version = yaml.safe_load((ROOT / "chart" / "Chart.yaml").read_text())["version"]
    for page in ("README.md", "docs/install.md"):
        tags = re.findall(r"helm-tidb/hooks:([\w.]+)", (ROOT / page).read_text())
        assert set(tags) == {version}, page


def test_what_the_pages_show_of_runs_is_of_their_logs() -> None:
    for path, text in excerpt.pages().items():
        assert (ROOT / path).read_text() == text, f"{path}: run `python -m ci.demo.excerpt`"


def test_each_reason_that_is_provoked_is_in_the_doctors_log() -> None:
    said = [one.wrong for one in excerpt.told(excerpt.REASONS.read_text())]
    assert said == [one.wrong for one in REASONS], (
        "record it anew: HELM_TIDB_RECORD=1 pytest tests/cluster/test_doctor_reasons.py"
    )


def test_each_word_of_the_glossary_stands_once_and_in_order() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)[
        1:
    ]
    words = [row.strip() for row in rows if row.strip("- ")]
    assert words == sorted(set(words), key=str.lower)


def test_a_job_of_the_image_has_a_page() -> None:
    from hooks.cli import JOBS

    told = {page.stem for page in (ROOT / "docs").glob("*.md")}
    pages = {"disks": "disk-agent", "doctor": "kubectl-tidb", "preflight": "kubectl-tidb", "tidb": "kubectl-tidb",
             "check": "install", "exporter": "failover"}  # fmt: skip
    assert {name for name in JOBS if pages.get(name, name) not in told} == set()


@pytest.mark.parametrize(
    "page",
    [
        "boot",
        "cleanup",
        "disk-agent",
        "exporter",
        "failover",
        "install",
        "kubectl-tidb",
        "scale",
        "volumes",
    ],
)
def test_a_jobs_page_says_what_it_watches_when_it_acts_and_refuses_and_its_rights(
    page: str,
) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    for words in (
        "watches|looks at|What you see",
        "acts|by itself|changes nothing",
        "(?i)refuse",
        "(?i)rights|may do",
    ):
        assert re.search(words, text), f"docs/{page}.md says nothing of: {words}"
