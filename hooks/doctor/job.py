"""`kubectl tidb doctor [POD]`: the diagnosis, of a cluster or of a saved snapshot."""

from __future__ import annotations

import argparse

from hooks.doctor import arguments, output, session
from hooks.doctor.diagnose import Diagnosis, diagnose
from hooks.doctor.finding import Weight
from hooks.doctor.snapshot import load, save
from hooks.engine import EngineError

_MARKS = {Weight.PROBLEM: "problem", Weight.WAITING: "waits", Weight.NOTE: "note"}


# For hooks/cli.py, which knows this job as `python -m hooks doctor`.
configure = arguments.doctor


class OptionsError(EngineError):
    """Options that exclude each other."""


def run(args: argparse.Namespace) -> int:
    if args.source is not None and (args.watch or args.save is not None):
        raise OptionsError("--from reads a file that never changes: leave --watch and --save out")
    client = None if args.source is not None else session.connect(args)
    told = False

    def once() -> tuple[str, int]:
        nonlocal told
        snapshot = load(args.source) if client is None else session.look(client, args, whole=True)
        if args.save is not None:
            save(snapshot, args.save)
            output.say(f"saved what was looked at in {args.save}")
        found = diagnose(snapshot, args.pod)
        if found.gaps and not told:
            session.tell_gaps(found.gaps, client)
            told = True
        return render(found, args.output), int(found.exit)

    return session.repeat(args, once)


def render(found: Diagnosis, fmt: str) -> str:
    if fmt != "table":
        document = {
            "verdict": found.verdict,
            "exit": int(found.exit),
            "findings": [one.document() for one in found.findings],
            "notRead": [vars(gap) for gap in found.gaps],
        }
        return output.emit(document, fmt)
    lines = [found.verdict]
    for number, one in enumerate(found.findings, 1):
        lines += ["", f"{number}. {_MARKS[one.weight]}: {one.subject}: {one.why}"]
        lines += [f"   {line}" for line in one.details]
        word = "ends" if one.weight is Weight.WAITING else "do"
        lines.append(f"   {word}: {one.remedy}")
    return "\n".join(lines)
