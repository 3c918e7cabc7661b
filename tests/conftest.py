"""What holds for every suite: generated worlds are the same in each run; `make soak` is where new ones are sought."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
if not os.environ.get("HELM_TIDB_SOAK"):
    settings.load_profile("repeatable")
