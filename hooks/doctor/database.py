"""PD as the snapshot has it: its recorded answers, read by the jobs' own client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hooks.doctor.proxy import Replay, pd_of
from hooks.doctor.snapshot import Snapshot
from hooks.pd import MemberHealth, Members, PdError, Store

T = TypeVar("T")


def _read(snapshot: Snapshot, ask: Callable[[Replay], T]) -> T | None:
    try:
        return ask(Replay(snapshot.pd))
    except PdError:
        return None


def members(snapshot: Snapshot) -> Members | None:
    return _read(snapshot, lambda answers: pd_of(answers).members())


def health(snapshot: Snapshot) -> tuple[MemberHealth, ...]:
    return _read(snapshot, lambda answers: pd_of(answers).health()) or ()


def stores(snapshot: Snapshot) -> tuple[Store, ...] | None:
    """All stores, Tombstones too; None when PD was not asked with success (or is not bootstrapped)."""
    return _read(snapshot, lambda answers: pd_of(answers).stores())


def by_id(snapshot: Snapshot, store_id: int) -> Store | None:
    return next((one for one in stores(snapshot) or () if one.id == store_id), None)


def pod_name(store: Store) -> str:
    """The pod's name is the first label of the store's address."""
    return store.address.partition(".")[0]
