"""docs/postrender.md: its commands give the output it shows, and it knows every rule and parameter."""

from __future__ import annotations

import re
from pathlib import Path

from ci import tools
from postrender import cli, config
from tests.postrender.conftest import ROOT, Doors

PAGE = (ROOT / "docs" / "postrender.md").read_text()
FILES = {
    "shop/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
    "shop/templates/service.yaml": """apiVersion: v1
kind: Service
metadata: {name: web}   # comments of an unchanged document stay
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 30080}]}
""",
    "shop/templates/web.yaml": """apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: nginx:1.29
          resources:
            limits: {cpu: 500m, memory: 256Mi}
""",
    "labels.yaml": "rules: {labels: {labels: {team: shop}}}\n",
    "strict.yaml": """rules:
  images: {mirrors: {docker.io: mirror.example.com/hub}, unpinned: warn}
  exposure: {allow: []}
""",
    "pinned.yaml": """rules:
  images: {mirrors: {docker.io: mirror.example.com/hub}, lock: images.lock.yaml, unpinned: refuse}
""",
    "digests": "nginx:1.29 sha256:3b7732505933ca591ce4a6d860cb713ad96a3176b82f7979a8dfa9973486a0d6\n",
}


def test_the_commands_give_the_output_that_is_shown(doors: Doors, tmp_path: Path) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        head = "apiVersion: helm-tidb.io/v1\nkind: PostRender\n" if text.startswith("rules") else ""
        path.write_text(head + text)
    helm3 = tmp_path / "bin"
    helm3.mkdir()
    (helm3 / "helm3").symlink_to(tools.path("helm3"))
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    shown = [re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:] for block in blocks]
    commands = [(parts[n], parts[n + 1]) for parts in shown for n in range(0, len(parts), 2)]
    assert len(commands) > 10
    for command, expected in commands:
        done = doors.run("sh", "-c", f"PATH={helm3}:$PATH; {command}", cwd=tmp_path)
        assert done.stdout == expected, f"{command}: {done.stderr}"


def test_every_rule_and_parameter_is_on_the_page() -> None:
    for rule in config.RULES:
        assert f"- **{rule.name}**" in PAGE
        for key in config.parameters(rule()):
            assert re.search(rf"\b{key}:", PAGE), f"{rule.name}.{key}"


def test_every_exit_code_is_on_the_page() -> None:
    for code in cli.Exit:
        assert f"| {code.value} | " in PAGE
