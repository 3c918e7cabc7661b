"""Label selectors and node selector terms. Source: apimachinery labels.Selector, component-helpers nodeaffinity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Labels = Mapping[str, str]


def matches(selector: Mapping[str, Any] | None, labels: Labels) -> bool:
    """A LabelSelector: None selects nothing, an empty one everything."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_requirement(one, labels) for one in selector.get("matchExpressions") or ())


def is_empty(selector: Mapping[str, Any] | None) -> bool:
    """Whether it is there and selects everything."""
    return selector is not None and not (
        selector.get("matchLabels") or selector.get("matchExpressions")
    )


def matches_node(terms: Sequence[Mapping[str, Any]], labels: Labels, name: str) -> bool:
    """NodeSelectorTerms are alternatives; an empty term, and an empty list, match no node."""
    return any(_term(term, labels, name) for term in terms)


def _term(term: Mapping[str, Any], labels: Labels, name: str) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_requirement(one, labels) for one in expressions) and all(
        _requirement(one, {"metadata.name": name}) for one in fields
    )


def _requirement(one: Mapping[str, Any], labels: Labels) -> bool:
    key, operator = one["key"], one["operator"]
    values: Sequence[str] = one.get("values") or ()
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    if operator in ("Gt", "Lt"):
        try:
            seen, bound = int(labels[key]), int(values[0])
        except (KeyError, ValueError, IndexError):
            return False
        return seen > bound if operator == "Gt" else seen < bound
    return False  # an operator of a newer Kubernetes: the scheduler ignores such a term too


def tolerates(tolerations: Sequence[Mapping[str, Any]], taint: Mapping[str, str]) -> bool:
    return any(_toleration(one, taint) for one in tolerations)


def _toleration(one: Mapping[str, Any], taint: Mapping[str, str]) -> bool:
    if one.get("effect") and one["effect"] != taint.get("effect"):
        return False
    if one.get("key") and one["key"] != taint["key"]:
        return False
    operator = one.get("operator") or "Equal"
    if operator == "Exists":
        return True
    # Without a key only Exists is valid; the API server refuses the rest.
    return bool(one.get("key")) and (one.get("value") or "") == (taint.get("value") or "")


def describe_taint(taint: Mapping[str, str]) -> str:
    """As kubectl writes it: `dedicated=db:NoSchedule`."""
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint.get('effect', '')}"
