"""Start tidb-postrender for Helm 4, and let its words be seen.

Helm 4 (4.3) throws a plugin's stderr away, so that a refusal or a missing library would read "plugin exited with
error" and no more. This program first gives itself a stderr that a person sees: Helm's own by /proc (Linux), else the
terminal. It imports the standard library alone, because the first thing that may have to be said is that the rest is
not installed.
"""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from pathlib import Path

COMMAND = "tidb-postrender"
NEEDED = ("postrender", "yaml", "jsonschema")


def visible_stderr() -> int | None:
    """A descriptor that reaches the user, or None.

    A regular file behind Helm's stderr is left alone: opened anew it has a position of its own, and Helm would write
    over our text. Then only the report (--report) tells.
    """
    for path in (f"/proc/{os.getppid()}/fd/2", "/dev/tty"):
        try:
            if stat.S_ISREG(os.stat(path).st_mode):
                return None
            return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY)
        except OSError:
            continue
    return None


def main() -> int:
    descriptor = visible_stderr()
    if descriptor is not None:
        os.dup2(descriptor, 2)
        os.close(descriptor)
    # A checkout, or an installed package: this folder lies in the package. Helm's own copy of the folder does not.
    home = Path(__file__).resolve().parent.parent.parent
    if (home / "postrender" / "cli.py").exists():
        sys.path.insert(0, str(home))
    # This folder comes first on the path of a script, and has nothing to import.
    sys.path[:] = [
        each for each in sys.path if Path(each).resolve() != Path(__file__).resolve().parent
    ]
    missing = [name for name in NEEDED if not importlib.util.find_spec(name)]
    if not missing:
        from postrender.cli import main as run

        return run(sys.argv[1:])
    import shutil

    installed = shutil.which(COMMAND)
    if installed:
        os.execv(installed, [installed, *sys.argv[1:]])
    print(
        f"{COMMAND}: {sys.executable} lacks {', '.join(missing)}, and no {COMMAND} is on PATH:"
        " pip install the project (docs/postrender.md) into the Python that Helm finds first",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
