"""One HTTP request to the API server: by means of the `kubernetes` package (package.py).

From it come configuration (in a pod, or kubeconfig with its exec and OIDC plugins), authentication and the
connection pool; not the typed models, not its retries (they would repeat writes), not its Watch
(reference/python-on-kubernetes.md says why).
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml

from hooks.kube.errors import ConfigurationError, KubeError, RetryableError, UnknownOutcomeError
from hooks.kube.package import (
    ApiException,
    ConfigException,
    Configuration,
    RESTClientObject,
    list_contexts,
    load_in_cluster,
    load_kubeconfig,
    tcp_keepalive_socket_options,
)
from hooks.kube.wire import Request, Response, Stream

_CONNECT_SECONDS = 5.0
# The package reads the whole environment (for proxies) each time it is asked for a token: a third of a request's CPU.
_TOKEN_SECONDS = 5.0
_CHUNK = 1 << 16

# All that the package raises for a kubeconfig that is missing, no YAML, or YAML of another kind.
_UNUSABLE = (
    *(ConfigException, OSError, ValueError, yaml.YAMLError),
    *(AttributeError, KeyError, TypeError),
)


class HttpTransport:
    """The real one. Safe to share between threads; `connections` is how many of them find a kept connection."""

    def __init__(
        self,
        load: Callable[[Configuration], None],
        *,
        agent: str,
        connections: int = 4,
        source: str = "",
    ) -> None:
        self._load = load
        self._source = source
        self._agent = agent
        self._connections = connections
        self._lock = threading.Lock()
        self._configuration, self._rest = self._connect()
        self._authorization: tuple[float, dict[str, str]] = (float("-inf"), {})

    def _connect(self) -> tuple[Configuration, RESTClientObject]:
        configuration = Configuration()
        try:
            self._load(configuration)
        except _UNUSABLE as error:
            raise ConfigurationError(
                f"cannot tell which API server to use: {_one_line(error)}; read {self._source}; run in a pod with a "
                "service account, or name a kubeconfig with --kubeconfig or KUBECONFIG"
            ) from error
        configuration.retries = False
        # A peer that vanished without a word is noticed after 30 s, not after the kernel's two hours.
        configuration.socket_options = tcp_keepalive_socket_options(idle=10, interval=5, count=4)
        configuration.connection_pool_maxsize = self._connections
        return configuration, RESTClientObject(configuration)

    @property
    def host(self) -> str:
        return str(self._configuration.host)

    def request(self, request: Request, seconds: float) -> Response:
        deadline = time.monotonic() + seconds
        raw = self._send(request, connect=min(_CONNECT_SECONDS, seconds), read=seconds)
        try:
            parts = []
            # read1 returns what is there: read() would collect a trickle for ever, each byte within its own time-out.
            while part := raw.read1(_CHUNK):
                parts.append(part)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the answer took over {seconds:g} s")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raw.close()
            raise _broken(request, error) from error
        finally:
            raw.release_conn()
        return Response(raw.status, _headers(raw), b"".join(parts))

    def stream(self, request: Request, silence: float) -> Stream:
        raw = self._send(request, connect=_CONNECT_SECONDS, read=silence)
        return _HttpStream(request, raw)

    def _send(
        self, request: Request, *, connect: float, read: float
    ) -> urllib3.response.HTTPResponse:
        headers = {
            "Accept": "application/json",
            "User-Agent": self._agent,
            "Content-Type": request.content_type,
            **self._authorized(),
        }
        url = self.host + request.path
        if request.query:
            url += "?" + urlencode(request.query)
        try:
            send: Callable[..., Any] = self._rest.request
            raw: urllib3.response.HTTPResponse = send(
                request.method,
                url,
                headers=headers,
                body=request.body,
                _request_timeout=(connect, read),
            ).response
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as e:
            raise RetryableError(
                f"{request}: no connection to {self.host}: {_cause(e)}; is the API server up and reachable?"
            ) from e
        except (ApiException, ssl.SSLError) as e:
            # The package turns TLS errors into an ApiException with status 0; the handshake precedes any request.
            raise RetryableError(
                f"{request}: no secure connection to {self.host}: {_cause(e)}"
            ) from e
        except (urllib3.exceptions.HTTPError, OSError) as e:
            raise _broken(request, e) from e
        if raw.status == 401:
            self._reconnect()
        return raw

    def _authorized(self) -> dict[str, str]:
        """The headers that say who we are, at most some seconds old."""
        read, headers = self._authorization
        if time.monotonic() - read > _TOKEN_SECONDS:
            settings: Mapping[str, Any] = self._configuration.auth_settings()
            headers = {
                str(setting["key"]): str(setting["value"])
                for setting in settings.values()
                if setting["in"] == "header" and setting["value"]
            }
            self._authorization = (time.monotonic(), headers)
        return headers

    def _reconnect(self) -> None:
        """Read token and certificates anew: they were rotated, or a clock jumped and the package's own timer sleeps."""
        with self._lock:
            self._configuration, self._rest = self._connect()
            self._authorization = (float("-inf"), {})


class _HttpStream:
    def __init__(self, request: Request, raw: urllib3.response.HTTPResponse) -> None:
        self._request = request
        self._raw = raw
        self.status = raw.status
        self.headers = _headers(raw)

    def lines(self) -> Iterator[bytes]:
        rest = b""
        try:
            for part in self._raw.stream(_CHUNK):
                *whole, rest = (rest + part).split(b"\n")
                yield from (line for line in whole if line.strip())
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            # ValueError: read of a response that close() has closed, from another thread.
            raise _broken(self._request, error) from error
        finally:
            self.close()

    def body(self) -> bytes:
        try:
            return self._raw.read(_CHUNK)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _broken(self._request, error) from error
        finally:
            self.close()

    def close(self) -> None:
        self._raw.close()
        self._raw.release_conn()


def connect(
    *, agent: str, kubeconfig: str = "", context: str = "", connections: int = 4
) -> HttpTransport:
    """In a pod by its service account, unless a kubeconfig is named; elsewhere by KUBECONFIG or ~/.kube/config."""

    def load(configuration: Configuration) -> None:
        if not kubeconfig and not context:
            try:
                load_in_cluster(client_configuration=configuration)
                return
            except ConfigException:
                pass  # not in a pod; the kubeconfig's error is the one that helps
        load_kubeconfig(
            config_file=kubeconfig or None,
            context=context or None,
            client_configuration=configuration,
            persist_config=False,
        )

    named = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    source = f"kubeconfig {named}" + (f", context {context}" if context else "")
    return HttpTransport(load, agent=agent, connections=connections, source=source)


def context_namespace(kubeconfig: str = "", context: str = "") -> str:
    """The namespace that a kubeconfig's context names; "" when it names none, or there is no kubeconfig."""
    try:
        contexts, active = list_contexts(config_file=kubeconfig or None)
    except _UNUSABLE:
        return ""
    for one in contexts:
        if one["name"] == (context or active["name"]):
            return str(one.get("context", {}).get("namespace") or "")
    return ""


def _one_line(error: Exception) -> str:
    """YAML's errors have a line a place; a bare KeyError has the key alone."""
    text = " ".join(str(error).split())
    bare = isinstance(error, AttributeError | KeyError | TypeError)
    return f"it is no kubeconfig ({text})" if bare else text


def _headers(raw: urllib3.response.HTTPResponse) -> dict[str, str]:
    return {key.lower(): value for key, value in raw.headers.items()}


def _broken(request: Request, error: Exception) -> KubeError:
    kind = UnknownOutcomeError if request.write else RetryableError
    return kind(f"{request}: the connection broke before the answer was whole: {_cause(error)}")


def _cause(error: BaseException) -> str:
    """urllib3 puts object addresses and pool names around the sentence that matters."""
    text = str(getattr(error, "reason", None) or error).strip()
    return text.splitlines()[-1] if text else type(error).__name__
