"""The report: the same facts as JSON (schema/postrender.report.schema.yaml), Markdown for people, or SARIF for code
scanning.

It carries no time and no machine, so that the same input gives the same bytes.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from postrender.engine import Pass
from postrender.errors import OutputError, PostrenderError, StreamError
from postrender.findings import Amount, Finding, Findings, Severity, Subject, plural
from schema import quantity
from schema.names import API_VERSION

_SARIF_LEVELS = {Severity.REFUSAL: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def verdict(done: Pass, error: PostrenderError | None) -> str:
    if error:
        return "error"
    if done.findings.refused:
        return "refused"
    return "changed" if done.changed else "unchanged"


def summary(done: Pass, error: PostrenderError | None) -> str:
    """The verdict in one sentence."""
    if error:
        return f"error: {str(error).splitlines()[0]}"
    findings = done.findings
    running = findings.totals.running
    asked = (
        f"{quantity.cpu(running.cpu_milli)} CPU and {quantity.memory(running.memory_bytes)} memory"
    )
    if findings.refused:
        refusals = plural(findings.count(Severity.REFUSAL), "refusal")
        return f"refused: {refusals} in {plural(done.objects, 'object')}; nothing was released"
    warnings = findings.count(Severity.WARNING)
    warned = f", {plural(warnings, 'warning')}" if warnings else ""
    changed = plural(done.changed, "document")
    return (
        f"{changed} of {done.documents} changed{warned}; the release asks for {asked}"
        if done.changed
        else f"nothing to change in {plural(done.documents, 'document')}{warned}; the release asks for {asked}"
    )


def write(path: Path, done: Pass, error: PostrenderError | None) -> None:
    """Write the report in the form that the path's extension names. Raises OutputError."""
    try:
        write_whole(path, FORMS[path.suffix](done, error))
    except OSError as problem:
        raise OutputError(
            f"the report {path} can't be written: {problem.strerror}; nothing was released"
        ) from problem


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all; what stood there before stays until then. Raises OSError."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.chmod(file.name, 0o644)  # as an ordinary file: CI's next step reads it
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def as_json(done: Pass, error: PostrenderError | None) -> str:
    findings = done.findings
    report: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "PostRenderReport",
        "verdict": verdict(done, error),
        "summary": summary(done, error),
        "input": {
            "door": done.door,
            "bytes": done.size,
            "documents": done.documents,
            "objects": done.objects,
            "changedDocuments": done.changed,
        },
        "counts": {
            "refusals": findings.count(Severity.REFUSAL),
            "warnings": findings.count(Severity.WARNING),
            "changes": findings.count(Severity.CHANGE),
            "notes": findings.count(Severity.NOTE),
        },
        "totals": {
            "running": _amount(findings.totals.running),
            "perNode": _amount(findings.totals.per_node),
            "jobs": _amount(findings.totals.jobs),
        },
        "objects": [
            {
                "apiVersion": subject.api_version,
                "kind": subject.kind,
                "namespace": subject.namespace,
                "name": subject.name,
                "input": subject.input_name,
                "source": subject.source,
                "document": subject.document,
                "line": subject.line,
                "findings": [_finding(item) for item in items],
            }
            for subject, items in _by_object(findings)
        ],
    }
    if error:
        report["error"] = _error(error)
    return json.dumps(report, indent=1, ensure_ascii=False) + "\n"


def as_markdown(done: Pass, error: PostrenderError | None) -> str:
    findings = done.findings
    lines = [
        f"# tidb-postrender: {verdict(done, error)}",
        "",
        f"{_escaped(summary(done, error))}.",
        "",
    ]
    if error:
        return "\n".join([*lines, "```", str(error), "```", ""])
    totals = findings.totals
    lines += ["| asks for | CPU | memory |", "|---|---|---|"]
    for name, amount in (
        ("all replicas", totals.running),
        ("DaemonSets, a node", totals.per_node),
        ("Jobs and hooks, all at once", totals.jobs),
    ):
        cpu, memory = quantity.cpu(amount.cpu_milli), quantity.memory(amount.memory_bytes)
        lines.append(f"| {name} | {cpu} | {memory} |")
    for severity in Severity:
        items = findings.of(severity)
        if not items:
            continue
        lines += ["", f"## {plural(len(items), severity.value).capitalize()}", ""]
        lines += ["| object | field | what | rule |", "|---|---|---|---|"]
        for item in items:
            what = f"{item.message}; {item.remedy}" if item.remedy else item.message
            if severity is Severity.CHANGE:
                what = (
                    f"`{item.before}` → `{item.after}`: {what}"
                    if item.before
                    else f"`{item.after}`: {what}"
                )
            cells = [str(item.subject), item.path, what, f"{item.rule}/{item.code}"]
            lines.append(f"| {' | '.join(_escaped(cell) for cell in cells)} |")
    return "\n".join([*lines, ""])


def as_sarif(done: Pass, error: PostrenderError | None) -> str:
    """SARIF 2.1.0. Changes are left out: they are no problem of the manifests once they are made."""
    from postrender.config import RULES

    shown = [item for item in done.findings.items if item.severity in _SARIF_LEVELS]
    summaries = {rule.name: rule.summary for rule in RULES}
    rules = {f"{item.rule}/{item.code}": summaries.get(item.rule, item.rule) for item in shown}
    results = [
        {
            "ruleId": f"{item.rule}/{item.code}",
            "level": _SARIF_LEVELS[item.severity],
            "message": {"text": str(item)},
            "locations": [_location(*item.place, item)],
        }
        for item in shown
    ]
    if error:
        rules["input"] = "what is no release, or can't be read"
        line, name = 0, "stdin"
        if isinstance(error, StreamError):
            line, name = error.line, error.input_name or name
        results.append(
            {
                "ruleId": "input",
                "level": "error",
                "message": {"text": str(error)},
                "locations": [_location(name, line, None)],
            }
        )
    described = [{"id": rule, "shortDescription": {"text": it}} for rule, it in rules.items()]
    driver = {"name": "tidb-postrender", "rules": described}
    log = {
        "$schema": _SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(log, indent=1, ensure_ascii=False) + "\n"


FORMS = {".json": as_json, ".md": as_markdown, ".sarif": as_sarif}


def _location(name: str, line: int, item: Finding | None) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": quote(name)}}
    if line:
        physical["region"] = {"startLine": line}
    location: dict[str, Any] = {"physicalLocation": physical}
    if item:
        location["logicalLocations"] = [
            {"fullyQualifiedName": f"{item.subject} {item.path}".strip()}
        ]
    return location


def _by_object(findings: Findings) -> Iterator[tuple[Subject, list[Finding]]]:
    grouped: dict[Subject, list[Finding]] = {}
    for item in findings.items:
        grouped.setdefault(item.subject, []).append(item)
    yield from grouped.items()


def _finding(item: Finding) -> dict[str, str]:
    told = {
        "rule": item.rule,
        "code": item.code,
        "severity": item.severity.value,
        "path": item.path,
        "message": item.message,
    }
    if item.remedy:
        told["remedy"] = item.remedy
    if item.before is not None:
        told["before"] = str(item.before)
    if item.after is not None:
        told["after"] = str(item.after)
    return told


def _error(error: PostrenderError) -> dict[str, Any]:
    told: dict[str, Any] = {"message": str(error)}
    if isinstance(error, StreamError):
        told["message"] = error.problem
        for name in ("document", "line", "column", "excerpt", "remedy"):
            if getattr(error, name):
                told[name] = getattr(error, name)
    return told


def _amount(amount: Amount) -> dict[str, str | int]:
    return {
        "cpu": quantity.cpu(amount.cpu_milli),
        "memory": quantity.memory(amount.memory_bytes),
        "cpuMilli": amount.cpu_milli,
        "memoryBytes": amount.memory_bytes,
    }


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
