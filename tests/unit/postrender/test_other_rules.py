"""Rules exposure, labels and api-versions."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from postrender.rules.api_versions import REMOVED, ApiVersions
from tests.unit.postrender.release import pod, release

CHART = Path(__file__).resolve().parents[3] / "chart"


def service(spec: str, name: str = "db") -> str:
    return f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"


EXPOSED = [
    (
        service("type: NodePort, ports: [{port: 4000, nodePort: 30400}, {port: 1}]"),
        "NodePort: port 4000 as 30400, 1 on every node",
    ),
    (
        service("type: LoadBalancer, ports: [{port: 4000}]"),
        "LoadBalancer: port 4000 on a load balancer",
    ),
    (service("externalIPs: [10.0.0.1]"), "ExternalIP: answers at 10.0.0.1"),
    (
        pod("      - {name: a}\n", extra="      hostNetwork: true\n"),
        "HostNetwork: all its ports are the node's",
    ),
    (pod("      - {name: a, ports: [{hostPort: 80}]}\n"), "HostPort: port 80 of the node"),
    (
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec: {rules: [{host: a.b}]}\n",
        "Route: for a.b",
    ),
]


@pytest.mark.parametrize(("stream", "sentence"), EXPOSED)
def test_what_is_reachable_is_noted_refused_or_allowed(stream: str, sentence: str) -> None:
    noted = release(stream, only="exposure")
    assert [sentence in line for line in noted.notes] == [True]
    assert noted.refusals == []
    refused = release(stream, only="exposure", exposure={"allow": []})
    assert [
        f"{sentence}, and rules.exposure.allow does not list it; allow {{kind: " in line
        for line in refused.refusals
    ] == [True]
    what = sentence.partition(":")[0]
    allowed = release(stream, only="exposure", exposure={"allow": [{"name": "*", "what": what}]})
    assert allowed.refusals == []
    other = release(
        stream, only="exposure", exposure={"allow": [{"name": "another", "what": what}]}
    )
    assert len(other.refusals) == 1


@pytest.mark.parametrize(
    "stream",
    [
        service("type: ClusterIP, ports: [{port: 4000}]"),
        service("clusterIP: None"),
        service("type: LoadBalancer").replace(
            "apiVersion: v1", "apiVersion: serving.knative.dev/v1"
        ),
        service("type: NodePort").replace("kind: Service", "kind: X"),
        pod(
            "      - {name: a, ports: [{containerPort: 80, hostPort: 0}]}\n",
            extra="      hostNetwork: false\n",
        ),
    ],
)
def test_what_is_not_reachable_is_not_named(stream: str) -> None:
    done = release(stream, only="exposure", exposure={"allow": []})
    assert (done.notes, done.refusals) == ([], [])


LABELS = {"labels": {"team": "db", "app": "x"}, "annotations": {"on": "y"}}
WORKLOAD = """apiVersion: apps/v1
kind: StatefulSet
metadata: {name: a, labels: {team: other}}
spec:
  selector:
    matchLabels: {app: a}
    matchExpressions: [{key: team, operator: Exists}]
  template:
    spec:
      containers: [{name: c}]
  volumeClaimTemplates: [{metadata: {name: data}}]
"""


def test_labels_are_added_and_never_replaced() -> None:
    done = release(WORKLOAD, only="labels", labels=LABELS)
    assert done.changes == ["metadata.labels.app: None -> x", "metadata.annotations.on: None -> y"]
    assert done.notes == [
        "StatefulSet a metadata.labels.team: stays 'other', the configuration says 'db' [labels/kept]"
    ]
    assert "selector:\n    matchLabels:\n      app: a\n" in done.output
    assert 'annotations:\n    "on": "y"\n' in done.output
    assert release(done.output, only="labels", labels=LABELS).output == done.output


def test_templates_get_labels_only_when_asked_and_never_a_selected_key() -> None:
    done = release(WORKLOAD, only="labels", labels={**LABELS, "templates": True})
    assert done.changes[2:] == ["spec.template.metadata.annotations.on: None -> y"]
    added = {"labels": {"zone": "1"}, "templates": True}
    done = release(WORKLOAD, only="labels", labels=added)
    assert done.changes[1:] == ["spec.template.metadata.labels.zone: None -> 1"]
    assert "volumeClaimTemplates:\n  - metadata:\n      name: data\n" in done.output


def test_a_replication_controllers_selector_is_its_labels() -> None:
    stream = WORKLOAD.replace("apps/v1", "v1").replace("StatefulSet", "ReplicationController")
    stream = stream.replace(
        "    matchLabels: {app: a}\n    matchExpressions: [{key: team, operator: Exists}]\n",
        "    app: a\n",
    )
    done = release(stream, only="labels", labels={"labels": {"app": "x"}, "templates": True})
    assert done.changes == ["metadata.labels.app: None -> x"]


def test_a_cron_jobs_template_is_found() -> None:
    stream = (
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}\n"
        "spec: {jobTemplate: {spec: {template: {spec: {containers: []}}}}}\n"
    )
    done = release(stream, only="labels", labels={"labels": {"zone": "1"}, "templates": True})
    assert done.changes[1:] == ["spec.jobTemplate.spec.template.metadata.labels.zone: None -> 1"]


def test_kinds_that_are_gone() -> None:
    stream = "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a}\n"
    assert release(stream, only="api-versions").refusals == [
        "PodDisruptionBudget a apiVersion: policy/v1beta1 PodDisruptionBudget is not served since"
        " Kubernetes 1.25, and the target is 1.30; write policy/v1 [api-versions/removed]"
    ]
    assert (
        release(stream, only="api-versions", api_versions={"kubernetes": "v1.24.3"}).refusals == []
    )
    gone = "apiVersion: policy/v1beta1\nkind: PodSecurityPolicy\nmetadata: {name: a}\n"
    assert (
        "nothing took its place: remove the object"
        in release(gone, only="api-versions").refusals[0]
    )


@pytest.mark.parametrize(("api_version", "kind"), REMOVED)
def test_every_kind_of_the_table_is_served_before_and_refused_after(
    api_version: str, kind: str
) -> None:
    stream = f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}\n"
    major, minor = REMOVED[api_version, kind].since
    for offset, expected in ((-1, 0), (0, 1), (1, 1)):
        target = {"kubernetes": f"{major}.{minor + offset}"}
        assert len(release(stream, only="api-versions", api_versions=target).refusals) == expected


def test_the_target_is_the_oldest_kubernetes_that_the_chart_installs_on() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={ApiVersions().kubernetes}.0-0"
