"""What can go wrong at PD's door, one class per remedy.

PD tells its errors apart by a `[PD:package:ErrName]` code inside the text; the status alone says little (400
also means "could not write to etcd", an unknown member id is 500). So classes follow the code, and a status
without a known code is `PdAnswerError`: a caller that does not know what PD meant must not go on.

Bodies are cut to one short line, since some of PD's answers carry configuration.
"""

from __future__ import annotations

import re

CODE = re.compile(r"\[PD:([\w-]+:\w+)\]")
LONGEST_QUOTE = 160


class PdError(Exception):
    """Root of this package's errors.

    `tried` is "METHOD path", `asked` the member's URL (or several, comma-separated), `code` PD's own
    ("core:ErrStoreNotFound"), `said` the start of what PD answered.
    """

    def __init__(
        self, sentence: str, *, tried: str = "", asked: str = "", code: str = "", said: str = ""
    ) -> None:
        super().__init__(sentence)
        self.tried = tried
        self.asked = asked
        self.code = code
        self.said = said


class PdUnreachableError(PdError):
    """No member answered within the time allowed. Look at the PD pods and the network; nothing is known about
    PD.
    """


class PdNoLeaderError(PdError):
    """Members answer, none leads. Quorum is lost, or an election is under way (up to 15 s): ask again, change
    nothing.
    """


class PdNotBootstrappedError(PdError):
    """PD is fine; no TiKV store has ever registered. Wait for the first one."""


class PdNotFoundError(PdError):
    """The store, member, scheduler, task or progress is not known to PD (any more)."""


class PdRetiredError(PdError):
    """The store is Tombstone (removed) or physically destroyed: final, and for a retirement as good as done."""


class PdRefusedError(PdError):
    """PD understood and said no; the text says why (too few stores, wrong value). Asking again does not help."""


class PdUnhealthyError(PdError):
    """etcd protects the quorum of PD's members ("unhealthy cluster"): ask again once all members were healthy
    for 10 s.
    """


class PdTakenError(PdError):
    """Another maintenance task holds the cluster; `said` names it."""


class PdAnswerError(PdError):
    """The answer is not what PD gives: not JSON, a field missing, of another type, or a status with no known
    meaning.

    Look at what really listens at the URL (a proxy, another program, a PD of another version).
    """


class PdOtherClusterError(PdError):
    """The PD that answers leads another cluster than the durable record names. Nothing may be changed in it."""


def quote(text: str) -> str:
    """The start of an answer on one line, for a message."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_QUOTE else line[: LONGEST_QUOTE - 1] + "…"


def code_of(text: str) -> str:
    """PD's error code in an answer, without the brackets: "core:ErrStoreNotFound"; "" when there is none."""
    match = CODE.search(text)
    return match.group(1) if match else ""
