"""Pods without a node, each in a world that has just one reason: the code, the numbers, and what to do.

Whether the node-by-node reasons are right at all is tests/cluster/test_scheduler_judge.py's business.
"""

from __future__ import annotations

from hooks.doctor.diagnose import diagnose
from hooks.doctor.finding import Weight
from tests.unit.doctor import worlds as w

# --- resources and placement ----------------------------------------------------------------------


def test_too_little_cpu_says_asked_free_and_where_most_is_free() -> None:
    found = w.only(
        w.world(
            w.node("n1", cpu="4"),
            w.node("n2", cpu="2"),
            w.pod("web", on="n1", cpu="3500m"),
            w.pod("shop-tidb-0", "tidb", cpu="3"),
        )
    )
    assert found.code == "unschedulable-resource"
    assert found.weight is Weight.PROBLEM
    assert (
        found.why
        == "none of 2 nodes takes it: 2 nodes with too little cpu (asked 3, most free 2 on n2)"
    )
    assert "  n1: cpu: asks 3, 500m free of 4" in found.details
    assert "  n2: cpu: asks 3, 2 free of 2" in found.details
    assert found.remedy == "free cpu on a node, add a node, or ask for less"


def test_more_than_any_node_has_asks_for_another_node() -> None:
    found = w.only(w.world(w.node("n1", memory="8Gi"), w.pod("shop-tikv-0", memory="12Gi")))
    assert "too little memory (asked 12Gi, most free 8Gi on n1)" in found.why
    assert found.remedy == "ask for less than 8Gi memory (no node is larger), or add a larger node"


def test_all_remedies_are_given_when_nodes_differ() -> None:
    taint = {"key": "dedicated", "value": "web", "effect": "NoSchedule"}
    found = w.only(
        w.world(
            w.node("n1", taints=(taint,)),
            w.node("n2", cordoned=True),
            w.node("n3", cpu="500m"),
            w.pod("shop-tidb-0", "tidb"),
        )
    )
    assert found.why == (
        "none of 3 nodes takes it: 1 node with too little cpu (asked 1, most free 500m on n3); 1 node: is cordoned; "
        "1 node: has the taint dedicated=web:NoSchedule, which the pod does not tolerate"
    )
    assert "kubectl uncordon n2" in found.remedy
    assert "tidb.tolerations" in found.remedy


def test_a_remedy_that_would_not_help_is_not_given() -> None:
    """n2 would be too small without its cordon, n3 large enough without its taint."""
    taint = {"key": "dedicated", "effect": "NoSchedule"}
    small = (w.node("n1", cpu="2"), w.node("n2", cpu="4", cordoned=True))
    pod = w.pod("shop-tidb-0", "tidb", cpu="8")
    assert w.only(w.world(*small, pod)).remedy == (
        "ask for less than 4 cpu (no node is larger), or add a larger node"
    )
    found = w.only(w.world(*small, w.node("n3", cpu="16", taints=(taint,)), pod))
    assert found.remedy == (
        "free cpu on a node, add a node, or ask for less; or add the toleration under tidb.tolerations, or take the "
        "taint off n3"
    )
    assert w.only(w.world(w.node("n2", cpu="4", cordoned=True), pod)).remedy == (
        "add a node that takes it"
    )


def test_a_selector_that_no_node_has_names_the_label() -> None:
    found = w.only(
        w.world(w.node("n1"), w.pod("shop-tikv-0", spec={"nodeSelector": {"disk": "nvme"}}))
    )
    assert "1 node: lacks disk=nvme" in found.why
    assert found.remedy == "label a node as tikv.nodeSelector and affinity ask, or change them"


def test_one_pod_a_node_names_the_pod_that_is_there() -> None:
    apart = {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": w.labels_of("tikv")},
                }
            ]
        }
    }
    found = w.only(
        w.world(
            w.node("n1"),
            w.pod("shop-tikv-0", on="n1"),
            w.pod("shop-tikv-1", spec={"affinity": apart}),
        )
    )
    assert "db/shop-tikv-0 is here, and may not share kubernetes.io/hostname" in found.why
    assert found.remedy == "add a node: each may run one of these pods"


def test_spread_says_the_counts() -> None:
    spread = {
        "topologySpreadConstraints": [
            {
                "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "tikv"}},
            }
        ]
    }  # fmt: skip
    found = w.only(
        w.world(
            w.node("n1", labels={"zone": "a"}), w.node("n2", labels={"zone": "b"}, cordoned=True),
            w.pod("shop-tikv-0", on="n1"), w.pod("shop-tikv-1", spec=spread),
        )
    )  # fmt: skip
    assert (
        "zone=a has 1 of these pods and the emptiest has 0: one more would exceed maxSkew 1"
        in found.why
    )


def test_a_pod_that_fits_is_about_to_run() -> None:
    found = w.only(w.world(w.node("n1"), w.pod("shop-tidb-0", "tidb")))
    assert (found.code, found.weight) == ("about-to-run", Weight.WAITING)
    assert found.why == "it has no node yet, and n1 would take it"


def test_gates_and_no_nodes_are_said_as_such() -> None:
    gated = w.only(
        w.world(
            w.node("n1"),
            w.pod("shop-tidb-0", "tidb", spec={"schedulingGates": [{"name": "x.io/wait"}]}),
        )
    )
    assert gated.why == "the scheduler may not look at it yet: gates x.io/wait"
    assert (
        w.only(w.world(w.pod("shop-tidb-0", "tidb"))).why
        == "it has no node: the cluster has no Node"
    )


# --- storage --------------------------------------------------------------------------------------


def test_every_disk_says_why_it_is_not_one() -> None:
    found = w.only(
        w.world(
            w.node("n1"), w.node("n2", cpu="500m"),
            w.disk(1, "n1", phase="Bound", held="tikv-shop-tikv-0"),
            w.disk(2, "n1", size=60 * w.GI),
            w.disk(3, "n2"),
            w.claim("tikv-shop-tikv-0", volume=w.volume_of(1)),
            w.claim("tikv-shop-tikv-1"),
            w.pod("shop-tikv-0", on="n1", claim="tikv-shop-tikv-0"),
            w.pod("shop-tikv-1", claim="tikv-shop-tikv-1"),
        )
    )  # fmt: skip
    assert found.code == "unschedulable-no-volume"
    assert (
        "1 node: no free volume of class tidb-local with 100Gi for claim tikv-shop-tikv-1"
        in found.why
    )
    details = "\n".join(found.details)
    assert "claim tikv-shop-tikv-1 asks 100Gi of class tidb-local:" in details
    assert "n1 /mnt/disks/d1 200Gi: in use by claim db/tikv-shop-tikv-0" in details
    assert "n1 /mnt/disks/d2 60Gi: free, but 40Gi too small" in details
    assert "n2 /mnt/disks/d3 200Gi: free, but the node cpu: asks 1, 500m free of 500m" in details
    assert found.remedy.startswith(
        "mount another disk on a node that may run the pod, or free one (kubectl tidb disks)"
    )


def test_a_disk_that_is_wiped_or_refused_says_so_in_the_controllers_words() -> None:
    found = diagnose(
        w.world(
            w.node("n1"),
            w.disk(1, "n1", phase="Refused", why="dirty: 3 foreign files", with_pv=False),
            w.disk(2, "n1", phase="Wiping", why="being cleared", with_pv=False),
            w.claim("tikv-shop-tikv-0"),
            w.pod("shop-tikv-0", claim="tikv-shop-tikv-0"),
        )
    ).findings
    by_code = {one.code: one for one in found}
    details = "\n".join(by_code["unschedulable-no-volume"].details)
    assert "n1 /mnt/disks/d1 200Gi: Refused: dirty: 3 foreign files" in details
    assert "n1 /mnt/disks/d2 200Gi: Wiping: being cleared" in details
    assert by_code["disk-refused"].remedy.endswith(
        "kubectl tidb wipe tv-0000000000000001 (annotates helm-tidb.io/wipe)"
    )
    assert by_code["disk-wiping"].weight is Weight.NOTE


def test_no_disk_at_all_says_where_one_belongs() -> None:
    found = w.only(
        w.world(
            w.node("n1"),
            w.claim("tikv-shop-tikv-0"),
            w.pod("shop-tikv-0", claim="tikv-shop-tikv-0"),
        )
    )
    assert any("no disk was found on any node: mount one below" in line for line in found.details)


def test_a_missing_class_names_the_nearest() -> None:
    found = w.only(
        w.world(
            w.node("n1"), w.storage_class("tidb-local"), w.storage_class("standard"),
            w.claim("tikv-shop-tikv-0", cls="tidb-locl"), w.pod("shop-tikv-0", claim="tikv-shop-tikv-0"),
        )
    )  # fmt: skip
    assert found.code == "class-missing"
    assert found.why == (
        "claim tikv-shop-tikv-0 (100Gi) can't be bound: StorageClass tidb-locl does not exist; "
        "there are: standard, tidb-local"
    )
    assert found.remedy.startswith("did you mean tidb-local? ")
    assert "kubectl delete pvc -n db tikv-shop-tikv-0" in found.remedy


def test_claims_that_are_missing_deleted_or_lost() -> None:
    missing = w.only(w.world(w.node("n1"), w.pod("shop-tikv-0", claim="gone")))
    assert (missing.code, missing.why) == ("claim-missing", "its claim gone does not exist")
    deleting = w.only(
        w.world(w.node("n1"), w.claim("c", deleting=True), w.pod("shop-tikv-0", claim="c"))
    )
    assert deleting.why == "its claim c is being deleted"
    lost = w.only(
        w.world(
            w.node("n1"),
            w.claim("c", volume="tv-x-g1", phase="Lost"),
            w.pod("shop-tikv-0", claim="c"),
        )
    )
    assert lost.why == "its claim c is bound to volume tv-x-g1, which does not exist"
