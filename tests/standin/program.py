"""What the three programs share at their start: the first line, flags, configuration file, one sentence when they
refuse.

Real PD, TiKV and TiDB end with a FATAL log line and exit code 1; flags that they do not know end them too (TiDB and PD
with 2, by Go's flag package). Here every refusal is one line on stderr, `[FATAL] <program>: <sentence>`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tomllib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NoReturn

from aiohttp import web

from tests.standin.clock import ENVIRONMENT, Clock, parse_scale

VERSION = "8.5.7"


class StandinError(Exception):
    """Why a program does not start or cannot go on, in one sentence."""


class Flags(argparse.ArgumentParser):
    """Real flags only, never abbreviated; an unknown one is refused in one sentence, exit code 2 as in Go."""

    def __init__(self, program: str) -> None:
        super().__init__(prog=program, allow_abbrev=False, add_help=True)
        self.add_argument("-V", "--version", "-version", action="store_true")
        self.add_argument(
            "--standin-time-scale",
            default=os.environ.get(ENVIRONMENT, "1"),
            help=f"how many times faster than real; also {ENVIRONMENT}",
        )

    def error(self, message: str) -> NoReturn:
        say(f"[FATAL] {self.prog}: {message}; see {self.prog} --help")
        sys.exit(2)


def say(line: str) -> None:
    """The log is stderr, as in the real programs without --log-file."""
    print(line, file=sys.stderr, flush=True)


def start(flags: Flags, argv: Sequence[str] | None) -> tuple[argparse.Namespace, Clock]:
    """Parse, and print the line that must be the first: this is not the real program."""
    program = flags.prog
    print(
        f"{program} stand-in for tests and the demo (helm-tidb): not {program} v{VERSION}, keeps no data you care for",
        flush=True,
    )
    args = flags.parse_args(argv)
    if args.version:
        print(f"Release Version: v{VERSION}\nEdition: Stand-in")
        sys.exit(0)
    try:
        clock = parse_scale(args.standin_time_scale)
    except ValueError as problem:
        flags.error(str(problem))
    return args, clock


def read_config(path: str | None) -> dict[str, Any]:
    """The TOML file of --config, or nothing; raises StandinError that names the file and what is wrong."""
    if not path:
        return {}
    try:
        return tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise StandinError(f"cannot read the configuration file {path}: {problem}") from problem


def setting(config: dict[str, Any], dotted: str, default: Any) -> Any:
    """The value at `raftstore.capacity` in nested tables, or the default."""
    value: Any = config
    for part in dotted.split("."):
        if not isinstance(value, dict) or part not in value:
            return default
        value = value[part]
    return value


def split_address(address: str, flag: str) -> tuple[str, int]:
    """Host and port of "0.0.0.0:20160" or "http://[::]:2379"; raises StandinError that names the flag."""
    host, _, port = address.removeprefix("http://").removeprefix("https://").rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise StandinError(f"{flag} {address!r} is no address: write it like 0.0.0.0:2379")
    return host.strip("[]"), int(port)


def make_folder(path: str, flag: str) -> Path:
    """The data folder, made if missing; raises StandinError when it cannot be written."""
    folder = Path(path).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.write_text("")
        probe.unlink()
    except OSError as problem:
        raise StandinError(f"{flag} {path}: cannot write there: {problem}") from problem
    return folder


async def serve(app: web.Application, address: str, flag: str) -> web.AppRunner:
    """Listen, or raise StandinError that names the address (port in use, not ours)."""
    host, port = split_address(address, flag)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_address=True).start()
    except OSError as problem:
        await runner.cleanup()
        raise cannot_listen(f"{flag} {address}", problem) from problem
    return runner


def cannot_listen(what: str, problem: OSError) -> StandinError:
    """The system's own word, without asyncio's sentence around it."""
    word = os.strerror(problem.errno) if problem.errno else str(problem)
    return StandinError(f"{what}: cannot listen: {word}")


def on_terminate(stop: Callable[[], Any]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


async def watch_over(*tasks: Awaitable[None]) -> None:
    """Run until one ends or fails; its failure ends the program, so that no loop dies unseen."""
    running = [asyncio.ensure_future(task) for task in tasks]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def run(program: str, main: Coroutine[Any, Any, int]) -> int:
    """The program's exit code; a StandinError is one line on stderr and 1."""
    try:
        return asyncio.run(main)
    except StandinError as problem:
        say(f"[FATAL] {program}: {' '.join(str(problem).split())}")
        return 1
