"""slo/latency and slo/availability: the objectives under the reference load."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fixtures.load import ReferenceLoad
from harness import conformance, needs
from harness.checks.quantiles import percentile_interval, percentile_verdict
from harness.checks.result import CheckResult, Interval
from harness.checks.sequential import sequential
from harness.checks.shares import share_verdict
from harness.core.evidence import Evidence
from harness.core.guide import load_objectives


@conformance("slo/latency", since="0.1")
@needs("read", "write", roles=["edge"])
@pytest.mark.timing
def test_p95_stays_within_the_objective(reference_load: ReferenceLoad, evidence: Evidence) -> None:
    """Under the reference load of real questions, query p95 MUST be at most 250 ms, counted from
    the moment each request was due."""
    limit = load_objectives()["query-latency"].threshold_s
    assert limit is not None
    result = sequential(
        lambda number: reference_load.round(number).samples.answered_latency,
        lambda seen, level: percentile_verdict(seen, 0.95, limit, level, what="latency p95"),
        rounds=reference_load.rounds,
    )
    evidence.samples("query latency", reference_load.rows(), limit=limit)
    latency = np.concatenate([load.samples.answered_latency for load in reference_load.seen])
    for name, p in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        interval, _ = percentile_interval(latency, p)
        report(evidence, f"query latency {name}", interval, "s", limit if name == "p95" else None)
    evidence.check(result)


@conformance("slo/availability", since="0.1")
@needs("read", "write", roles=["edge"])
@pytest.mark.timing
def test_failures_stay_within_the_error_budget(
    reference_load: ReferenceLoad, evidence: Evidence
) -> None:
    """Under the reference load, requests without a successful answer MUST stay within the error
    budget, with confidence and not only by count."""
    budget = 1 - load_objectives()["availability"].target

    def failed(number: int) -> NDArray[np.float64]:
        return (~reference_load.round(number).samples.ok).astype(np.float64)

    def judge(seen: NDArray[np.float64], level: float) -> CheckResult:
        return share_verdict(
            int(seen.sum()), len(seen), budget, "max", level, what="share of failed requests"
        )

    result = sequential(failed, judge, rounds=reference_load.rounds)
    assert result.interval is not None
    report(evidence, "share of failed requests", result.interval, "share", budget)
    degraded = sum(
        1 for load in reference_load.seen for each in load.samples.extract if each.get("degraded")
    )
    evidence.measure("degraded answers", degraded, "answers", n=result.interval.n)
    evidence.check(result)


def report(
    evidence: Evidence, name: str, interval: Interval, unit: str, limit: float | None
) -> None:
    """Record a number with its interval where the interval is bounded."""
    bounded = bool(np.isfinite(interval.high) and np.isfinite(interval.low))
    evidence.measure(
        name,
        interval.estimate,
        unit,
        n=interval.n,
        interval=[interval.low, interval.high] if bounded else None,
        level=interval.level,
        limit=limit,
        method=interval.method,
    )
