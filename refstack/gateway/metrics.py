"""The gateway's Prometheus metrics; label values come from closed sets only."""

from __future__ import annotations

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)

from refstack.common import VERSION
from refstack.gateway.settings import Settings

QUERY_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.5,
    5.0, 10.0,
)  # fmt: skip
"""Seconds. The objective (operations guide, 3.2) is 0.25 s and so has an edge of its own."""

UPSTREAM_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

UPSTREAMS = ("embed", "fallback", "rerank", "vectordb", "metadata", "auth")
ERROR_KINDS = ("connect", "timeout", "status", "malformed", "refused", "breaker_open")
DEGRADATIONS = ("embed_fallback", "rerank_unavailable")
DOCUMENT_OPS = ("ingest", "delete")
QUERY_ROUTE = "/v1/query"


class GatewayMetrics:
    """All metrics of one gateway, in a registry of their own."""

    def __init__(self, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR):
            self.registry.register(collector)
        ProcessCollector(registry=self.registry)
        self._query_latency = Histogram(
            "rag_gateway_query_latency_seconds",
            "Time to answer a query, whatever the answer but a refusal of the request (4xx).",
            buckets=QUERY_BUCKETS,
            registry=self.registry,
        )
        self._requests = Counter(
            "rag_gateway_requests_total",
            "Requests answered; status 499 means that the client went away.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.degraded = Counter(
            "rag_gateway_degraded_total",
            "Queries answered with less than the full service.",
            ["reason"],
            registry=self.registry,
        )
        self.upstream_latency = Histogram(
            "rag_gateway_upstream_latency_seconds",
            "Time of one try of a call to an upstream, failed ones included.",
            ["upstream"],
            buckets=UPSTREAM_BUCKETS,
            registry=self.registry,
        )
        self.upstream_errors = Counter(
            "rag_gateway_upstream_errors_total",
            "Failed tries of calls to an upstream.",
            ["upstream", "kind"],
            registry=self.registry,
        )
        self.breaker_open = Gauge(
            "rag_gateway_breaker_open",
            "1 while the circuit breaker of an upstream is not closed.",
            ["upstream"],
            registry=self.registry,
        )
        self.shed = Counter(
            "rag_gateway_shed_total",
            "Requests refused at once because too many were being served.",
            registry=self.registry,
        )
        self.documents = Counter(
            "rag_gateway_documents_total",
            "Documents acknowledged as ingested or deleted.",
            ["op"],
            registry=self.registry,
        )
        Gauge(
            "rag_gateway_build_info",
            "Always 1; the labels say what is running.",
            ["version", "colour", "embed_model", "embed_provider"],
            registry=self.registry,
        ).labels(VERSION, settings.colour, settings.embed_model, settings.embed_provider).set(1)
        self._show_zeros()

    def _show_zeros(self) -> None:
        # A series that appears with its first failure hides that failure from rate().
        for reason in DEGRADATIONS:
            self.degraded.labels(reason)
        for op in DOCUMENT_OPS:
            self.documents.labels(op)
        for upstream in UPSTREAMS:
            self.upstream_latency.labels(upstream)
            self.breaker_open.labels(upstream).set(0)
            for kind in ERROR_KINDS:
                self.upstream_errors.labels(upstream, kind)
        for status in ("200", "503"):
            self._requests.labels(QUERY_ROUTE, "POST", status)

    def observe_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request; a query that was not refused as the client's mistake is timed."""
        self._requests.labels(route, method, str(status)).inc()
        if route == QUERY_ROUTE and method == "POST" and (status < 400 or status >= 500):
            self._query_latency.observe(seconds)
