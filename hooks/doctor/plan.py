"""`kubectl tidb plan failover|cleanup|volumes`: the job's own dry run, from here.

The job's arguments are read from the chart's CronJob or Deployment, so that the plan is the one it would make. PD is
asked through the API server's proxy. Nothing is written: no action, no Event, no ConfigMap.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
from collections.abc import Sequence
from typing import Any

from hooks import kube
from hooks.doctor import session
from hooks.doctor.observe import choose
from hooks.doctor.proxy import Proxy
from hooks.engine import EngineError
from hooks.kube.kinds import Obj

# job → (module, the kind of the chart's object that runs it)
_JOBS = {
    "failover": ("hooks.failover.job", kube.CRON_JOB),
    "cleanup": ("hooks.cleanup.job", kube.CRON_JOB),
    "volumes": ("hooks.volumes.job", kube.DEPLOYMENT),
}
_UNATTENDED = ("--scheduled", "--unattended", "--controller")


class PlanError(EngineError):
    """The job isn't part of this release, or of this version."""


def run(args: argparse.Namespace) -> int:
    client = session.connect(args)
    namespace = session.namespace(args)
    release = choose(args.release, namespace, client.list(kube.STATEFUL_SET, namespace))
    module, kind = _JOBS[args.job]
    words = [*arguments(client, kind, f"{release}-{args.job}", namespace, args.job), "--dry-run"]
    parsed = parse(module, words)
    parsed.kubeconfig, parsed.context = args.kubeconfig, args.context
    parsed.output = "table" if args.output == "table" else "json"
    # Volumes asks no PD; the others ask it through the API server, with the caller's rights.
    parsed.transport = Proxy(client, namespace)
    job = importlib.import_module(module)

    def once() -> tuple[str, int]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = int(job.run(parsed))
        return out.getvalue().rstrip(), code

    return session.repeat(args, once)


def arguments(
    client: kube.Client, kind: kube.Kind, name: str, namespace: str, job: str
) -> Sequence[str]:
    """What the chart's object says behind the job's name; PlanError when it has no such object."""
    found = client.find(kind, name, namespace)
    if found is None:
        raise PlanError(
            f"the release has no {kind.kind} {name} in namespace {namespace}: {job} is switched off in its values "
            f"({job}.enabled), or another release manages it"
        )
    words = _container(found).get("args") or []
    return [
        word for word in words[1:] if word not in ("--scheduled", "--controller", "--unattended")
    ]


def _container(obj: Obj) -> Any:
    spec = obj["spec"]
    template = (
        spec["jobTemplate"]["spec"]["template"] if "jobTemplate" in spec else spec["template"]
    )
    return template["spec"]["containers"][0]


def parse(module: str, words: Sequence[str]) -> argparse.Namespace:
    """By the job's own parser. PlanError when this program does not know its options."""
    try:
        job = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise PlanError(f"this version of kubectl tidb has no {module}: {error}") from error
    parser = argparse.ArgumentParser(exit_on_error=False)
    job.configure(parser)
    parsed, unknown = parser.parse_known_args(list(words))
    if unknown:
        raise PlanError(
            f"the release's job has options that this version of kubectl tidb does not know: {' '.join(unknown)}; "
            "use the version of the release"
        )
    return parsed
