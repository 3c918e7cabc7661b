"""Each reason that the doctor knows, in a world that has just it: the code, the numbers, and what to do.

Covers pending pods (resources, storage, class, placement), lost nodes and disks, containers, quotas, Jobs, claims, PD
and stores, disks, and that a sound world has no finding. Whether the node-by-node reasons are right at all is
tests/cluster/test_scheduler_judge.py's business.
"""

from __future__ import annotations

import pytest

from hooks.doctor.diagnose import PodError, diagnose
from hooks.doctor.finding import Finding, Weight
from hooks.doctor.snapshot import Snapshot
from hooks.engine import Exit
from tests.unit.doctor import worlds as w


def only(snapshot: Snapshot) -> Finding:
    found = diagnose(snapshot).findings
    assert len(found) == 1, [f"{one.code}: {one.why}" for one in found]
    return found[0]


def test_nothing_is_wrong_with_a_sound_release() -> None:
    found = diagnose(
        w.world(
            w.node("n1"),
            w.disk(1, "n1", phase="Bound", held="tikv-shop-tikv-0"),
            w.claim("tikv-shop-tikv-0", volume=w.volume_of(1)),
            w.pod("shop-tikv-0", on="n1", claim="tikv-shop-tikv-0"),
            w.stateful_set("tikv", 1),
            pd=w.pd_answers(w.store(1, "shop-tikv-0")),
        )
    )
    assert found.findings == ()
    assert found.verdict == "release shop: nothing is wrong"
    assert found.exit is Exit.DONE


# --- pending: resources --------------------------------------------------------------------------


def test_too_little_cpu_says_asked_free_and_where_most_is_free() -> None:
    found = only(
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
    found = only(w.world(w.node("n1", memory="8Gi"), w.pod("shop-tikv-0", memory="12Gi")))
    assert "too little memory (asked 12Gi, most free 8Gi on n1)" in found.why
    assert found.remedy == "ask for less than 8Gi memory (no node is larger), or add a larger node"


def test_all_remedies_are_given_when_nodes_differ() -> None:
    taint = {"key": "dedicated", "value": "web", "effect": "NoSchedule"}
    found = only(
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


def test_a_selector_that_no_node_has_names_the_label() -> None:
    found = only(
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
    found = only(
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
    found = only(
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
    found = only(w.world(w.node("n1"), w.pod("shop-tidb-0", "tidb")))
    assert (found.code, found.weight) == ("about-to-run", Weight.WAITING)
    assert found.why == "it has no node yet, and n1 would take it"


def test_gates_and_no_nodes_are_said_as_such() -> None:
    gated = only(
        w.world(
            w.node("n1"),
            w.pod("shop-tidb-0", "tidb", spec={"schedulingGates": [{"name": "x.io/wait"}]}),
        )
    )
    assert gated.why == "the scheduler may not look at it yet: gates x.io/wait"
    assert (
        only(w.world(w.pod("shop-tidb-0", "tidb"))).why == "it has no node: the cluster has no Node"
    )


# --- pending: storage ----------------------------------------------------------------------------


def test_every_disk_says_why_it_is_not_one() -> None:
    found = only(
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
    found = only(
        w.world(
            w.node("n1"),
            w.claim("tikv-shop-tikv-0"),
            w.pod("shop-tikv-0", claim="tikv-shop-tikv-0"),
        )
    )
    assert any("no disk was found on any node: mount one below" in line for line in found.details)


def test_a_missing_class_names_the_nearest() -> None:
    found = only(
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
    missing = only(w.world(w.node("n1"), w.pod("shop-tikv-0", claim="gone")))
    assert (missing.code, missing.why) == ("claim-missing", "its claim gone does not exist")
    deleting = only(
        w.world(w.node("n1"), w.claim("c", deleting=True), w.pod("shop-tikv-0", claim="c"))
    )
    assert deleting.why == "its claim c is being deleted"
    lost = only(
        w.world(
            w.node("n1"),
            w.claim("c", volume="tv-x-g1", phase="Lost"),
            w.pod("shop-tikv-0", claim="c"),
        )
    )
    assert lost.why == "its claim c is bound to volume tv-x-g1, which does not exist"


# --- lost nodes and disks ------------------------------------------------------------------------


def bound_to(node: str) -> list[w.Obj]:
    return [
        *w.disk(1, node, phase="Bound", held="c"), w.claim("c", volume=w.volume_of(1)), w.pod("shop-tikv-2", claim="c")
    ]  # fmt: skip


def test_a_node_that_is_gone_quotes_what_failover_waits_for() -> None:
    waits = {
        "code": "after",
        "subject": "Pod db/shop-tikv-2",
        "why": "away for 4m of 30m",
        "until": "12:26 UTC",
    }
    found = only(w.world(w.node("n1"), bound_to("n9"), w.last_plan("failover", waits=[waits])))
    assert (found.code, found.weight) == ("node-gone", Weight.WAITING)
    assert (
        found.why
        == f"its data is on volume {w.volume_of(1)} of node n9, and that Node does not exist any more"
    )
    assert found.remedy == "failover waits: away for 4m of 30m; ends when 12:26 UTC"


def test_a_node_that_is_gone_without_a_plan_says_how_to_ask() -> None:
    found = only(w.world(w.node("n1"), bound_to("n9")))
    assert "`kubectl tidb plan failover`" in found.remedy


@pytest.mark.parametrize(
    ("home", "code", "said", "remedy"),
    [
        (w.node("n1", cordoned=True), "home-cordoned", "is cordoned", "kubectl uncordon n1"),
        (
            w.node("n1", cpu="500m"),
            "home-resource",
            "cpu: asks 1, 500m free of 500m",
            "make room on n1",
        ),
        (
            w.node("n1", taints=({"key": "k", "effect": "NoExecute"},)),
            "home-taint",
            "has the taint k:NoExecute",
            "take the taint off n1",
        ),
        (
            w.node(
                "n1",
                ready=False,
                taints=({"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"},),
            ),
            "node-not-ready",
            "which is not Ready",
            "bring n1 back, which loses nothing",
        ),
    ],
)
def test_the_only_node_with_the_data_says_what_is_wrong_there(
    home: w.Obj, code: str, said: str, remedy: str
) -> None:
    found = only(w.world(home, w.node("n2"), bound_to("n1")))
    assert found.code == code
    assert said in found.why
    assert remedy in found.remedy


def test_a_node_that_does_not_answer_is_told_once_with_each_pods_fate() -> None:
    waits = {
        "code": "after",
        "subject": "Pod db/shop-tikv-0",
        "why": "away for 4m of 30m",
        "until": "12:26 UTC",
    }
    found = only(
        w.world(
            w.node("n1", ready=False),
            w.pod("shop-tikv-0", on="n1", deleting=True), w.pod("shop-tidb-0", "tidb", on="n1", deleting=True),
            w.last_plan("failover", waits=[waits]),
        )
    )  # fmt: skip
    assert str(found.subject) == "Node n1"
    assert found.why == (
        "it is not Ready; shop-tikv-0, shop-tidb-0 were there, and nobody knows whether they still run"
    )
    assert found.details == (
        "  shop-tikv-0: failover waits: away for 4m of 30m; ends when 12:26 UTC",
        "  shop-tidb-0: no data there; each stays as it is until the node is back or deleted",
    )
    assert (
        found.remedy
        == "bring n1 back, which loses nothing; else failover replaces what had its disk there"
    )


# --- containers ----------------------------------------------------------------------------------


def waiting(reason: str, message: str = "", **more: object) -> w.Obj:
    return {"state": {"waiting": {"reason": reason, "message": message}}, **more}


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (
            'failed to pull: "pingcap/tikv:v8.5.7": not found',
            "check imageRegistry and the image's tag",
        ),
        (
            "pull access denied, repository does not exist or may require authorization",
            "pull Secret under imagePullSecrets",
        ),
        (
            "dial tcp: lookup registry-1.docker.io: no such host",
            "node n1 does not reach the registry",
        ),
    ],
)
def test_images_that_cannot_be_pulled(said: str, remedy: str) -> None:
    found = only(
        w.world(
            w.node("n1"),
            w.pod("shop-tikv-0", on="n1", ready=False, container=waiting("ImagePullBackOff", said)),
        )
    )
    assert found.code == "image-pull"
    assert found.why.startswith("node n1 can't pull image pingcap/tikv:v8.5.7 for container tikv: ")
    assert remedy in found.remedy


def crashed(
    *lines: str,
    code: int = 1,
    reason: str = "Error",
    pd: dict[str, str] | None = None,
    plan: w.Obj | None = None,
) -> Snapshot:
    ended = {"terminated": {"exitCode": code, "reason": reason}}
    pod = w.pod(
        "shop-tikv-2",
        on="n1",
        ready=False,
        container=waiting("CrashLoopBackOff", lastState=ended, restartCount=4),
    )
    more = [plan] if plan else []
    return w.world(w.node("n1"), pod, *more, pd=pd, logs={"shop-tikv-2/tikv": list(lines)})


DUPLICATED = (
    '[FATAL] [server.rs:1010] ["failed to start node: Grpc(RpcFailure(RpcStatus { code: 2-UNKNOWN, message: \\"'
    'duplicated store address: id:51 address:\\"shop-tikv-2:20160\\", already registered by id:5 address:...'
)


def test_duplicated_store_address_says_which_store_and_which_step_is_due() -> None:
    answers = w.pd_answers(
        w.store(1, "shop-tikv-0"), w.store(5, "shop-tikv-2", "Offline", regions=34)
    )
    found = next(
        f
        for f in diagnose(crashed("[INFO] start", DUPLICATED, pd=answers)).findings
        if f.subject.kind == "Pod"
    )
    assert (found.code, found.weight) == ("duplicated-store-address", Weight.WAITING)
    assert (
        "container tikv keeps ending (exit code 1, 4 restarts): PD refuses the new store: store 5 is still registered"
        in found.why
    )
    assert "PD calls that store Offline" in found.why
    assert found.remedy.endswith("PD is moving 34 regions off store 5")


def test_duplicated_store_address_quotes_failovers_plan() -> None:
    step = {"code": "retire", "subject": "Store 5", "does": "retire it", "why": "its node is gone"}
    found = next(
        f
        for f in diagnose(
            crashed(
                DUPLICATED,
                plan=w.last_plan("failover", actions=[step]),
                pd=w.pd_answers(w.store(5, "shop-tikv-2", "Down")),
            )
        ).findings
        if f.subject.kind == "Pod"
    )
    assert found.remedy.endswith("failover is about to retire it (Store 5): its node is gone")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("[ERROR] store is tombstone", "store-tombstone"),
        ("[FATAL] join meet error: missing data or join a duplicated pd", "member-listed"),
        ("[FATAL] cluster ID mismatch: local 1 != remote 2", "other-cluster"),
        ("IO error: No space left on device", "disk-full"),
        ('Os { code: 30, message: "Read-only file system" }', "disk-errors"),
        ("invalid configuration file /etc/tikv/tikv.toml: unknown field `lgo`", "bad-config"),
        ("failed to connect to PD endpoints", "no-pd"),
    ],
)
def test_last_words_that_people_search_for(line: str, code: str) -> None:
    found = next(f for f in diagnose(crashed("[INFO] ok", line, "[INFO] exit")).findings)
    assert found.code == code
    assert any(line[:40] in detail for detail in found.details)


def test_unknown_last_words_are_shown_and_not_guessed() -> None:
    found = next(f for f in diagnose(crashed("[INFO] begin", "[FATAL] the moon is full")).findings)
    assert found.code == "crash-loop"
    assert found.why.endswith("[FATAL] the moon is full")
    assert "doctor does not know this error" in found.remedy


def test_out_of_memory_names_the_limit() -> None:
    found = next(f for f in diagnose(crashed(code=137, reason="OOMKilled")).findings)
    assert (
        found.why == "container tikv was killed for using more than its 1Gi of memory (4 restarts)"
    )
    assert found.remedy == "raise tikv.resources.memory, or lower what it caches"


def test_a_missing_folder_is_a_disk_that_is_not_mounted() -> None:
    pod = w.pod("shop-tikv-0", on="n1", ready=False, container=waiting("ContainerCreating"))
    note = 'MountVolume.NewMounter failed for volume "tv-1-g1": path "/mnt/disks/d1/tv-1-g1" does not exist'
    found = only(w.world(w.node("n1"), pod, w.event(pod, "FailedMount", note)))
    assert found.code == "folder-missing"
    assert "the disk is not mounted, or another disk sits in its place" in found.why


def test_a_container_that_lacks_its_secret() -> None:
    pod = w.pod(
        "g",
        "grafana",
        on="n1",
        ready=False,
        container=waiting("CreateContainerConfigError", 'secret "x" not found'),
    )
    assert 'secret "x" not found' in only(w.world(w.node("n1"), pod)).why


def test_an_init_container_that_waits_says_for_what() -> None:
    inits = {
        "spec": {"initContainers": [{"name": "boot", "image": "h"}]},
        "status": {
            "initContainerStatuses": [{"name": "boot", "ready": False, "state": {"running": {}}}],
            "phase": "Pending",
        },
    }
    pod = w.pod("shop-tikv-0", on="n1", ready=False, container=waiting("PodInitializing"))
    pod["spec"] |= inits["spec"]
    pod["status"] |= inits["status"]
    found = only(
        w.world(
            w.node("n1"), pod, logs={"shop-tikv-0/boot": ["boot: waiting: PD has no leader yet"]}
        )
    )
    assert found.why == "init container boot has not finished: boot: waiting: PD has no leader yet"


# --- makers --------------------------------------------------------------------------------------


def test_a_quota_says_what_is_asked_used_and_allowed() -> None:
    owner = w.stateful_set("tidb", 2)
    owner["status"]["replicas"] = 1
    note = (
        'create Pod shop-tidb-1 in StatefulSet shop-tidb failed error: pods "shop-tidb-1" is forbidden: '
        "exceeded quota: team, requested: requests.cpu=2, used: requests.cpu=7, limited: requests.cpu=8"
    )
    found = only(w.world(w.node("n1"), owner, w.event(owner, "FailedCreate", note)))
    assert found.code == "quota"
    assert found.why == (
        "it can't make its pods: ResourceQuota team allows requests.cpu=8, requests.cpu=7 is used, and one "
        "more asks requests.cpu=2"
    )
    assert "kubectl edit resourcequota -n db team" in found.remedy


def test_an_old_complaint_is_silent_once_all_pods_are_there() -> None:
    owner = w.stateful_set("tidb", 2)
    assert (
        diagnose(
            w.world(w.node("n1"), owner, w.event(owner, "FailedCreate", "exceeded quota"))
        ).findings
        == ()
    )


# --- PD and stores -------------------------------------------------------------------------------


def test_stores_and_members_that_do_not_answer() -> None:
    found = diagnose(
        w.world(
            w.node("n1"),
            pd=w.pd_answers(
                w.store(1, "shop-tikv-0"),
                w.store(5, "shop-tikv-2", "Down", regions=7),
                silent=("shop-pd-1",),
            ),
        )
    ).findings
    said = {one.code: one.why for one in found}
    assert said["store-down"] == "PD calls store 5 (shop-tikv-2) Down, with 7 regions on it"
    assert (
        said["member-unhealthy"]
        == "PD member shop-pd-1 does not answer; 2 of 3 do, so no other may fail"
    )


def test_a_lost_node_speaks_for_the_store_and_member_that_were_there() -> None:
    answers = w.pd_answers(w.store(5, "shop-tikv-2", "Down", regions=7), silent=("shop-pd-1",))
    found = only(
        w.world(
            w.node("n1", ready=False), w.pod("shop-tikv-2", on="n1"), w.pod("shop-pd-1", "pd", on="n1"), pd=answers
        )
    )  # fmt: skip
    assert str(found.subject) == "Node n1"
    assert found.details[0].startswith(
        "  shop-tikv-2 (PD calls store 5 Down, 7 regions): failover replaces it"
    )


def test_retired_stores_are_no_finding() -> None:
    gone = (
        w.store(5, "shop-tikv-2", "Tombstone"),
        w.store(6, "shop-tikv-2", "Offline", destroyed=True),
    )
    assert diagnose(w.world(w.node("n1"), pd=w.pd_answers(*gone))).findings == ()


def test_pd_without_leader_and_pd_silent() -> None:
    pods = (w.node("n1"), w.pod("shop-pd-0", "pd", on="n1"))
    silent = only(w.world(*pods, pd_said="GET /members reached no PD member in 0 s"))
    assert (silent.code, silent.weight) == ("pd-silent", Weight.PROBLEM)
    leaderless = only(w.world(*pods, pd_said="GET /members found no PD leader in 0 s"))
    assert leaderless.why.startswith("PD has no leader: too few members live")
    young = only(
        w.world(*pods, pd_said="[PD:cluster:ErrNotBootstrapped]TiKV cluster not bootstrapped")
    )
    assert (young.code, young.weight) == ("not-bootstrapped", Weight.WAITING)


# --- one pod, order, exit ------------------------------------------------------------------------


def test_one_pod_alone_and_a_pod_that_is_not_there() -> None:
    snapshot = w.world(
        w.node("n1"), w.pod("shop-tidb-0", "tidb", cpu="9"), w.pod("shop-tidb-1", "tidb", cpu="9")
    )
    assert [str(one.subject) for one in diagnose(snapshot, "shop-tidb-1").findings] == [
        "Pod db/shop-tidb-1"
    ]
    with pytest.raises(
        PodError, match="no pod shop-tidb-7 in namespace db; pods of shop: shop-tidb-0, shop-tidb-1"
    ):
        diagnose(snapshot, "shop-tidb-7")


def test_problems_come_first_and_decide_the_exit_code() -> None:
    waits = w.pod("a-waits", "tidb", cpu="100m")
    found = diagnose(w.world(w.node("n1"), waits, w.pod("z-stuck", "tidb", cpu="9")))
    assert [one.weight for one in found.findings] == [Weight.PROBLEM, Weight.WAITING]
    assert found.exit is Exit.REFUSED
    assert found.verdict.startswith(
        "release shop: 1 problem that a person must end, 1 thing that will end by itself; first: "
        "Pod db/z-stuck: none of 1 node"
    )
    assert diagnose(w.world(w.node("n1"), waits)).exit is Exit.WAITING


def test_the_same_snapshot_gives_the_same_words() -> None:
    snapshot = w.world(w.node("n2"), w.node("n1"), bound_to("n9"), w.pod("x", "tidb", cpu="9"))
    assert diagnose(snapshot) == diagnose(snapshot)
