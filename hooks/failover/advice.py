"""What only a person can decide: what is lost, what lives, which commands there are, and what each would lose.

One function a refusal; each returns data plus one sentence of remedy. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from hooks.engine import Refusal, Subject
from hooks.failover.evidence import ids, voters
from hooks.failover.model import PdSilent, PdView, Policy, Regions, Slot, Snapshot, Volume
from hooks.pd import Member, Store

PD_CTL = "pd-ctl -u http://{release}-pd.{namespace}:2379"


def other_cluster(view: PdView, world: Snapshot) -> Refusal:
    return Refusal(
        code="other-cluster",
        subject=Subject("PD", world.release),
        why=f"PD answers as cluster {view.cluster_id}, {world.record} names cluster {world.recorded_cluster}",
        remedy="find out whose PD listens at this release's addresses; nothing is changed in it",
        numbers={"answers": str(view.cluster_id), "recorded": str(world.recorded_cluster)},
    )


def no_record(view: PdView, world: Snapshot) -> Refusal:
    return Refusal(
        code="no-record",
        subject=Subject("PD", world.release),
        why=f"{world.record} names no cluster id, so nothing proves that the PD which answers is this release's",
        remedy=(
            f"PD answers as cluster {view.cluster_id}: if that is it, restart a TiKV pod, whose init container "
            "writes the record"
        ),
        numbers={"answers": str(view.cluster_id)},
    )


def no_leader(view: PdSilent, world: Snapshot) -> Refusal:
    return Refusal(
        code="pd-no-leader",
        subject=Subject("PD", world.release),
        why=f"PD has no leader, so it can neither confirm a loss nor carry out a repair ({view.said})",
        remedy=(
            "bring the machines of the PD members back, which loses nothing (`kubectl get pods -n "
            f"{world.namespace} -l app.kubernetes.io/component=pd -o wide` shows where they are); with a majority of "
            "their disks gone for good, start one survivor with --force-new-cluster, which drops the other members "
            "and may lose PD's last seconds; with none left, `pd-recover -cluster-id "
            f"{world.recorded_cluster or 'ID'} -alloc-id N` rebuilds PD's metadata from the stores"
        ),
        numbers={"recorded": str(world.recorded_cluster or "")},
    )


def members_lost(lost: Sequence[Member], view: PdView, world: Snapshot) -> Refusal:
    names = ", ".join(f"{m.name or 'nameless'} ({m.id})" for m in lost)
    alive = ", ".join(sorted(m.name for m in view.members if m.id in view.healthy)) or "none"
    return Refusal(
        code="members-lost",
        subject=Subject("PD", world.release),
        why=f"{len(lost)} of {len(view.members)} PD members do not answer: {names}; healthy: {alive}",
        remedy=(
            "bring their machines back one by one, which loses nothing; removing more than one lets PD go on with the "
            "rest only while these are a majority: "
            + "; ".join(_delete_member(m, world) for m in lost)
            + " (a removed member's disk is useless afterwards)"
        ),
        numbers={"lost": len(lost), "members": len(view.members), "healthy": len(view.healthy)},
    )


def stores_lost(lost: Sequence[Store], view: PdView, world: Snapshot) -> Refusal:
    names = ", ".join(f"store {s.id} ({_pod(s)}, {s.state_name})" for s in lost)
    alive = [s for s in voters(view.stores) if s not in lost]
    living = ", ".join(f"store {s.id} ({_pod(s)}, {s.state_name})" for s in alive) or "none"
    unsafe = ",".join(str(s.id) for s in lost)
    return Refusal(
        code="stores-lost",
        subject=Subject("TiKV", world.release),
        why=f"{len(lost)} stores are lost at once: {names}; still there: {living}",
        remedy=(
            "bring at least one of the machines or disks back, which loses nothing: the next run goes on by itself; a "
            f"region with its majority on them is unavailable until then. If they are gone for good, `{_pd_ctl(world)} "
            f"unsafe remove-failed-stores {unsafe}` lets such regions go on from the copies that are left; it loses "
            "every write that had not reached these, and every region without a copy; restore a backup instead if you "
            "have a newer one"
        ),
        numbers={"lost": len(lost), "alive": len(alive)},
    )


def regions_endangered(store: Store, regions: Regions) -> Refusal:
    return Refusal(
        code="regions-endangered",
        subject=Subject("Store", str(store.id)),
        why=(
            f"{regions.endangered} of the {regions.listed} regions with a peer on it, on a destroyed store, or one "
            f"that is down, missing or pending would keep no majority without it, among them {ids(regions.examples)}"
        ),
        remedy=(
            "wait until PD has repaired them, or bring this store's machine back: it may hold their last good copy; "
            "`pd-ctl region store ID` of it and of each destroyed one, and `pd-ctl region check down-peer`, list them"
        ),
        numbers={"endangered": regions.endangered, "listed": regions.listed},
    )


def few_replicas(store: Store, max_replicas: int) -> Refusal:
    return Refusal(
        code="few-replicas",
        subject=Subject("Store", str(store.id)),
        why=f"max-replicas is {max_replicas}: without this store some regions have no majority",
        remedy=(
            "bring its machine or disk back; with fewer than 3 copies nothing can be replaced without losing data, so "
            "restore a backup if it is gone for good"
        ),
        numbers={"max_replicas": max_replicas},
    )


def few_stores(store: Store, up: int, needed: int) -> Refusal:
    return Refusal(
        code="few-stores",
        subject=Subject("Store", str(store.id)),
        why=f"{up} other TiKV stores are Up, and a majority of the copies needs {needed}",
        remedy="bring this store or another one back; nothing is retired while the rest are no majority",
        numbers={"up": up, "needed": needed},
    )


def too_many(subject: Subject, today: int, policy: Policy) -> Refusal:
    return Refusal(
        code="max-per-day",
        subject=subject,
        why=f"{today} replacements in 24 hours, and failover.maxPerDay is {policy.max_per_day}",
        remedy=(
            "find out what takes the disks or machines away; raise failover.maxPerDay to let the job go on, or "
            "wait until 24 hours have passed"
        ),
        numbers={"today": today, "max_per_day": policy.max_per_day},
    )


def not_fenced(slot: Slot, volume: Volume, node: str, subject: Subject) -> Refusal:
    return Refusal(
        code="not-fenced",
        subject=subject,
        why=(
            f"the volume {volume.name} of {slot.name} is on the network, and Node {node} may still be writing to it"
        ),
        remedy=(
            f"make sure that {node} is off, then say so: `kubectl taint nodes {node} "
            "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute` (or delete the Node); the pod then moves with "
            "its volume, and nothing is lost. Two nodes that write to one volume destroy it"
        ),
    )


def foreign_member(member: Member, world: Snapshot) -> Refusal:
    return Refusal(
        code="foreign-member",
        subject=Subject("Member", member.name),
        why=f"member {member.id} does not answer, and {member.name} is none of this release's pods",
        remedy=(
            f"a member outside the chart, or of an ordinal that is gone: {_delete_member(member, world)} removes it "
            "for good if it is not coming back"
        ),
    )


def no_slot(store: Store, world: Snapshot) -> Refusal:
    return Refusal(
        code="no-slot",
        subject=Subject("Store", str(store.id)),
        why=f"PD calls it {store.state_name}, and its address {store.address} is none of this release's pods",
        remedy=(
            "a store outside the chart, of a past clusterDomain or of an ordinal that is gone: look at it with "
            f"`{_pd_ctl(world)} store {store.id}` and retire it by hand if it is not coming back"
        ),
    )


def unknown_claim(slot: Slot, volume: Volume, world: Snapshot) -> Refusal:
    return Refusal(
        code="unknown-claim",
        subject=Subject("PersistentVolumeClaim", slot.claim_name, world.namespace),
        why=(
            f"PD has no record of a store at {slot.address}, not even a retired one: nobody can say whether volume "
            f"{volume.name} holds data that PD does not know (as after pd-recover)"
        ),
        remedy=(
            f"bring the node or disk back; if nothing on it is needed: {_empty_place(slot, world, ' --force')}"
        ),
    )


def two_owners(slot: Slot, owner: str, noted: str, world: Snapshot) -> Refusal:
    return Refusal(
        code="two-owners",
        subject=Subject("PersistentVolumeClaim", slot.claim_name, world.namespace),
        why=f"its volume is noted as the disk of {noted}, and {owner} lives there",
        remedy=(
            f"look at the entry in ConfigMap tidb-finished-volumes of namespace {world.namespace}; remove it if "
            f"{noted} is long gone and {owner} is to be replaced"
        ),
    )


def unlisted_member(slot: Slot, world: Snapshot) -> Refusal:
    return Refusal(
        code="unlisted-member",
        subject=Subject("Pod", slot.name, world.namespace),
        why=(
            "it runs, on a sound node and disk, and PD does not list it: a removed member neither leaves nor joins "
            "again by itself, since its disk names the old membership"
        ),
        remedy=(
            f"{_empty_place(slot, world)}: it joins anew on another disk; only the removed member's copy of PD's "
            "metadata is dropped"
        ),
    )


def _delete_member(member: Member, world: Snapshot) -> str:
    return f"`{_pd_ctl(world)} member delete id {member.id}`"


def _empty_place(slot: Slot, world: Snapshot, how: str = "") -> str:
    """Claim and pod go, and are made anew on another disk."""
    claim = f"kubectl delete pvc -n {world.namespace} {slot.claim_name} --wait=false"
    return f"`{claim} && kubectl delete pod -n {world.namespace} {slot.name}{how}`"


def _pod(store: Store) -> str:
    return store.address.partition(".")[0]


def _pd_ctl(world: Snapshot) -> str:
    return PD_CTL.format(release=world.release, namespace=world.namespace)
