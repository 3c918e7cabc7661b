"""What commands share at run time: the connection, the namespace, the look, `--watch`, and what could not be read."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

from hooks.doctor import gaps, output
from hooks.doctor.observe import Observer, ReleaseError
from hooks.doctor.snapshot import Gap, Snapshot
from hooks.kube import Client, KubeError
from hooks.kube.wire import Request

_SECONDS = 10.0
_PAUSE = 2.0


def connect(args: argparse.Namespace, connections: int = 8) -> Client:
    client = Client.connect(
        "kubectl-tidb", kubeconfig=args.kubeconfig, context=args.context, connections=connections
    )
    # A person waits: half a minute of repeated attempts is for jobs.
    client.seconds = _SECONDS
    return client


def namespace(args: argparse.Namespace) -> str:
    """-n, else the pod's own, else the kubeconfig's, else `default`: as kubectl does it."""
    if args.namespace:
        return str(args.namespace)
    own = os.environ.get("POD_NAMESPACE", "")
    if own and not args.kubeconfig:
        return own
    from hooks.kube.transport import context_namespace

    return context_namespace(args.kubeconfig, args.context) or "default"


def look(client: Client, args: argparse.Namespace, *, whole: bool) -> Snapshot:
    observer = Observer(client, namespace(args), whole=whole)
    try:
        return observer.observe(args.release)
    except ReleaseError:
        # What could not be read may be why no release was found.
        tell_gaps(tuple(observer.gaps), client)
        raise


def tell_gaps(found: tuple[Gap, ...], client: Client | None) -> None:
    """On stderr: what may not be read, what that costs, and the Role that grants it."""
    for line in gaps.sentences(found):
        output.say(f"note: {line}")
    if not any(gap.forbidden for gap in found):
        return
    user = whoami(client) if client is not None else ""
    output.say("\nthese rights would help (kubectl apply -f -, by somebody who may grant them):\n")
    output.say(gaps.roles(found, user or "YOU"))


def whoami(client: Client) -> str:
    """The name the API server knows us by; "" when it doesn't say."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    try:
        answer = client.raw(Request("POST", path, (), body)).body
    except KubeError:
        return ""
    import json

    return str(json.loads(answer).get("status", {}).get("userInfo", {}).get("username", ""))


def repeat(args: argparse.Namespace, once: Callable[[], tuple[str, int]]) -> int:
    """Print what `once` gives; with --watch again and again: in place on a terminal, elsewhere when it changed."""
    text, code = once()
    print(text, flush=True)
    if not args.watch:
        return code
    terminal = sys.stdout.isatty()
    last = text
    while True:
        time.sleep(_PAUSE)
        text, code = once()
        if terminal:
            print(f"\033[H\033[2J{text}", flush=True)
        elif text != last:
            print(f"\n{text}", flush=True)
        last = text
