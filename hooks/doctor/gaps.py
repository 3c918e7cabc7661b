"""What could not be read, as sentences, and the Role that would help."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hooks.doctor.snapshot import Gap


def sentences(gaps: Iterable[Gap]) -> list[str]:
    found = []
    for gap in sorted(gaps):
        where = f"in namespace {gap.namespace}" if gap.namespace else "in the whole cluster"
        what = f"{gap.resource}.{gap.group}" if gap.group else gap.resource
        if gap.forbidden:
            found.append(f"may not {gap.verb} {what} {where}: {gap.missing}")
        else:
            found.append(f"could not {gap.verb} {what} {where}: {gap.missing} ({gap.said})")
    return found


# How the API server's RBAC says no.
_DENIED = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)


def role_for(said: str) -> str:
    """The Role that grants what this refusal of the API server names; "" when it names no right, as a policy's."""
    denied = _DENIED.search(said)
    if denied is None:
        return ""
    where = denied["namespace"] or ""
    gap = Gap(denied["resource"], denied["group"], where, "", said, verb=denied["verb"])
    head = "this right would help (kubectl apply -f -, by somebody who may grant it):"
    return f"{head}\n\n{roles([gap], denied['user'])}"


def roles(gaps: Sequence[Gap], user: str = "YOU") -> str:
    """YAML of a Role and ClusterRole with the rights that were missing; "" when none was."""
    lacking = sorted({gap for gap in gaps if gap.forbidden})
    documents = []
    for namespace in sorted({gap.namespace for gap in lacking}):
        rules = sorted({(g.group, g.resource, g.verb) for g in lacking if g.namespace == namespace})
        kind = "Role" if namespace else "ClusterRole"
        place = f"\n  namespace: {namespace}" if namespace else ""
        lines = [
            f"  - {{apiGroups: [{_quoted(group)}], resources: [{resource}], verbs: [{verb}]}}"
            for group, resource, verb in rules
        ]
        ref = f"roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: tidb-doctor}}"
        subject = f"subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {_quoted(user)}}}]"
        head = "apiVersion: rbac.authorization.k8s.io/v1\nkind: "
        meta = f"metadata:\n  name: tidb-doctor{place}"
        documents.append(f"{head}{kind}\n{meta}\nrules:\n" + "\n".join(lines))
        documents.append(f"{head}{kind}Binding\n{meta}\n{ref}\n{subject}")
    return "\n---\n".join(documents)


def _quoted(text: str) -> str:
    return f'"{text}"'
