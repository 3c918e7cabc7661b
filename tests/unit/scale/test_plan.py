"""What a change of replicas may take: nothing that holds data."""

from __future__ import annotations

import pytest

from hooks.engine import Exit, verdict
from hooks.scale.job import _want
from hooks.scale.plan import Change, plan


def change(component: str, live: int | None, wanted: int, allowed: int | None = None) -> Change:
    return Change(component, f"shop-{component}", "db", live, wanted, allowed)


@pytest.mark.parametrize(
    "given",
    [
        change("tikv", None, 3),
        change("tikv", 3, 3),
        change("tikv", 3, 4),
        change("pd", 1, 3),
        change("tikv", 4, 3, allowed=3),
        change("tikv", 0, 3),
    ],
)
def test_fine(given: Change) -> None:
    assert plan((given,)).exit is Exit.DONE


@pytest.mark.parametrize(
    "given",
    [
        change("tikv", 4, 3),
        change("pd", 3, 1),
        change("tikv", 4, 2, allowed=3),
        change("tikv", 4, 3, allowed=2),
        change("tikv", 3, 0),
    ],
)
def test_refused(given: Change) -> None:
    assert plan((given,)).exit is Exit.REFUSED


def test_a_refusal_says_who_would_go_and_what_to_do() -> None:
    decided = plan((change("tikv", 5, 3), change("pd", 3, 3)))
    (refusal,) = decided.refusals
    assert refusal.why == (
        "tikv.replicas 5 -> 3 would stop shop-tikv-3, shop-tikv-4 with what may be the only copies of some rows"
    )
    assert refusal.remedy == (
        "keep tikv.replicas at 5 or more and run this again; to have fewer stores, move their data away first "
        "(docs/scale.md), then allow just that number: kubectl annotate statefulset shop-tikv -n db "
        "helm-tidb.io/allow-replicas=3. Nothing was changed"
    )
    assert verdict("scale", decided, 0, dry_run=False) == (
        f"scale: nothing to do; refuses 1 thing: StatefulSet db/shop-tikv: {refusal.why}"
    )


def test_members_are_members() -> None:
    (refusal,) = plan((change("pd", 3, 1),)).refusals
    assert "would stop shop-pd-1, shop-pd-2 with what may be PD's majority" in refusal.why
    assert "to have fewer members" in refusal.remedy


def test_what_is_wanted_is_read_strictly() -> None:
    assert _want("tikv=4") == ("tikv", 4)
    for wrong in ("tikv", "tikv=", "tikv=-1", "tikv=x", "tidb=2"):
        with pytest.raises(Exception, match="expected pd=NUMBER or tikv=NUMBER"):
            _want(wrong)
