"""What the post-renderer costs on a stream of 2,000 documents and 5.4 MB, as ratios within one run.

Goals (issue 8): nothing to change ≤ 1.2 × one PyYAML CSafeLoader parse of the same stream, every document changed ≤ 2
×; ≥ 10 × faster than a ruamel.yaml round trip; peak memory ≤ 150 MB; start-up to the first byte ≤ 150 ms. Times are
CPU seconds of one process, so that neighbours on the machine count little; what is compared runs in turn.
"""

from __future__ import annotations

import io
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from ruamel.yaml import YAML

from ci import tools
from postrender import config
from postrender.engine import Pass
from tests.postrender.conftest import NAME, install

ROUNDS = 5
STARTS = 15
DOCUMENTS = 2000
RUAMEL_SHARE = 10  # a tenth of the stream: the whole takes half a minute
MB = 1_000_000
CONFIG = "apiVersion: helm-tidb.io/v1\nkind: PostRender\n"

_CHART = """---
# Source: tidb/templates/tikv/statefulset.yaml
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: db-{n}-tikv
  labels: &labels
    app.kubernetes.io/name: tidb
    app.kubernetes.io/instance: db-{n}
    app.kubernetes.io/component: tikv
spec:
  replicas: 3
  serviceName: db-{n}-tikv-peer
  selector:
    matchLabels: {{app.kubernetes.io/name: tidb, app.kubernetes.io/instance: db-{n}}}
  template:
    metadata: {{labels: {{app.kubernetes.io/name: tidb, app.kubernetes.io/instance: db-{n}}}}}
    spec:
      containers:
        - name: tikv
          image: docker.io/pingcap/tikv:v8.5.0
          command: ["/bin/sh", "-c", "exec /tikv-server --addr 0.0.0.0:20160 --store-{n}"]
          env:
{env}          resources:
            limits: {{cpu: "4", memory: 16Gi}}
            requests: {{cpu: "4", memory: 16Gi}}
          volumeMounts:
            - {{name: data, mountPath: /var/lib/tikv}}
  volumeClaimTemplates:
    - metadata: {{name: data}}
      spec: {{storageClassName: tidb-local, accessModes: [ReadWriteOnce]}}
---
# Source: tidb/templates/tikv/config.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: db-{n}-tikv
  labels: {{app.kubernetes.io/name: tidb, app.kubernetes.io/instance: db-{n}}}
data:
  config.toml: |
{toml}"""


_VARIABLE = """            - name: VARIABLE_{k}
              value: "setting {k} of cluster {n}"
"""
_SECTION = """    [section-{k}]
    key-{k} = "value {n} of {k}"
    limit = {n}
"""


def stream() -> str:
    """Half StatefulSets with 24 variables, half ConfigMaps with 108 lines of TOML: what rendered charts are made of."""
    texts = []
    for n in range(DOCUMENTS // 2):
        env = "".join(_VARIABLE.format(k=k, n=n) for k in range(24))
        toml = "".join(_SECTION.format(k=k, n=n) for k in range(36))
        texts.append(_CHART.format(n=n, env=env, toml=toml))
    return "".join(texts)


def main() -> None:
    text = stream()
    data = text.encode()
    print(
        f"{DOCUMENTS} documents, {len(data) / MB:.1f} MB, {text.count(chr(10))} lines; {ROUNDS} rounds in turn"
    )
    ruamel_text = "---\n".join(text.split("---\n")[1 : DOCUMENTS // RUAMEL_SHARE + 1])
    ruamel_scale = len(text) / len(ruamel_text)
    contestants: dict[str, Callable[[], None]] = {
        "CSafeLoader": lambda: _parse(text),
        "nothing to change": lambda: _pass(data, {}),
        "every document changed": lambda: _pass(data, {"labels": {"labels": {"team": "storage"}}}),
        "ruamel.yaml round trip": lambda: _round_trip(ruamel_text),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            began = time.process_time()
            run()
            took = time.process_time() - began
            seconds[name].append(
                took * ruamel_scale if run is contestants["ruamel.yaml round trip"] else took
            )
    median = {name: statistics.median(each) for name, each in seconds.items()}
    parse = median["CSafeLoader"]
    for name, goal in (
        ("CSafeLoader", ""),
        ("nothing to change", "≤ 1.2"),
        ("every document changed", "≤ 2"),
    ):
        spread = f"{min(seconds[name]):.2f} to {max(seconds[name]):.2f}"
        _say(
            name,
            f"{median[name]:.2f} s CPU ({spread})",
            f"{median[name] / parse:.2f} × the parse",
            goal,
        )
    slow = median["ruamel.yaml round trip"]
    times = f"{slow / median['every document changed']:.0f} × ours"
    told = f"{slow:.1f} s CPU (from 1/{ruamel_scale:.0f} of it)"
    _say("ruamel.yaml round trip", told, times, "≥ 10")
    with tempfile.TemporaryDirectory() as folder:
        _processes(Path(folder), text)


def _processes(folder: Path, text: str) -> None:
    (folder / "release.yaml").write_text(text)
    (folder / "one.yaml").write_text(text.split("---\n")[1])
    (folder / "config.yaml").write_text(CONFIG + "rules: {labels: {labels: {team: storage}}}\n")
    (folder / "kustomization.yaml").write_text(
        "resources: [release.yaml]\nlabels: [{pairs: {team: storage}}]\n"
    )
    ours = [sys.executable, "-m", "postrender", "--config", str(folder / "config.yaml")]
    cpu, memory = _process(ours, folder / "release.yaml")
    _say("as a process, all changed", f"{cpu:.2f} s CPU, peak {memory / MB:.0f} MB", "", "≤ 150 MB")
    cpu, memory = _process(
        [str(tools.path("kustomize")), "build", str(folder)], folder / "release.yaml"
    )
    _say("kustomize build, same labels", f"{cpu:.2f} s CPU, peak {memory / MB:.0f} MB", "", "")
    _starts(folder)


def _starts(folder: Path) -> None:
    """From the start to the first byte, as a user has it: by the console script, and as Helm 4 starts its plugin."""
    bin_ = install(folder)
    python, script = str(bin_ / "python"), str(bin_ / NAME)
    shown = subprocess.run([script, "helm-plugin"], capture_output=True, text=True, check=True)
    configured = ["--config", str(folder / "config.yaml")]
    commands = {
        "start-up of Python alone": [python, "-c", "print(1)"],
        "start-up": [script],
        "start-up with a configuration": [script, *configured],
        "start-up as a Helm 4 plugin": [python, f"{shown.stdout.strip()}/launch.py", *configured],
    }
    # The first start compiles, as the first one after an installation does; it is not counted.
    compiled = {key: it for key, it in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(STARTS + 1):
        for name, command in commands.items():
            took = _first_byte(command, folder / "one.yaml", compiled)
            if turn:
                taken[name].append(took * 1000)
    alone = statistics.median(taken["start-up of Python alone"])
    for name, each in taken.items():
        middle = statistics.median(each)
        told = f"{middle:.0f} ms ({min(each):.0f} to {max(each):.0f}) to the first byte"
        ours = commands[name][0] == script or "launch" in commands[name][1]
        _say(
            name,
            told,
            f"{middle / alone:.1f} × Python's" if ours else "",
            "≤ 150 ms" if ours else "",
        )


def _parse(text: str) -> None:
    for _ in yaml.load_all(text, Loader=yaml.CSafeLoader):
        pass


def _pass(data: bytes, rules: dict[str, object]) -> None:
    done = Pass(lambda _: config.rules({"rules": rules}, Path()))
    done.run(data)
    done.finish()
    if done.changed != (DOCUMENTS if rules else 0):
        raise RuntimeError(f"{done.changed} documents changed: this measures something else")


def _round_trip(text: str) -> None:
    round_trip = YAML()
    round_trip.dump_all(list(round_trip.load_all(text)), io.StringIO())


# A child's peak begins at its parent's size, which this process has too much of: a small one starts what is measured.
_MEASURE = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
sys.exit(code)
"""


def _process(command: list[str], stdin: Path) -> tuple[float, int]:
    """CPU seconds and peak resident bytes of one run."""
    with stdin.open("rb") as data:
        measured = [sys.executable, "-c", _MEASURE, *command]
        done = subprocess.run(measured, stdin=data, stdout=subprocess.PIPE, check=True)
    cpu, memory = done.stdout.split()
    return float(cpu), int(memory)


def _first_byte(command: list[str], stdin: Path, environment: dict[str, str]) -> float:
    with stdin.open("rb") as data:
        began = time.monotonic()
        program = subprocess.Popen(command, stdin=data, stdout=subprocess.PIPE, env=environment)
        assert program.stdout
        program.stdout.read(1)
        took = time.monotonic() - began
        program.communicate()
    return took


def _say(name: str, measured: str, ratio: str, goal: str) -> None:
    line = f"{name:<30} {measured:<44} {ratio:<20} {f'goal {goal}' if goal else ''}"
    print(re.sub(r"\s+$", "", line), flush=True)


if __name__ == "__main__":
    main()
