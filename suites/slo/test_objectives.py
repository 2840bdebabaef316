"""slo/latency and slo/availability: the objectives under the reference load."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures.load import KeptLoad, sample_rows
from harness import conformance, needs
from harness.checks.quantiles import percentile_interval
from harness.checks.service import failure_verdict, latency_verdict
from harness.core.evidence import Evidence
from harness.core.guide import load_objectives


@conformance("slo/latency", since="0.1")
@needs("read", "write", roles=["edge"])
@pytest.mark.timing
def test_p95_stays_within_the_objective(reference_load: KeptLoad, evidence: Evidence) -> None:
    """Under the reference load of real questions, query p95 MUST be at most 250 ms, counted from
    the moment each request was due."""
    limit = load_objectives()["query-latency"].threshold_s
    assert limit is not None
    evidence.samples(
        "query latency",
        sample_rows(reference_load.samples, reference_load.began_utc),
        limit=limit,
    )
    latency = reference_load.samples.answered_latency
    for name, p in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        interval, _ = percentile_interval(latency, p)
        evidence.measure(
            f"query latency {name}",
            interval.estimate,
            "s",
            n=interval.n,
            interval=[interval.low, interval.high] if np.isfinite(interval.high) else None,
            level=interval.level,
            limit=limit if name == "p95" else None,
            method=interval.method,
        )
    evidence.check(latency_verdict(reference_load, 0.95, limit))


@conformance("slo/availability", since="0.1")
@needs("read", "write", roles=["edge"])
@pytest.mark.timing
def test_failures_stay_within_the_error_budget(
    reference_load: KeptLoad, evidence: Evidence
) -> None:
    """Under the reference load, requests without a successful answer MUST stay within the error
    budget, with confidence and not only by count."""
    budget = 1 - load_objectives()["availability"].target
    result = failure_verdict(reference_load, budget)
    if result.interval is not None:
        evidence.measure(
            "share of failed requests",
            result.interval.estimate,
            "share",
            n=result.interval.n,
            interval=[result.interval.low, result.interval.high],
            level=result.interval.level,
            limit=budget,
            method=result.interval.method,
        )
    evidence.check(result)
