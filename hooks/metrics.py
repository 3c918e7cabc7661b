"""Prometheus metrics as text (exposition format 0.0.4), without a client library: gauges and counters are all we need.

    metrics = Metrics()
    metrics.set("helm_tidb_volumes", 3, phase="Bound")
    metrics.add("helm_tidb_actions_total", 1, job="volumes", code="create-pv")
    metrics.text()

Names and help texts stand in HELP, so that one that nobody explained cannot be exported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HELP: dict[str, tuple[str, str]] = {
    "helm_tidb_actions_total": ("counter", "Actions performed, by job, code and outcome."),
    "helm_tidb_errors_total": ("counter", "Rounds or actions that ended in an error, by job."),
    "helm_tidb_waits": ("gauge", "What the last plan waits for, by job and code."),
    "helm_tidb_refusals": ("gauge", "What the last plan refuses, by job and code."),
    "helm_tidb_last_success_seconds": (
        "gauge",
        "Unix time of the last round without error, by job.",
    ),
    "helm_tidb_last_start_seconds": ("gauge", "Unix time of a CronJob's last start, by job."),
    "helm_tidb_replacements_total": (
        "counter",
        "Stores and members that failover has given up in PD, by component.",
    ),
    "helm_tidb_seconds_since_loss": (
        "gauge",
        "Since failover first saw this store or member not well, by pod; no series when all are.",
    ),
    "helm_tidb_leader": ("gauge", "1 on the replica that works, by job."),
    "helm_tidb_watch_broken": ("gauge", "1 while the watch of a kind is broken, by job and kind."),
}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[Labels, float]] = {}

    def describe(self, name: str, kind: str, text: str) -> None:
        """Add a metric of one job's own; `kind` is gauge or counter."""
        HELP[name] = (kind, text)

    def set(self, name: str, value: float, **labels: str) -> None:
        with self._lock:
            self._series(name)[tuple(sorted(labels.items()))] = float(value)

    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        key = tuple(sorted(labels.items()))
        with self._lock:
            series = self._series(name)
            series[key] = series.get(key, 0.0) + value

    def reset(self, name: str, values: dict[Labels, float], **labels: str) -> None:
        """Replace all series of `name` that carry `labels` by `values` (label pairs beside `labels` → value)."""
        fixed = set(labels.items())
        with self._lock:
            series = self._series(name)
            for key in [key for key in series if fixed <= set(key)]:
                del series[key]
            for key, value in values.items():
                series[tuple(sorted((*key, *fixed)))] = float(value)

    def text(self) -> str:
        with self._lock:
            copy = {name: dict(series) for name, series in self._values.items()}
        lines = []
        for name in sorted(copy):
            kind, words = HELP[name]
            lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
            for labels, value in sorted(copy[name].items()):
                inner = ",".join(f'{key}="{_escape(word)}"' for key, word in labels)
                lines.append(f"{name}{{{inner}}} {value:.17g}" if inner else f"{name} {value:.17g}")
        return "\n".join(lines) + "\n"

    def _series(self, name: str) -> dict[Labels, float]:
        if name not in HELP:
            raise KeyError(
                f"metric {name} has no help text: add it to hooks/metrics.py or describe() it"
            )
        return self._values.setdefault(name, {})


def _escape(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def serve(
    metrics: Metrics, port: int, *, host: str = "", healthy: Callable[[], str] = lambda: ""
) -> ThreadingHTTPServer:
    """`/metrics` and `/healthz` on a thread of its own; `healthy` returns "" or what is wrong (then 503)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wrong = healthy() if self.path == "/healthz" else ""
            known = self.path in ("/metrics", "/healthz")
            body = (metrics.text() if self.path == "/metrics" else (wrong or "ok") + "\n").encode()
            self.send_response(404 if not known else 503 if wrong else 200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body) if known else 0))
            self.end_headers()
            if known:
                # A probe that gave up waiting is no story either.
                with suppress(ConnectionError):
                    self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Scrapes are no story to tell."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
