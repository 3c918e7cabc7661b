"""tidb-postrender: stdin to stdout by default; `check`, `lock`, `rules` and `helm-plugin` beside it.

Manifests go to stdout, everything else to stderr. On a refusal stdout gets comments only, with the reasons: `kubectl
apply` has nothing to apply then, and whoever finds the file knows why. On bad input stdout stays empty.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

from postrender.engine import Pass, RulesFor
from postrender.errors import ConfigError, OutputError, PostrenderError, StreamError
from postrender.findings import Severity, plural
from postrender.rules import Rule
from postrender.values import Mapping

CONFIG_VARIABLE = "TIDB_POSTRENDER_CONFIG"
REPORT_VARIABLE = "TIDB_POSTRENDER_REPORT"
REPORT_FORMS = (".json", ".md", ".sarif")
_SHOWN = 20


class Exit(IntEnum):
    """Exit codes, those of every job of this project (2 is argparse's: a wrong command line)."""

    DONE = 0
    ERROR = 1
    REFUSED = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code; only argparse and Ctrl-C leave otherwise."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A finding quotes the input; a terminal that lacks a character must not lose the rest.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return int(args.run(args))
    except PostrenderError as error:
        _say(f"error: {error}")
        return Exit.ERROR
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tidb-postrender",
        description="Check and mend a rendered release: manifests on stdin, manifests on stdout.",
        epilog=f"Exit codes: {', '.join(f'{code.value} {code.name.lower()}' for code in Exit)}."
        f" ${CONFIG_VARIABLE} and ${REPORT_VARIABLE} stand in for the two options.",
    )
    parser.set_defaults(run=_filter)
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    _common(parser, None)
    commands = parser.add_subparsers(title="other commands", metavar="COMMAND")

    check = commands.add_parser("check", help="the same rules without output, for CI")
    check.add_argument(
        "file", nargs="*", type=Path, help="manifests of one release (default: stdin)"
    )
    check.add_argument(
        "--fail-on",
        choices=("refusal", "warning", "change"),
        default="refusal",
        help="the least that makes it fail; `change`: what the post-renderer would mend (default: refusal)",
    )
    check.set_defaults(run=_check)

    lock = commands.add_parser(
        "lock", help="write a lock file for the images of the stream on stdin"
    )
    lock.add_argument(
        "--digests",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="lines `reference sha256:…`, or an older lock file; may be given again",
    )
    lock.add_argument(
        "--output", type=Path, metavar="FILE", help="where to write it (default: stdout)"
    )
    lock.set_defaults(run=_lock)

    rules = commands.add_parser(
        "rules", help="list the rules, whether they are on, and their parameters"
    )
    rules.set_defaults(run=_rules)

    plugin = commands.add_parser("helm-plugin", help="print the folder of the Helm 4 plugin")
    plugin.set_defaults(run=_helm_plugin)
    # A subcommand's own default would overwrite what stood before it: SUPPRESS keeps both places working.
    for each in (check, rules):
        _common(each, argparse.SUPPRESS)
    return parser


class _Version(argparse.Action):
    """argparse's own `version` wants the text at start-up; finding it costs 20 ms, which a pass should not pay."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, *_: object) -> NoReturn:
        from importlib import metadata

        try:
            version = metadata.version("helm-tidb")
        except metadata.PackageNotFoundError:
            version = "of a checkout that is not installed"
        print(f"tidb-postrender {version}")
        sys.exit(Exit.DONE)


def _common(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--config", type=Path, default=default, metavar="FILE", help="which rules, and how"
    )
    parser.add_argument(
        "--report",
        type=_report_path,
        default=default,
        metavar="FILE",
        help="what was changed, refused and noticed; FILE ends in .json, .md or .sarif",
    )


def _report_path(text: str) -> Path:
    path = Path(text)
    if path.suffix not in REPORT_FORMS:
        raise argparse.ArgumentTypeError(f"{text!r} has to end in {', '.join(REPORT_FORMS)}")
    return path


def _filter(args: argparse.Namespace) -> int:
    output = b""

    def work(done: Pass) -> None:
        nonlocal output
        output = done.run(_stdin())

    done = _reported(args, work)
    if done.findings.refused:
        _explain(done)
        _write(output if done.door == "krm" else _refusal_comment(done))
        return Exit.REFUSED
    for item in done.findings.of(Severity.WARNING):
        _say(f"warning: {item}")
    _write(output)
    return Exit.DONE


def _reported(args: argparse.Namespace, work: Callable[[Pass], None]) -> Pass:
    """One pass that `work` feeds, closed and reported. An error is in the report before it is raised."""
    report = _report_option(args)
    done = Pass(lambda _: ())
    problem: PostrenderError | None = None
    try:
        done.rules_for = _rules_for(args)
        work(done)
        done.finish()
    except PostrenderError as error:
        problem = error
    if report:
        from postrender import report as reports

        reports.write(report, done, problem)
    if problem:
        raise problem
    return done


def _check(args: argparse.Namespace) -> int:
    from postrender import report as reports

    def work(done: Pass) -> None:
        done.locating = True
        if not args.file:
            done.run(_stdin())
        for path in args.file:
            try:
                done.run(_file(path), str(path))
            except StreamError as error:
                error.input_name = str(path)
                raise

    done = _reported(args, work)
    shown = [Severity.REFUSAL, Severity.WARNING]
    if args.fail_on == "change":
        shown.append(Severity.CHANGE)
    for item in done.findings.of(*shown):
        name, line = item.place
        print(f"{item.severity.value}: {name}:{line}: {item}")
    print(
        reports.summary(done, None)
        .replace(" changed", " would change")
        .replace("; nothing was released", "")
    )
    failing = {
        "refusal": (Severity.REFUSAL,),
        "warning": (Severity.REFUSAL, Severity.WARNING),
        "change": (Severity.REFUSAL, Severity.WARNING, Severity.CHANGE),
    }[args.fail_on]
    return Exit.REFUSED if done.findings.of(*failing) else Exit.DONE


def _lock(args: argparse.Namespace) -> int:
    from postrender import lock
    from postrender.report import write_whole

    collector = lock.ImageCollector()
    Pass(lambda _: [collector]).run(_stdin())
    known: dict[str, str] = {}
    for path in args.digests:
        known |= lock.read_list(path)
    body = lock.lock_file(collector.images, known)
    if not args.output:
        _write(body.encode())
        return Exit.DONE
    try:
        write_whole(args.output, body)
    except OSError as error:
        raise OutputError(f"{args.output}: can't be written: {error.strerror}") from error
    _say(f"{args.output}: {plural(len(collector.images), 'image')}")
    return Exit.DONE


def _rules(args: argparse.Namespace) -> int:
    from postrender import config

    on = {rule.name: rule for rule in _rules_for(args)(None)}
    for kind in config.RULES:
        print(f"{kind.name:<13} {'on ' if kind.name in on else 'off'}  {kind.summary}")
        for key, value in config.parameters(on.get(kind.name) or kind()).items():
            print(f"{'':<18}{key}: {_shown(value)}")
    return Exit.DONE


def _helm_plugin(_: argparse.Namespace) -> int:
    print(Path(__file__).resolve().parent / "helm4")
    return Exit.DONE


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {it}" for key, it in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_selection(it) for it in value) + "]"
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _selection(value: object) -> str:
    if isinstance(value, str):
        return value
    named = {name: getattr(value, name) for name in value.__slots__}  # type: ignore[attr-defined]
    return "{" + ", ".join(f"{key}: {it}" for key, it in named.items() if it != "*") + "}"


def _rules_for(args: argparse.Namespace) -> RulesFor:
    """The rules by --config, by the environment, or the defaults; a KRM function may bring its own configuration."""
    from postrender import config

    path = args.config or _variable(CONFIG_VARIABLE)
    given = config.load(path) if path else None

    def rules(function: Mapping | None) -> Sequence[Rule]:
        if function is None:
            return config.rules({}, Path()) if given is None else given
        if given is not None:
            raise ConfigError(f"two configurations, {path} and the function's own: give one")
        return config.of_function(function)

    return rules


def _report_option(args: argparse.Namespace) -> Path | None:
    path = args.report or _variable(REPORT_VARIABLE)
    if path and path.suffix not in REPORT_FORMS:
        raise ConfigError(f"${REPORT_VARIABLE}: {path} has to end in {', '.join(REPORT_FORMS)}")
    return path if path is None else Path(path)


def _variable(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None


def _stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigError("reads manifests on stdin: helm template … | tidb-postrender")
    return sys.stdin.buffer.read()


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error


def _write(output: bytes) -> None:
    """All of it, once everything is decided. A reader that went away is an error: what it read is not a release."""
    if sys.stdout is None:
        raise OutputError("stdout can't be written: it is closed")
    try:
        sys.stdout.buffer.write(output)
        sys.stdout.buffer.flush()
    except OSError as error:
        # Python would report the same at exit once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"stdout can't be written: {error.strerror}") from error


def _explain(done: Pass) -> None:
    from postrender import report as reports

    _say(reports.summary(done, None))
    refusals = done.findings.of(Severity.REFUSAL)
    for item in refusals[:_SHOWN]:
        _tell(f"  - {item}")
    if len(refusals) > _SHOWN:
        _tell(f"  … and {len(refusals) - _SHOWN} more: all are in the report (--report FILE.md)")


def _refusal_comment(done: Pass) -> bytes:
    from postrender import report as reports

    lines = [f"tidb-postrender {reports.summary(done, None)}"]
    lines += [f"- {item}" for item in done.findings.of(Severity.REFUSAL)]
    # A value of the input may hold line breaks: none may get out of the comment.
    return "".join(f"# {' '.join(line.split())}\n" for line in lines).encode()


def _say(text: str) -> None:
    _tell(f"tidb-postrender: {text}")


def _tell(line: str) -> None:
    if sys.stderr is not None:  # print would take None for stdout, where manifests go
        print(line, file=sys.stderr)
