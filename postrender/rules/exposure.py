"""exposure: what can be reached from outside the cluster, and whether that was meant.

NodePort, LoadBalancer, external IPs, Ingress and Gateway routes; pods on the host's network or ports. Without a list
everything is noted in the report; with one (an empty one too) whatever is not on it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from postrender.findings import Finding, Severity
from postrender.manifest import Manifest, Selection
from postrender.values import dig, is_true, mapping, sequence, text

_ROUTES = frozenset(
    {
        "Ingress",
        "HTTPRoute",
        "GRPCRoute",
        "TCPRoute",
        "TLSRoute",
        "UDPRoute",
        "IngressRoute",
        "Route",
    }
)


@dataclass(slots=True)
class Exposure:
    name: ClassVar[str] = "exposure"
    summary: ClassVar[str] = "what is reachable from outside the cluster, allowed by list"

    allow: tuple[Selection, ...] | None = None

    def visit(self, manifest: Manifest) -> None:
        for what, path, detail in exposures(manifest):
            allowed = self.allow is not None and any(
                each.matches(manifest.subject, what=what) for each in self.allow
            )
            if self.allow is None or allowed:
                manifest.say(Severity.NOTE, self.name, "exposed", path, f"{what}: {detail}")
            else:
                subject = manifest.subject
                manifest.say(
                    Severity.REFUSAL,
                    self.name,
                    "exposed",
                    path,
                    f"{what}: {detail}, and rules.exposure.allow does not list it",
                    f"allow {{kind: {subject.kind}, name: {subject.name}, what: {what}}}, or take it away",
                )

    def finish(self) -> Iterator[Finding]:
        return iter(())


def exposures(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """What (NodePort, LoadBalancer, ExternalIP, Route, HostNetwork, HostPort), where, and one phrase about it."""
    spec = mapping(manifest.body.get("spec"))
    if manifest.kind == "Service" and not manifest.group:
        kind = text(spec.get("type"))
        if kind in ("NodePort", "LoadBalancer"):
            ports = [
                f"{text(mapping(port).get('port'))}"
                + (f" as {nodeport}" if (nodeport := text(mapping(port).get("nodePort"))) else "")
                for port in sequence(spec.get("ports"))
            ]
            where = "every node" if kind == "NodePort" else "a load balancer"
            yield kind, "spec.type", f"port {', '.join(ports) or 'none'} on {where}"
        if sequence(spec.get("externalIPs")):
            addresses = ", ".join(text(each) for each in sequence(spec.get("externalIPs")))
            yield "ExternalIP", "spec.externalIPs", f"answers at {addresses}"
    elif manifest.kind in _ROUTES:
        hosts = [text(each) for each in sequence(spec.get("hostnames"))]
        hosts += [text(dig(rule, "host")) for rule in sequence(spec.get("rules"))]
        yield "Route", "spec", f"for {', '.join(host for host in hosts if host) or 'any host'}"
    for pod in manifest.pod_specs():
        if is_true(pod.body.get("hostNetwork")):
            yield "HostNetwork", f"{pod.path}.hostNetwork", "all its ports are the node's"
            continue  # its hostPorts say the same again
        for container in pod.containers():
            for port in sequence(container.body.get("ports")):
                number = text(mapping(port).get("hostPort"))
                if number and number != "0":
                    path = f"{container.path}.ports"
                    yield "HostPort", path, f"port {number} of the node"
