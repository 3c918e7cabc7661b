"""Rule guaranteed: what is filled, what is refused, what is counted."""

from __future__ import annotations

import pytest

from postrender.findings import Amount
from tests.unit.postrender.release import Outcome, pod, release


def container(name: str, resources: str) -> str:
    return f"      - name: {name}\n        resources: {resources}\n"


def guaranteed(stream: str, **parameters: object) -> Outcome:
    return release(stream, only="guaranteed", guaranteed=parameters)


WHOLE = "{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 1000m, memory: 1024Mi}}"
HALF = "{limits: {cpu: 1, memory: 1Gi}}"
PLACE = "spec.template.spec.containers[tikv].resources"


@pytest.mark.parametrize(
    "resources", [WHOLE, "{limits: {cpu: 1, memory: 1G}, requests: {cpu: 1, memory: 1e9}}"]
)
def test_equal_amounts_are_left_alone_however_they_are_spelled(resources: str) -> None:
    stream = pod(container("tikv", resources))
    done = guaranteed(stream)
    assert (done.changes, done.refusals, done.output) == ([], [], stream)


@pytest.mark.parametrize(
    ("resources", "changes"),
    [
        (HALF, [f"{PLACE}.requests.cpu: None -> 1", f"{PLACE}.requests.memory: None -> 1Gi"]),
        (
            "{requests: {cpu: 500m, memory: 1Gi}}",
            [f"{PLACE}.limits.cpu: None -> 500m", f"{PLACE}.limits.memory: None -> 1Gi"],
        ),
        (
            "{limits: {memory: 1Gi}, requests: {cpu: '2'}}",
            [f"{PLACE}.requests.memory: None -> 1Gi", f"{PLACE}.limits.cpu: None -> 2"],
        ),
        (
            "{limits: {cpu: 1, memory: 1Gi}, requests: ~}",
            [f"{PLACE}.requests.cpu: None -> 1", f"{PLACE}.requests.memory: None -> 1Gi"],
        ),
        (
            "{limits: {cpu: 1, memory: 1Gi, ephemeral-storage: 2Gi}, requests: {cpu: 1, memory: 1Gi}}",
            [f"{PLACE}.requests.ephemeral-storage: None -> 2Gi"],
        ),
    ],
)
def test_fills_the_missing_half(resources: str, changes: list[str]) -> None:
    done = guaranteed(pod(container("tikv", resources)))
    assert (done.changes, done.refusals) == (changes, [])
    assert guaranteed(done.output).changes == []


def test_the_filled_half_keeps_its_spelling() -> None:
    done = guaranteed(pod(container("tikv", "{limits: {cpu: '1', memory: 1Gi}}")))
    assert 'requests:\n            cpu: "1"\n            memory: 1Gi\n' in done.output


def test_refuses_instead_of_filling_when_told() -> None:
    done = guaranteed(pod(container("tikv", HALF)), missing="refuse")
    assert done.changes == []
    assert done.refusals[0] == (
        f"Deployment db {PLACE}.requests.cpu: container 'tikv' has a limit of 1 for cpu and no request;"
        " set requests.cpu to 1, or rules.guaranteed.missing: fill [guaranteed/missing]"
    )


@pytest.mark.parametrize(
    "resources", ["{}", "~", "{limits: {}, requests: {}}", "{limits: {cpu: 0, memory: 0}}"]
)
def test_refuses_a_container_without_resources(resources: str) -> None:
    done = guaranteed(pod(container("tikv", resources)))
    assert done.refusals == [
        f"Deployment db {PLACE}: container 'tikv' has neither a limit nor a request for {name};"
        f" name it in the chart's values, or set rules.guaranteed.set.{name} and absent: set [guaranteed/absent]"
        for name in ("cpu", "memory")
    ]


def test_a_zero_beside_an_amount_is_a_difference_and_no_absence() -> None:
    done = guaranteed(
        pod(container("tikv", "{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 0, memory: 1Gi}}"))
    )
    assert [line.split("[")[-1] for line in done.refusals] == ["guaranteed/different]"]


def test_sets_what_is_absent_when_told() -> None:
    policy = {"absent": "set", "set": {"cpu": "100m", "memory": "64Mi"}}
    done = guaranteed(pod("      - name: tikv\n"), **policy)
    assert done.refusals == []
    assert done.changes == [
        f"{PLACE}.{side}.{name}: None -> {value}"
        for name, value in (("cpu", "100m"), ("memory", "64Mi"))
        for side in ("limits", "requests")
    ]
    assert guaranteed(done.output).changes == []


DIFFERENT = "{limits: {cpu: 2, memory: 1Gi}, requests: {cpu: 1, memory: 1Gi}}"


def test_refuses_different_amounts() -> None:
    done = guaranteed(pod(container("tikv", DIFFERENT)))
    assert done.refusals == [
        f"Deployment db {PLACE}: container 'tikv' has limit 2 and request 1 for cpu;"
        " make them the same, or set rules.guaranteed.different to limits or requests [guaranteed/different]"
    ]


@pytest.mark.parametrize(
    ("policy", "change"), [("limits", "requests.cpu: 1 -> 2"), ("requests", "limits.cpu: 2 -> 1")]
)
def test_makes_different_amounts_equal_when_told(policy: str, change: str) -> None:
    done = guaranteed(pod(container("tikv", DIFFERENT)), different=policy)
    assert (done.changes, done.refusals) == ([f"{PLACE}.{change}"], [])


@pytest.mark.parametrize(("given", "shown"), [("two", "'two'"), ("[2]", "['2']")])
def test_refuses_what_is_no_quantity(given: str, shown: str) -> None:
    done = guaranteed(pod(container("tikv", f"{{limits: {{cpu: {given}, memory: 1Gi}}}}")))
    assert (
        f"{PLACE}.limits.cpu: {shown} is no quantity; write one such as 500m, 2 or 4Gi"
        in done.refusals[0]
    )


def test_counts_by_the_request_and_by_the_limit_where_there_is_none() -> None:
    counted = [
        guaranteed(pod(container("a", resources)), missing="refuse").done.findings.totals.running
        for resources in (DIFFERENT, HALF)
    ]
    assert counted == [Amount(1000, 2**30), Amount(1000, 2**30)]


def test_sees_every_pod_template_and_every_container() -> None:
    bare = "[{name: a}]"
    stream = "---\n".join(
        [
            "apiVersion: v1\nkind: Pod\nmetadata: {name: pod}\n"
            f"spec: {{containers: {bare}, initContainers: {bare}}}\n",
            "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: cron}\n"
            f"spec: {{jobTemplate: {{spec: {{template: {{spec: {{containers: {bare}}}}}}}}}}}\n",
            "apiVersion: batch/v1\nkind: Job\nmetadata: {name: hook, annotations: {helm.sh/hook: test}}\n"
            f"spec: {{template: {{spec: {{containers: {bare}}}}}}}\n",
            "apiVersion: v1\nkind: PodTemplate\nmetadata: {name: tmpl}\n"
            f"template: {{spec: {{containers: {bare}}}}}\n",
            "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: ro}\n"
            f"spec: {{template: {{spec: {{containers: {bare}}}}}}}\n",
            "apiVersion: v1\nkind: List\nitems:\n"
            "- apiVersion: apps/v1\n  kind: DaemonSet\n  metadata: {name: inner}\n"
            f"  spec: {{template: {{spec: {{containers: {bare}}}}}}}\n",
        ]
    )
    places = [line.partition(":")[0] for line in guaranteed(stream).refusals[::2]]
    assert places == [
        "Pod pod spec.initContainers[a].resources",
        "Pod pod spec.containers[a].resources",
        "CronJob cron spec.jobTemplate.spec.template.spec.containers[a].resources",
        "Job hook spec.template.spec.containers[a].resources",
        "PodTemplate tmpl template.spec.containers[a].resources",
        "Rollout ro spec.template.spec.containers[a].resources",
        "DaemonSet inner spec.template.spec.containers[a].resources",
    ]


def test_leaves_out_what_the_configuration_leaves_out() -> None:
    stream = pod("      - name: a\n      - name: b\n", name="web")
    done = guaranteed(stream, exclude=[{"kind": "Deployment", "name": "w*", "container": "a"}])
    assert [line.split("'")[1] for line in done.refusals] == ["b", "b"]


def test_resources_of_the_whole_pod_are_enough() -> None:
    whole = "      resources: {limits: {cpu: 1, memory: 1Gi}}\n"
    done = guaranteed(pod("      - name: a\n", extra=whole))
    assert done.refusals == []
    assert done.changes == [
        "spec.template.spec.resources.requests.cpu: None -> 1",
        "spec.template.spec.resources.requests.memory: None -> 1Gi",
    ]
    assert done.done.findings.totals.running == Amount(1000, 2**30)


def test_ephemeral_containers_have_no_resources() -> None:
    extra = "      ephemeralContainers: [{name: debug}]\n"
    assert guaranteed(pod(container("a", WHOLE), extra=extra)).refusals == []


def test_counts_the_release() -> None:
    def sized(name: str, cpu: int, more: str = "") -> str:
        both = f"{{cpu: {cpu}, memory: {cpu}Gi}}"
        return f"{{name: {name}, resources: {{limits: {both}, requests: {both}}}{more}}}"

    def workload(kind: str, body: str, spec: str = "", annotations: str = "") -> str:
        return (
            f"apiVersion: x/v1\nkind: {kind}\nmetadata: {{name: w, annotations: {{{annotations}}}}}\n"
            f"spec:\n{spec}  template:\n    spec:\n{body}"
        )

    sidecar = sized("s", 1, ", restartPolicy: Always")
    stream = "---\n".join(
        [
            # start-up: sidecar 1 + init 5 = 6 > running: sidecar 1 + 2; times 3
            workload(
                "StatefulSet",
                f"      initContainers: [{sidecar}, {sized('i', 5)}]\n      containers: [{sized('m', 2)}]\n",
                "  replicas: 3\n",
            ),
            workload("DaemonSet", f"      containers: [{sized('m', 2)}]\n"),
            workload("Deployment", f"      containers: [{sized('m', 1)}]\n", "  replicas: 0\n"),
            workload("Job", f"      containers: [{sized('m', 1)}]\n", "  parallelism: 4\n"),
            workload(
                "Deployment", f"      containers: [{sized('m', 1)}]\n", "", "helm.sh/hook: test"
            ),
        ]
    )
    totals = guaranteed(stream).done.findings.totals
    assert totals.running == Amount(18_000, 18 * 2**30)
    assert totals.per_node == Amount(2_000, 2 * 2**30)
    assert totals.jobs == Amount(5_000, 5 * 2**30)


@pytest.mark.parametrize(
    "body", ["[]", "x", "{template: [1]}", "{template: {spec: {containers: {a: 1}}}}"]
)
def test_what_has_the_wrong_type_is_the_api_servers_to_refuse(body: str) -> None:
    stream = f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: a}}\nspec: {body}\n"
    assert guaranteed(stream).output == stream
