"""The harness's own window on the API server: enough to wait until a cluster is up.

Tests and jobs use `hooks.kube`; this stays apart so that a fault in that code never hides in the cluster that tests it.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from ci.cluster.errors import ClusterError, WaitTimeoutError

TIMEOUT_SECONDS = 5.0


class Api:
    """Requests with the kubeconfig's client certificate; one connection a request, so that a cut API shows."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._server = urlsplit(cluster["server"])
        self._tls = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        # The ssl module takes certificates from files only.
        with tempfile.NamedTemporaryFile() as pair:
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]))
            pair.flush()
            self._tls.load_cert_chain(pair.name)

    def request(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Status and parsed body (text where it is no JSON). Raises OSError when there is no answer.

        The body is sent as JSON; as it is (text) when another content type is named.
        """
        connection = http.client.HTTPSConnection(
            self._server.hostname or "",
            self._server.port,
            context=self._tls,
            timeout=TIMEOUT_SECONDS,
        )
        try:
            as_json = body is not None and content_type == "application/json"
            payload = json.dumps(body) if as_json else body
            connection.request(method, path, payload, {"Content-Type": content_type})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if "json" in (response.getheader("Content-Type") or ""):
            return response.status, json.loads(text)
        return response.status, text

    def get(self, path: str) -> Any:
        """The parsed body of a 200; raises ClusterError for any other status."""
        status, body = self.request("GET", path)
        if status != 200:
            raise ClusterError(f"GET {path}: {status} {str(body)[:300]}")
        return body

    def create(self, path: str, body: Any) -> None:
        """Create an object; one that exists is left as it is."""
        status, answer = self.request("POST", path, body)
        if status not in (200, 201, 409):
            raise ClusterError(f"POST {path} {body['kind']}: {status} {str(answer)[:300]}")

    def ready(self) -> bool:
        try:
            return self.request("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def node_ready(self, name: str) -> bool | None:
        """Whether Kubernetes calls the Node Ready; None when it says nothing: no answer, no Node, no condition yet."""
        try:
            status, node = self.request("GET", f"/api/v1/nodes/{name}")
        except OSError:
            return None
        conditions = node["status"].get("conditions", []) if status == 200 else []
        return next((one["status"] == "True" for one in conditions if one["type"] == "Ready"), None)


def wait_until(
    condition: Callable[[], bool],
    what: str,
    seconds: float,
    *,
    pause: float | None = None,
    seen: Callable[[], str] = lambda: "",
) -> None:
    """Wait for a condition; raises WaitTimeoutError with what was waited for and what was `seen` at the end.

    Between two looks `pause` seconds pass, by default the tenth of what was waited so far: a look may be a process of
    kubectl's, and a lane of tests that looks all the time takes half a core from what it waits for.
    """
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > seconds:
            last = seen()
            raise WaitTimeoutError(
                f"{what}: not within {seconds:.0f} s" + (f"; seen: {last}" if last else "")
            )
        time.sleep(min(max(waited / 10, 0.05), 1.0) if pause is None else pause)


def http_ok(url: str) -> bool:
    """Whether a plain health page answers 200 now."""
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
