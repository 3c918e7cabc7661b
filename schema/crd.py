"""The CustomResourceDefinition of TidbVolume, from schema/tidbvolume.schema.yaml.

It is a template of the chart and not in `crds/`: Helm never upgrades what lies there. Volumes are made at run time
by the controller, so the CRD may come with the same install (Helm knows no kind of ours when it renders).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SOURCE = Path(__file__).resolve().parent / "tidbvolume.schema.yaml"


def load() -> dict[str, Any]:
    authored: dict[str, Any] = yaml.safe_load(SOURCE.read_text())
    return authored


def crd(authored: dict[str, Any]) -> dict[str, Any]:
    """As the API server wants it (apiextensions.k8s.io/v1, structural)."""
    plural, group = authored["plural"], authored["group"]
    version = {
        "name": authored["version"],
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": authored["printerColumns"],
        "schema": {"openAPIV3Schema": authored["schema"]},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": authored["scope"],
            "names": {
                "kind": authored["kind"],
                "listKind": f"{authored['kind']}List",
                "plural": plural,
                "singular": authored["singular"],
                "shortNames": authored["shortNames"],
                "categories": authored["categories"],
            },
            "versions": [version],
        },
    }


def template() -> str:
    """chart/templates/volumes/crd.yaml. Kept on uninstall: with it would go the record of every disk's generation."""
    definition = crd(load())
    name = definition.pop("metadata")["name"]
    body = yaml.safe_dump(
        {"spec": definition.pop("spec")}, sort_keys=False, width=120, allow_unicode=True
    )
    if "{{" in body:
        raise ValueError(f"{SOURCE}: holds '{{{{', which Helm would take for its own")
    head = f"""\
{{{{- /* Written by `python -m schema` from schema/tidbvolume.schema.yaml. */}}}}
{{{{- if .Values.disks.enabled }}}}
apiVersion: {definition.pop("apiVersion")}
kind: {definition.pop("kind")}
metadata:
  name: {name}
  labels:
    {{{{- include "tidb.labels" (dict "root" . "component" "volumes") | nindent 4 }}}}
  annotations:
    helm.sh/resource-policy: keep
    argocd.argoproj.io/sync-options: Delete=false,Prune=false
"""
    return f"{head}{body}{{{{- end }}}}\n"
