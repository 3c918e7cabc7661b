"""What a decision found: the phase and reasons that the status will show, and the one step to take, if any."""

from __future__ import annotations

from dataclasses import dataclass, field

from hooks.engine import Refusal, Subject, Wait
from hooks.volumes.actions import VolumeAction
from hooks.volumes.model import Problem


@dataclass(frozen=True)
class Finding:
    """silent: nothing reliable can be said, the status stays as it is. wipe, last_wipe: as in the TidbVolume's
    status.
    """

    phase: str
    reasons: tuple[Problem, ...] = ()
    waits: tuple[Wait, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    step: VolumeAction | None = None
    silent: bool = False
    wipe: dict[str, object] = field(default_factory=dict)
    last_wipe: dict[str, object] = field(default_factory=dict)

    @property
    def message(self) -> str:
        return "; ".join(p.message for p in self.reasons)


def subject(volume: str) -> Subject:
    return Subject("TidbVolume", volume)
