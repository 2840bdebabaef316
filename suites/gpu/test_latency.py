"""slo/latency with the model that only a GPU makes fast enough."""

from __future__ import annotations

import pytest

from fixtures.corpus import Corpus
from fixtures.gpu import Nvml, device_of, on_cuda
from fixtures.load import RATE, SECONDS, question_plan, sample_rows
from harness import conformance, needs
from harness.checks.quantiles import percentile_verdict
from harness.core.errors import HarnessError
from harness.core.evidence import Evidence
from harness.core.guide import load_objectives
from harness.core.run import Run
from harness.drivers.base import Stack
from harness.drivers.gateway_http import api_of
from harness.load.runner import run_load

pytestmark = [pytest.mark.gpu, pytest.mark.timing]

WARM_S = 10.0


@conformance("slo/latency", since="0.2", profiles=("gpu",))
@needs("read", "write", roles=["edge", "rerank"])
def test_p95_holds_with_the_contextual_reranker_on_the_device(
    stack: Stack,
    nvml: Nvml,
    corpus: Corpus,
    tokens: dict[str, str],
    run: Run,
    evidence: Evidence,
) -> None:
    """With the contextual reranker on the device, query p95 MUST be at most 250 ms under the
    reference load, counted from the moment each request was due."""
    limit = load_objectives()["query-latency"].threshold_s
    assert limit is not None and nvml.read()
    url, api = stack.endpoint("edge").url, api_of(stack)
    with on_cuda(stack, "rerank", "minilm-maxsim"):
        evidence.require(
            "the reranker says that it runs on CUDA",
            device_of(stack, "rerank") == "cuda",
            expected="cuda",
            actual=device_of(stack, "rerank"),
        )
        for name, seconds in (("warm", WARM_S), ("measured", SECONDS)):
            plan = question_plan(corpus, url, seed=run.seed, rate=RATE, seconds=seconds, api=api)
            place = run.directory / "load" / f"gpu-{name}"
            result = run_load(plan, place, secrets=tokens)
    if result.void_reason is not None:
        raise HarnessError("The load could not be made.", actual=result.void_reason)
    degraded = sum(1 for each in result.samples.extract if each.get("degraded"))
    evidence.require(
        "every answer was reranked",
        degraded == 0,
        expected="none degraded",
        actual=f"{degraded} of {len(result.samples)}",
    )
    evidence.samples("query latency", sample_rows(result.samples, result.began_utc), limit=limit)
    evidence.check(
        percentile_verdict(result.samples.answered_latency, 0.95, limit, what="latency p95")
    )
