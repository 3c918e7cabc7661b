"""What the suite runs: the pinned Helm 4, Helm 3 and kustomize, and tidb-postrender as a user installs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ci import tools

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "chart"
PLUGIN = ROOT / "postrender" / "helm4"
NAME = "tidb-postrender"
# Without a cluster each Helm takes a version of its own for granted; the chart asks for 1.30 at least.
KUBE_VERSION = ("--kube-version", "1.36.3")


@dataclass(frozen=True)
class Doors:
    """Every way in. Each takes what its user would have and gives back the finished process.

    `bin` holds the console script of a fresh installation and a `helm` (Helm 4); `home` keeps Helm's files off this
    user's.
    """

    bin: Path
    home: Path
    config: Path | None = None

    def run(
        self, *command: str | Path, stdin: str = "", cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        base = {
            key: value for key, value in os.environ.items() if not key.startswith(("HELM", "TIDB_"))
        }
        base |= {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HELM_CONFIG_HOME": str(self.home / "config"),
            "HELM_CACHE_HOME": str(self.home / "cache"),
            "HELM_DATA_HOME": str(self.home / "data"),
        }
        return subprocess.run(
            list(map(str, command)),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            timeout=120,
            env=base | environment,
        )

    def render(self, helm: str, chart: Path = CHART) -> str:
        """`helm template` without a post-renderer."""
        done = self.run(tools.path(helm), "template", "db", chart, *KUBE_VERSION)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pipe(self, stream: str) -> subprocess.CompletedProcess[str]:
        arguments = ["--config", str(self.config)] if self.config else []
        return self.run(self.bin / NAME, *arguments, stdin=stream)

    def helm4(self, chart: Path = CHART, plugin: Path = PLUGIN) -> subprocess.CompletedProcess[str]:
        plugins = self.home / "plugins"
        plugins.mkdir(exist_ok=True)
        link = plugins / NAME
        link.unlink(missing_ok=True)
        link.symlink_to(plugin)
        command = self._template("helm4", chart)
        return self.run(*command, HELM_PLUGINS=str(plugins))

    def helm3(self, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
        command = self._template("helm3", chart)
        return self.run(*command)

    def kustomize(self, stream: str, *, function: bool = True) -> subprocess.CompletedProcess[str]:
        """`kustomize build` of a stream, with tidb-postrender as an exec function or on its own."""
        given = yaml.safe_load(self.config.read_text()) if self.config else {}
        exec_ = {"config.kubernetes.io/function": f"exec: {{path: {self.bin / NAME}}}\n"}
        metadata = {"name": "postrender", "annotations": exec_}
        body = {
            "apiVersion": "helm-tidb.io/v1",
            "kind": "PostRender",
            **given,
            "metadata": metadata,
        }
        folder = Path(tempfile.mkdtemp(dir=self.home))
        (folder / "release.yaml").write_text(stream)
        (folder / "postrender.yaml").write_text(yaml.safe_dump(body))
        transformers = "transformers: [postrender.yaml]\n" if function else ""
        (folder / "kustomization.yaml").write_text("resources: [release.yaml]\n" + transformers)
        flags = ("--enable-alpha-plugins", "--enable-exec")
        return self.run(tools.path("kustomize"), "build", *flags, folder)

    def argocd(self, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
        """What Argo CD's sidecar runs, with the environment that Argo CD gives it."""
        plugin = yaml.safe_load((ROOT / "postrender" / "argocd" / "plugin.yaml").read_text())
        generate = plugin["spec"]["generate"]
        environment = {"ARGOCD_ENV_CONFIG": str(self.config)} if self.config else {}
        return self.run(
            *generate["command"],
            *generate["args"],
            cwd=chart,
            ARGOCD_APP_NAME="db",
            ARGOCD_APP_NAMESPACE="default",
            KUBE_VERSION=KUBE_VERSION[1],
            KUBE_API_VERSIONS="v1,apps/v1,policy/v1",
            **environment,
        )

    def _template(self, helm: str, chart: Path) -> list[str | Path]:
        given = ["--config", str(self.config)] if self.config else []
        arguments = [part for word in given for part in ("--post-renderer-args", word)]
        command = ["template", "db", str(chart), *KUBE_VERSION, "--post-renderer", NAME, *arguments]
        return [tools.path(helm), *command]


def install(home: Path) -> Path:
    """Install this checkout into a fresh environment below `home`, as a user of the post-renderer does: without the
    extras. Returns its bin folder, with a `helm` (Helm 4) beside the console script.
    """
    uv = Path(sys.executable).parent / "uv"
    pins = home / "pins"
    pins.write_text(_pins())
    commands: tuple[list[str | Path], ...] = (
        [uv, "venv", "--python", sys.executable, home / "env"],
        [uv, "pip", "install", "--python", home / "env" / "bin" / "python", "-c", pins, ROOT],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (home / "env" / "bin" / "helm").symlink_to(tools.path("helm4"))
    return home / "env" / "bin"


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One installation for all tests of the session."""
    return install(tmp_path_factory.mktemp("installation"))


@pytest.fixture
def doors(installation: Path, tmp_path: Path) -> Doors:
    return Doors(installation, tmp_path)


def _pins() -> str:
    """The tested versions, without hashes: those would have to cover the checkout itself too."""
    lines = (ROOT / "ci" / "requirements.txt").read_text().splitlines()
    return "\n".join(line.removesuffix(" \\") for line in lines if line and line[0] not in " #")
