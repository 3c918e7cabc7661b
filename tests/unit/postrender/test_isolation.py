"""Rule isolation: shared folders, network classes, hostPaths; and that what is apart is let through."""

from __future__ import annotations

import pytest

from tests.unit.postrender.release import Outcome, release


def isolation(*documents: str, **parameters: object) -> Outcome:
    return release("---\n".join(documents), only="isolation", isolation=parameters)


def volume(name: str, path: str, node: str = "", source: str = "local") -> str:
    affinity = (
        "  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: "
        f"[{{key: kubernetes.io/hostname, operator: In, values: [{node}]}}]}}]}}}}\n"
    )
    return (
        f"apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}}}\n"
        f"spec:\n  {source}: {{path: {path}}}\n{affinity if node else ''}"
    )


def workload(
    name: str,
    component: str = "web",
    volumes: str = "[]",
    mounts: str = "[]",
    kind: str = "StatefulSet",
    spec: str = "",
) -> str:
    return (
        f"apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}  template:\n"
        f"    metadata: {{labels: {{app.kubernetes.io/component: {component}}}}}\n"
        f"    spec:\n      containers: [{{name: m, volumeMounts: {mounts}}}]\n      volumes: {volumes}\n"
    )


def claims(storage_class: str) -> str:
    return f"  volumeClaimTemplates: [{{metadata: {{name: data}}, spec: {{{storage_class}}}}}]\n"


HOST = "[{name: h, hostPath: {path: /mnt/disks/a}}]"
WRITES = "[{name: h, mountPath: /h}]"
READS = "[{name: h, mountPath: /h, readOnly: true}]"


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (
            ("/mnt/a", "n1"),
            ("/mnt/a", "n1"),
            "/mnt/a: this is the folder of PersistentVolume one too",
        ),
        (("/mnt/a", "n1"), ("/mnt//a/", "n1"), "/mnt/a: this is the folder"),
        (
            ("/mnt/a", "n1"),
            ("/mnt/a/sub", "n1"),
            "/mnt/a/sub: this is inside /mnt/a, the folder of PersistentVolume one too",
        ),
        (
            ("/mnt/a/sub", "n1"),
            ("/mnt/a", "n1"),
            "/mnt/a/sub: this is inside /mnt/a, the folder of PersistentVolume two too",
        ),
        (("/mnt/a", ""), ("/mnt/a", "n1"), "/mnt/a: this is the folder"),
        (("/mnt/a", "n1, n2"), ("/mnt/a", "n2, n3"), "/mnt/a: this is the folder"),
    ],
)
def test_two_volumes_in_one_folder(
    first: tuple[str, str], second: tuple[str, str], sentence: str
) -> None:
    done = isolation(volume("one", *first), volume("two", *second))
    assert len(done.refusals) == 1
    assert sentence in done.refusals[0]
    assert done.refusals[0].endswith("give each a disk folder of its own [isolation/shared-folder]")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("/mnt/a", "n1"), ("/mnt/a", "n2")),
        (("/mnt/a", "n1"), ("/mnt/ab", "n1")),
        (("/mnt/a", "n1"), ("/mnt/b", "n1")),
    ],
)
def test_two_volumes_apart(first: tuple[str, str], second: tuple[str, str]) -> None:
    assert isolation(volume("one", *first), volume("two", *second)).refusals == []


def test_three_in_one_folder_are_two_refusals() -> None:
    done = isolation(*(volume(f"v{n}", "/mnt/a", "n1") for n in range(3)))
    assert [line.split()[1] for line in done.refusals] == ["v1", "v2"]


def test_a_host_path_in_a_volumes_folder() -> None:
    allow = [{"name": "w", "path": "/mnt/*"}]
    stream = (volume("one", "/mnt/disks", "n1"), workload("w", volumes=HOST, mounts=WRITES))
    done = isolation(*stream, hostPaths=allow)
    assert done.refusals == [
        "StatefulSet w spec.template.spec.volumes[h].hostPath.path: /mnt/disks/a: this is inside /mnt/disks,"
        " the folder of PersistentVolume one too; give each a disk folder of its own [isolation/shared-folder]"
    ]


def test_readers_may_share() -> None:
    allow = [{"path": "/mnt/*"}]
    one, two = (workload(n, volumes=HOST, mounts=READS) for n in ("a", "b"))
    assert isolation(one, two, hostPaths=allow).refusals == []
    writer = workload("c", volumes=HOST, mounts=WRITES)
    assert len(isolation(one, writer, hostPaths=allow).refusals) == 1


def test_a_host_path_has_to_be_listed() -> None:
    done = isolation(workload("w", volumes=HOST, mounts=READS))
    assert done.refusals == [
        "StatefulSet w spec.template.spec.volumes[h].hostPath.path: a pod mounts /mnt/disks/a of its node,"
        " and rules.isolation.hostPaths does not list it;"
        " allow {kind: StatefulSet, name: w, path: /mnt/disks/a}, or take it away [isolation/host-path]"
    ]
    allow = [{"kind": "StatefulSet", "name": "w", "path": "/mnt/disks/a"}]
    assert isolation(workload("w", volumes=HOST, mounts=READS), hostPaths=allow).refusals == []


def test_the_disk_agent_may() -> None:
    agent = workload("agent", "disk-agent", HOST, WRITES, kind="DaemonSet")
    assert isolation(agent, volume("one", "/mnt/disks/a/gen-1", "n1")).refusals == []
    pretender = workload("agent", "disk-agent", HOST, WRITES, kind="Deployment")
    assert len(isolation(pretender).refusals) == 1


@pytest.mark.parametrize(
    ("storage_class", "problem"),
    [
        ("storageClassName: gp3", "claims class 'gp3', which nothing here shows to be local"),
        (
            "storageClassName: net",
            "claims class 'net', whose provisioner ebs.csi.aws.com is not a local one",
        ),
        (
            "",
            "claims the cluster's default class, which is usually a network one; name a local class such as tidb-local",
        ),
        ("storageClassName: ''", "claims class '', which nothing here shows to be local"),
        ("storageClassName: tidb-local", ""),
        ("storageClassName: nvme", ""),
    ],
)
@pytest.mark.parametrize("component", ["tikv", "pd"])
def test_the_database_claims_local_classes(
    component: str, storage_class: str, problem: str
) -> None:
    classes = [
        f"apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: {name}}}\nprovisioner: {provisioner}\n"
        for name, provisioner in (
            ("net", "ebs.csi.aws.com"),
            ("nvme", "kubernetes.io/no-provisioner"),
        )
    ]
    done = isolation(workload("db", component, spec=claims(storage_class)), *classes)
    assert [problem in line for line in done.refusals] == [True] * bool(problem)
    other = isolation(workload("db", "monitor", spec=claims(storage_class)), *classes)
    assert other.refusals == []


def test_a_local_class_can_be_listed() -> None:
    done = isolation(
        workload("db", "tikv", spec=claims("storageClassName: fast-1")), localClasses=["fast-*"]
    )
    assert done.refusals == []


def test_claims_and_ephemeral_volumes_of_the_database() -> None:
    volumes = (
        "[{name: a, persistentVolumeClaim: {claimName: c}},"
        " {name: b, ephemeral: {volumeClaimTemplate: {spec: {storageClassName: net}}}},"
        " {name: c, nfs: {server: s, path: /}}]"
    )
    claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\nspec: {storageClassName: net}\n"
    done = isolation(claim, workload("db", "tikv", volumes))
    codes = [
        (line.split(": ")[0].split("volumes")[1], line.split("[")[-1]) for line in done.refusals
    ]
    assert codes == [
        ("[c].nfs", "isolation/network-volume]"),
        ("[b].ephemeral", "isolation/network-class]"),
        ("[a]", "isolation/network-class]"),
    ]


def test_network_volumes_are_the_other_pods_own_affair() -> None:
    volumes = (
        "[{name: a, nfs: {server: s, path: /}}, {name: b, persistentVolumeClaim: {claimName: c}}]"
    )
    claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\nspec: {storageClassName: net}\n"
    assert isolation(claim, workload("web", "web", volumes)).refusals == []


def test_claims_that_name_no_volume_share_none() -> None:
    both = [
        f"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec: {{}}\n"
        for name in ("a", "b")
    ]
    assert isolation(*both).refusals == []


@pytest.mark.parametrize(
    "expression", ["key: kubernetes.io/hostname, operator: NotIn", "key: zone, operator: In"]
)
def test_an_affinity_that_names_no_host_may_be_any_node(expression: str) -> None:
    anywhere = volume("one", "/mnt/a", "n1").replace(
        "key: kubernetes.io/hostname, operator: In", expression
    )
    assert len(isolation(anywhere, volume("two", "/mnt/a", "n2")).refusals) == 1


def test_a_claim_template_is_named_in_the_place() -> None:
    done = isolation(workload("db", "tikv", spec=claims("storageClassName: net")))
    place = "StatefulSet db spec.volumeClaimTemplates[data].spec.storageClassName: "
    assert [line.startswith(place) for line in done.refusals] == [True]


def test_two_claims_of_one_volume() -> None:
    both = [
        f"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\n"
        "spec: {storageClassName: tidb-local, volumeName: pv-1}\n"
        for name in ("a", "b")
    ]
    assert isolation(*both).refusals == [
        "PersistentVolumeClaim b spec.volumeName: volume pv-1 is claimed by PersistentVolumeClaim a as well;"
        " give each claim a volume of its own [isolation/shared-volume]"
    ]
