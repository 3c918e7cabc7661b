"""The demo's release: which images, and how Helm is called."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "demo"
NAMESPACE = "tidb"
VALUES = Path(__file__).with_name("values.yaml")
# The stand-ins live ten times as fast as PD, TiKV and TiDB: "down after 30 minutes" takes three.
TIME_SCALE = "10"


class ImagesError(Exception):
    """DEMO_IMAGES says something else than what there is."""


def stand_ins() -> bool:
    """DEMO_IMAGES=pingcap takes the real images, where a registry is reachable."""
    said = os.environ.get("DEMO_IMAGES", "standin")
    if said not in ("standin", "pingcap"):
        raise ImagesError(f"DEMO_IMAGES is {said!r}: expected standin (the default) or pingcap")
    return said == "standin"


def image_values() -> list[str]:
    """--set words: our own images as they were built, and the stand-ins in the place of the database's."""
    words = ["boot.image.tag=dev", "hooks.image.tag=dev"]
    for component in ("pd", "tikv", "tidb"):
        if stand_ins():
            words += [
                f"{component}.image.repository=helm-tidb/standin",
                f"{component}.image.tag=dev",
                f"{component}.extraEnv[0].name=STANDIN_TIME_SCALE",
                f"{component}.extraEnv[0].value={TIME_SCALE}",
            ]
    return [word for pair in words for word in ("--set-string", pair)]


def install_words() -> list[str]:
    """The whole command; `shown` is what a person types on an own cluster."""
    return [*shown(), *image_values()]


def shown() -> list[str]:
    return [
        "helm", "install", NAME, "chart", "--namespace", NAMESPACE, "--create-namespace",
        "--values", str(VALUES.relative_to(VALUES.parents[2])), "--post-renderer", "tidb-postrender",
    ]  # fmt: skip
