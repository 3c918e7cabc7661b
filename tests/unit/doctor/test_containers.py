"""Pods that have a node and are not well there: images, Secrets, mounts, crashes and their last words."""

from __future__ import annotations

import pytest

from hooks.doctor.diagnose import diagnose
from hooks.doctor.finding import Weight
from hooks.doctor.snapshot import Snapshot
from tests.unit.doctor import worlds as w


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
    found = w.only(
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


@pytest.mark.parametrize(
    ("component", "weight"), [("tikv", Weight.WAITING), ("monitor", Weight.PROBLEM)]
)
def test_a_pod_that_was_scheduled_by_the_claim_before_its_own(
    component: str, weight: Weight
) -> None:
    name = f"shop-{component}-0"
    pod = w.pod(name, component, on="n1", claim="data", ready=False)
    pod["status"]["startTime"] = "2026-11-20T11:50:00Z"
    found = w.only(w.world(w.node("n1"), w.claim("data"), pod))
    assert (found.code, found.weight) == ("no-volume", weight)
    assert "to node n1 while its claim data had no volume" in found.why
    assert f"kubectl delete pod -n db {name}" in found.remedy
    assert ("failover deletes it" in found.remedy) == (component == "tikv")
    pod["status"]["startTime"] = "2026-11-20T11:59:30Z"
    found = w.only(w.world(w.node("n1"), w.claim("data"), pod))
    assert found.code == "not-ready", "it may be on its way"


def test_a_missing_folder_is_a_disk_that_is_not_mounted() -> None:
    pod = w.pod("shop-tikv-0", on="n1", ready=False, container=waiting("ContainerCreating"))
    note = 'MountVolume.NewMounter failed for volume "tv-1-g1": path "/mnt/disks/d1/tv-1-g1" does not exist'
    found = w.only(w.world(w.node("n1"), pod, w.event(pod, "FailedMount", note)))
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
    assert 'secret "x" not found' in w.only(w.world(w.node("n1"), pod)).why


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
    found = w.only(
        w.world(
            w.node("n1"), pod, logs={"shop-tikv-0/boot": ["boot: waiting: PD has no leader yet"]}
        )
    )
    assert found.why == "init container boot has not finished: boot: waiting: PD has no leader yet"
