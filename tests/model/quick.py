"""How much the model tests do: a quick run in `make test`, the long one in `make soak`."""

from __future__ import annotations

import os

SOAK = os.environ.get("HELM_TIDB_SOAK") == "1"
