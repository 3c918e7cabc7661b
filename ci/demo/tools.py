"""A PATH with kubectl, helm and `kubectl tidb`, and commands run on it as a person would.

kubectl-tidb is what `pip install` puts on the PATH; here a two-line script starts it from the checkout, so that the
demo installs nothing.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ci import tools

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("kubectl", "helm4")
_SCRIPT = """\
#!/bin/sh
PYTHONPATH={root} exec {python} -c 'import sys; from {module} import main; sys.exit(main())' "$@"
"""


class CommandError(Exception):
    """A command of the demo failed; the message is the command and all it said."""


@dataclass(frozen=True)
class Shell:
    """Commands with the demo's PATH, KUBECONFIG and Helm folders; `home` goes with the demo."""

    home: Path
    kubeconfig: Path

    @property
    def bin(self) -> Path:
        return self.home / "bin"

    @classmethod
    def make(cls, home: Path, kubeconfig: Path) -> Shell:
        made = cls(home, kubeconfig)
        made.bin.mkdir(parents=True, exist_ok=True)
        plugins = home / "plugins"
        plugins.mkdir(exist_ok=True)
        _link(made.bin / "kubectl", tools.path("kubectl"))
        _link(made.bin / "helm", tools.path("helm4"))
        _link(plugins / "tidb-postrender", ROOT / "postrender" / "helm4")
        for name, module in (
            ("kubectl-tidb", "hooks.doctor.command"),
            ("kubectl_complete-tidb", "hooks.doctor.completion"),
        ):
            script = made.bin / name
            script.write_text(_SCRIPT.format(root=ROOT, python=sys.executable, module=module))
            script.chmod(0o755)
        return made

    @property
    def environment(self) -> dict[str, str]:
        base = {k: v for k, v in os.environ.items() if not k.startswith(("HELM", "KUBE", "POD_"))}
        return base | {
            # Python first: Helm starts the plugin with the `python3` that it finds.
            "PATH": f"{self.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "KUBECONFIG": str(self.kubeconfig),
            "HELM_PLUGINS": str(self.home / "plugins"),
            **{
                f"HELM_{kind}_HOME": str(self.home / kind.lower())
                for kind in ("CACHE", "CONFIG", "DATA")
            },
            "NO_COLOR": "1",
        }

    def run(self, *words: str, codes: tuple[int, ...] = (0,), timeout: float = 120) -> str:
        """stdout and stderr as a terminal shows them. CommandError for an exit code that was not expected."""
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            cwd=ROOT, env=self.environment, check=False, timeout=timeout,
        )  # fmt: skip
        if done.returncode not in codes:
            raise CommandError(f"{shlex.join(words)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
            env=self.environment,
        )  # fmt: skip


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)
