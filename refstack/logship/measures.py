"""What the shipper tells of itself: lines shipped, dropped, behind; what was scrubbed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from refstack.logship.routes import TENANTS

KINDS = ("email", "phone", "iban", "token", "secret", "personal", "written")


class Measures:
    """The shipper's metrics, in a registry of their own; label values come from closed sets."""

    def __init__(self, behind: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self._lines = self._counter("lines", "Log lines that the store has acknowledged", "tenant")
        self._dropped = self._counter(
            "dropped_lines", "Log lines that the store refused for good", "tenant"
        )
        self._failures = self._counter("push_failures", "Pushes to be tried again", "tenant")
        self._redacted = self._counter("redacted", "Things scrubbed out of log lines", "kind")
        for tenant in TENANTS:
            for counter in (self._lines, self._dropped, self._failures):
                counter.labels(tenant)
        for kind in KINDS:
            self._redacted.labels(kind)
        Gauge(
            "rag_logship_behind_bytes",
            "Bytes of log files that no store has acknowledged",
            registry=self.registry,
        ).set_function(behind)

    def _counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(f"rag_logship_{name}_total", text, [label], registry=self.registry)

    def shipped(self, tenant: str, lines: int) -> None:
        """Count what was taken."""
        self._lines.labels(tenant).inc(lines)

    def dropped(self, tenant: str, lines: int) -> None:
        """Count what will never be taken."""
        self._dropped.labels(tenant).inc(lines)

    def failed(self, tenant: str) -> None:
        """Count a push that will be tried again."""
        self._failures.labels(tenant).inc()

    def redacted(self, taken: Mapping[str, int]) -> None:
        """Count what was scrubbed, by kind."""
        for kind, number in taken.items():
            self._redacted.labels(kind).inc(number)
