"""Which story brings each capture about, and why some are not: `CAPTURES.md` is written from here.

    python -m tests.contract.table      # writes CAPTURES.md anew

A test checks that every capture has exactly one place, that each story saw what it is said to see, and that the page is
fresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from tests.contract import captures
from tests.contract.story import Story
from tests.contract.story_four_stores import FourStores
from tests.contract.story_members import Frozen, Members, QuorumLoss
from tests.contract.story_small import DeleteThenForce, TiflashAndStop
from tests.contract.story_three_stores import ThreeStores

PAGE = Path(__file__).with_name("CAPTURES.md")
# The longest first: they run side by side.
STORIES: Mapping[str, type[Story]] = {
    "members": Members,
    "four-stores": FourStores,
    "three-stores": ThreeStores,
    "quorum-loss": QuorumLoss,
    "frozen": Frozen,
    "delete-then-force": DeleteThenForce,
    "tiflash-and-stop": TiflashAndStop,
}
# Patterns of captures' names; the first that fits decides.
PLACES: tuple[tuple[str, str], ...] = (
    ("grpc-put-store-accepted-after-force-on-offline", "delete-then-force"),
    ("grpc-put-store-duplicated-address-offline*", "delete-then-force"),
    ("store-delete-accepted-disconnected", "delete-then-force"),
    ("store-delete-force-after-plain-delete", "delete-then-force"),
    ("store-offline-not-heartbeating", "delete-then-force"),
    ("store-offline-turned-physically-destroyed", "delete-then-force"),
    ("stores-with-tiflash", "tiflash-and-stop"),
    ("stores-limit-default", "tiflash-and-stop"),
    ("store-delete-tikv-accepted-because-of-tiflash", "tiflash-and-stop"),
    ("store-offline-without-spare", "tiflash-and-stop"),
    ("store-stopping", "tiflash-and-stop"),
    ("scheduler-config-evict-stopping-store", "tiflash-and-stop"),
    ("schedulers-while-stopping", "tiflash-and-stop"),
    ("pd-one-frozen-*", "frozen"),
    ("pd-leader-frozen-*", "frozen"),
    ("pd-old-leader-back-*", "frozen"),
    ("pd-join-without-quorum", "quorum-loss"),
    ("no-leader-*", "quorum-loss"),
    ("no-quorum-*", "quorum-loss"),
    ("quorum-just-lost-*", "quorum-loss"),
    ("pd-*", "members"),
    ("three-stores-*", "three-stores"),
    ("two-of-three-lost-*", "three-stores"),
    ("destroyed-regions-*", "three-stores"),
    ("filling-regions-*", "three-stores"),
    ("replaced-regions-*", "three-stores"),
    ("grpc-put-store-duplicated-address", "three-stores"),
    ("grpc-*physically-destroyed*", "three-stores"),
    ("grpc-put-store-old-id-address-taken", "three-stores"),
    ("grpc-put-store-same-address-after-force", "three-stores"),
    ("store-after-force-equals-false", "three-stores"),
    ("store-delete-force-tombstone", "four-stores"),
    ("store-delete-force-*", "three-stores"),
    ("store-delete-physically-destroyed", "three-stores"),
    ("store-delete-refused-below-max-replicas", "four-stores"),
    ("store-delete-refused-*", "three-stores"),
    ("store-delete-healthy-refused-*", "three-stores"),
    ("store-delete-two-of-three-lost", "three-stores"),
    ("store-physically-destroyed*", "three-stores"),
    ("store-state-up-physically-destroyed", "three-stores"),
    ("store-tombstone-after-force", "three-stores"),
    ("stores-all-destroyed", "three-stores"),
    ("stores-check-offline-destroyed", "three-stores"),
    ("stores-just-after-pd-restart", "three-stores"),
    ("stores-limit-post-15", "three-stores"),
    ("stores-new-id-beside-tombstone", "four-stores"),
    ("stores-new-id-*", "three-stores"),
    ("stores-physically-destroyed", "three-stores"),
    ("stores-progress-destroyed*", "three-stores"),
    ("stores-replaced-*", "three-stores"),
    ("stores-two-of-three-lost", "three-stores"),
    ("*", "four-stores"),
)
# A capture that no story brings about, and why. Empty: all of them are.
NOT_REPRODUCED: Mapping[str, str] = {}


def place(capture: str) -> str:
    return next(story for pattern, story in PLACES if fnmatchcase(capture, pattern))


def captures_of(story: str) -> list[str]:
    return [n for n in captures.names() if n not in NOT_REPRODUCED and place(n) == story]


def page() -> str:
    lines = [
        "# Captures of a real PD 8.5 and the stories that bring them about",
        "",
        "Written by `python -m tests.contract.table`. A story is a class in `story_*.py`; every capture below is",
        "a test of `test_captures.py`: the cluster is brought into the captured situation, the request is sent, and",
        "status, text, content type, shape and types of the answer are compared (`compare.py` has the masks).",
        "",
        f"{len(captures.names())} captures, {len(NOT_REPRODUCED)} not reproduced.",
    ]
    for story, told in STORIES.items():
        summary = (told.__doc__ or "").strip().splitlines()[0] if told.__doc__ else ""
        names = captures_of(story)
        lines += ["", f"## {story} ({len(names)})", "", *([summary, ""] if summary else [])]
        lines += [f"- {name}: {captures.load(name)['note']}".rstrip(": ") for name in names]
    lines += ["", f"## Not reproduced ({len(NOT_REPRODUCED)})", ""]
    lines += [f"- {name}: {why}" for name, why in NOT_REPRODUCED.items()]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
