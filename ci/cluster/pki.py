"""One certificate authority a cluster, and a client certificate for everybody, with the names that RBAC expects.

The default RBAC bindings of Kubernetes fit these names (`system:node:n1` in `system:nodes`, …), so rights are the
real ones. Made by openssl; valid for 30 days, longer than any test cluster should live.
"""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ci.cluster.errors import ClusterError
from ci.cluster.layout import Layout

DAYS = "30"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    crt: Path
    key: Path


class Authority:
    """The cluster's certificate authority; every call makes files below the cluster's pki folder."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.folder = layout.pki
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.pair("ca")
        if not self.ca.crt.exists():
            _openssl("req", "-x509", *_new_key(self.ca), "-subj", "/CN=helm-tidb-test-ca")

    def pair(self, name: str) -> Pair:
        return Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    def issue(
        self, name: str, user: str, group: str | None = None, sans: tuple[str, ...] = ()
    ) -> Pair:
        """A certificate for a user (CN) in a group (O), for servers with their names and addresses."""
        pair = self.pair(name)
        subject = (f"/O={group}" if group else "") + f"/CN={user}"
        more = ["-addext", f"subjectAltName={','.join(sans)}"] if sans else []
        _openssl(
            *("req", "-x509", "-CA", str(self.ca.crt), "-CAkey", str(self.ca.key), *_new_key(pair)),
            *("-subj", subject, "-addext", "basicConstraints=critical,CA:FALSE", *more),
        )
        return pair

    def service_account_key(self) -> Path:
        """The key that signs service-account tokens."""
        key = self.folder / "sa.key"
        _openssl(
            "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(key)
        )
        return key

    def kubeconfig(self, path: Path, pair: Pair, namespace: str = "default") -> Path:
        """A kubeconfig with everything inside, so that one file can be handed around. (JSON is YAML.)"""
        user = {
            "client-certificate-data": _base64(pair.crt),
            "client-key-data": _base64(pair.key),
        }
        cluster = {"server": self.layout.server, "certificate-authority-data": _base64(self.ca.crt)}
        name = self.layout.name
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [
                {"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}
            ],
            "current-context": name,
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=1))
        return path


def _new_key(pair: Pair) -> tuple[str, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    return (*curve, "-days", DAYS, "-keyout", str(pair.key), "-out", str(pair.crt))


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"openssl {arguments[0]} failed: {done.stderr.strip()[-300:]}")
