"""The KRM function's side: a ResourceList in, the same ResourceList with `results` out.

Source: kubernetes-sigs/kustomize, cmd/config/docs/api-conventions/functions-spec.md. Kustomize calls such a program as
an exec or container function; any other caller that knows the specification does too.
"""

from __future__ import annotations

from postrender.findings import Finding, Findings, Severity
from postrender.values import Mapping, Value, dig, text
from schema import quantity

_SEVERITIES = {
    Severity.REFUSAL: "error",
    Severity.WARNING: "warning",
    Severity.CHANGE: "info",
    Severity.NOTE: "info",
}
_PATHS = ("config.kubernetes.io/path", "internal.config.kubernetes.io/path")


def is_resource_list(root: Value) -> bool:
    return (
        isinstance(root, dict)
        and root.get("kind") == "ResourceList"
        and text(root.get("apiVersion")).startswith("config.kubernetes.io/")
    )


def source(item: Mapping) -> str:
    """The file an item came from, by the annotations of the caller."""
    for name in _PATHS:
        found = text(dig(item, "metadata", "annotations", name))
        if found:
            return found
    return ""


def results(findings: Findings) -> list[Value]:
    """One result a finding, refusals first, and one for the totals at the end."""
    order = list(_SEVERITIES)
    items: list[Value] = [
        _result(item) for item in sorted(findings.items, key=lambda it: order.index(it.severity))
    ]
    running = findings.totals.running
    totals = (
        f"the release asks for {quantity.cpu(running.cpu_milli)} CPU"
        f" and {quantity.memory(running.memory_bytes)} memory while it runs"
    )
    return [*items, {"message": totals, "severity": "info"}]


def _result(item: Finding) -> Value:
    subject = item.subject
    reference: Mapping = {
        "apiVersion": subject.api_version,
        "kind": subject.kind,
        "name": subject.name,
    }
    if subject.namespace:
        reference["namespace"] = subject.namespace
    message = f"{item.message}; {item.remedy}" if item.remedy else item.message
    result: Mapping = {
        "message": f"{message} [{item.rule}/{item.code}]",
        "severity": _SEVERITIES[item.severity],
        "resourceRef": reference,
    }
    if item.path:
        place: Mapping = {"path": item.path}
        if item.before is not None:
            place["currentValue"] = str(item.before)
        if item.after is not None:
            place["proposedValue"] = str(item.after)
        result["field"] = place
    if subject.source:
        result["file"] = {"path": subject.source}
    return result
