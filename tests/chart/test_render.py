"""What the chart renders is valid, alike in Helm 4 and 3, Guaranteed, and follows the values."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ci import tools
from tests.chart.helm import containers, default, pod_specs, template, value_files

FILES: dict[str, tuple[Path, ...]] = {"defaults": ()} | {
    path.stem: (path,) for path in value_files()
}
# Custom resources of others, which no API server's own schema knows.
FOREIGN = ("ServiceMonitor", "PodMonitor", "PrometheusRule")


@pytest.mark.parametrize("kubernetes", ["1.30", "1.36"])
@pytest.mark.parametrize("case", FILES)
def test_valid_for_the_api_servers_own_schemas(case: str, kubernetes: str) -> None:
    rendered = template(files=FILES[case])
    ours = [o for o in rendered.objects if o["kind"] not in (*FOREIGN, "TidbVolume")]
    schemas = f"{tools.schemas(kubernetes)}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    done = subprocess.run(
        [
            tools.path("kubeconform"),
            "-strict",
            "-summary",
            "-output",
            "json",
            "-schema-location",
            schemas,
            "-",
        ],
        input="\n---\n".join(json.dumps(o) for o in ours),
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout)
    assert not said["resources"], said["resources"]
    assert said["summary"]["valid"] == len(ours) > 20
    assert done.returncode == 0


@pytest.mark.parametrize("case", FILES)
def test_helm_4_and_3_render_the_same_objects(case: str) -> None:
    four, three = (template(files=FILES[case], helm=helm).objects for helm in ("helm4", "helm3"))

    def key(o: dict[str, object]) -> str:
        return json.dumps(o, sort_keys=True)

    assert sorted(four, key=key) == sorted(three, key=key)


@pytest.mark.parametrize("case", FILES)
def test_every_container_is_guaranteed(case: str) -> None:
    found = 0
    for name, spec in pod_specs(template(files=FILES[case]).objects):
        for container in containers(spec):
            resources = container.get("resources", {})
            assert resources.get("limits") == resources.get("requests"), (name, container["name"])
            assert {"cpu", "memory"} <= set(resources["limits"]), (name, container["name"])
            found += 1
    assert found >= 8


@pytest.mark.parametrize("case", FILES)
def test_pods_keep_to_the_restricted_standard(case: str) -> None:
    """All but the disk agent, which has a hostPath and says so."""
    for name, spec in pod_specs(template(files=FILES[case]).objects):
        if "disk-agent" in name or "extra" in name:
            continue
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not any("hostPath" in volume for volume in spec.get("volumes", [])), name
        for container in containers(spec):
            if container["name"] == "tail":  # the user's own, of extraContainers
                continue
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, (name, container["name"])
            assert context["readOnlyRootFilesystem"] is True, (name, container["name"])
            assert context["capabilities"]["drop"] == ["ALL"], (name, container["name"])


def test_a_token_is_mounted_where_it_is_used_and_nowhere_else() -> None:
    mounts = {
        (name, container["name"])
        for name, spec in pod_specs(default().objects)
        for container in containers(spec)
        if spec.get("automountServiceAccountToken") is not False
        or any(
            "serviceaccount" in mount["mountPath"] for mount in container.get("volumeMounts", [])
        )
    }
    databases = {(name, container) for name, container in mounts if name.startswith("StatefulSet/")}
    assert databases == {("StatefulSet/shop-pd", "boot"), ("StatefulSet/shop-tikv", "boot")}
    assert ("Pod/shop-test", "check") not in mounts
    assert ("Deployment/shop-grafana", "grafana") not in mounts


@pytest.mark.parametrize("case", FILES)
def test_no_name_is_there_twice(case: str) -> None:
    """Helm 4 refuses duplicate environment variables and ports, Helm 3 loses them later."""
    for name, spec in pod_specs(template(files=FILES[case]).objects):
        for container in containers(spec):
            for key, field in (("env", "name"), ("ports", "name"), ("volumeMounts", "mountPath")):
                names = [item[field] for item in container.get(key, [])]
                assert len(names) == len(set(names)), (name, container["name"], key)
        volumes = [volume["name"] for volume in spec.get("volumes", [])]
        assert len(volumes) == len(set(volumes)), name


@pytest.mark.parametrize("case", FILES)
def test_no_line_ends_in_blanks(case: str) -> None:
    """`helm template` is read by people, and goes into Git repositories."""
    for number, line in enumerate(template(files=FILES[case]).text.splitlines(), 1):
        assert line == line.rstrip() or line.strip().startswith("#"), (number, line)


COMPONENTS = ("pd", "tikv", "tidb")

# values → the components whose pods start anew with them
RESTARTS: list[tuple[dict[str, object], set[str]]] = [
    ({"pd": {"replicas": 5}, "tikv": {"replicas": 7}, "tidb": {"replicas": 9}}, set()),
    ({"tidb": {"service": {"type": "ClusterIP"}}, "monitor": {"enabled": False}}, set()),
    (
        {"storage": {"allowNetwork": True, "localProvisioners": ["x"]}, "boot": {"poll": "9s"}},
        set(),
    ),
    ({"hooks": {"image": {"tag": "9"}}, "scale": {"guard": False}}, set()),
    ({"pd": {"config": {"log": {"level": "debug"}}}}, {"pd"}),
    ({"tikv": {"config": {"log": {"level": "debug"}}}}, {"tikv"}),
    ({"tidb": {"initSql": "CREATE DATABASE a"}}, {"tidb"}),
    ({"locationLabels": []}, {"pd"}),
    ({"boot": {"image": {"tag": "9"}}}, {"pd", "tikv", "tidb"}),
    ({"version": "v8.5.6"}, {"pd", "tikv", "tidb"}),
]


@pytest.mark.parametrize(("values", "restarted"), RESTARTS)
def test_what_restarts_the_database(values: dict[str, object], restarted: set[str]) -> None:
    rendered = template(values=values)
    changed = {
        component
        for component in COMPONENTS
        for name in [f"shop-{component}"]
        if rendered.find("StatefulSet", name)["spec"]["template"]
        != default().find("StatefulSet", name)["spec"]["template"]
    }
    assert changed == restarted


def test_a_new_chart_version_alone_changes_no_pod_template(tmp_path: Path) -> None:
    """An upgrade of the chart must not restart the database: only labels of the objects themselves tell the version."""
    import shutil

    from tests.chart import helm

    copy = tmp_path / "chart"
    shutil.copytree(helm.CHART, copy)
    definition = copy / "Chart.yaml"
    definition.write_text(definition.read_text().replace("version: 0.1.0", "version: 0.2.0"))
    done = subprocess.run(
        [
            tools.path("helm4"),
            "template",
            "shop",
            str(copy),
            "--namespace",
            "db",
            "--kube-version",
            helm.KUBE_VERSION,
        ],
        env=helm.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    newer = helm.Rendered(done.stdout, "")
    for component in COMPONENTS:
        before, after = (
            r.find("StatefulSet", f"shop-{component}")["spec"] for r in (default(), newer)
        )
        assert before == after


@pytest.mark.parametrize("case", FILES)
def test_cluster_scoped_objects_are_named_by_namespace_and_release(case: str) -> None:
    cluster_scoped = {
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    for o in template(files=FILES[case]).objects:
        if o["kind"] in cluster_scoped:
            assert o["metadata"]["name"].startswith("db."), (o["kind"], o["metadata"]["name"])


def test_two_releases_share_no_object() -> None:
    """But for what the disk part makes once a cluster, and refuses to make twice."""

    def names(release: str, namespace: str) -> set[tuple[str, str, str]]:
        return {
            (o["kind"], o["metadata"].get("namespace", namespace), o["metadata"]["name"])
            for o in template(release=release, namespace=namespace, values=SECOND).objects
        }

    first = names("c", "a-b")
    assert not first & names("b-c", "a")
    assert not first & names("d", "a-b")


SECOND: dict[str, object] = {"disks": {"enabled": False}}


def test_disruption_budgets_let_one_go() -> None:
    for component in COMPONENTS:
        budget = default().find("PodDisruptionBudget", f"shop-{component}")["spec"]
        workload = default().find("StatefulSet", f"shop-{component}")["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["selector"] == workload["selector"]
