"""Playbook for high latency (guide 9.1): when embedding is what is slow, embed elsewhere."""

from __future__ import annotations

import time

import httpx

from chaos.playbooks.base import Playbook, Seen, Step, replaceable
from harness.core.errors import TargetError
from harness.drivers.base import Stack

EMBED_BUDGET_S = 0.1
"""Share of the 250 ms objective that embedding may take; beyond it the step is called for. Our
reading: the guide names the step and no figure."""

WINDOW_S = 3.0


def embedding_seconds(stack: Stack, window_s: float = WINDOW_S) -> tuple[float, int]:
    """Return the gateway's mean time in the embedding upstream over a window, and its calls.

    The gateway's own metrics are read directly, so that the step does not depend on Prometheus.
    """
    began = _embed_totals(stack)
    time.sleep(window_s)
    ended = _embed_totals(stack)
    calls = int(ended[1] - began[1])
    return ((ended[0] - began[0]) / calls if calls else 0.0), calls


def _embed_totals(stack: Stack) -> tuple[float, float]:
    url = stack.endpoint("gateway").url + "/metrics"
    try:
        text = httpx.get(url, timeout=5, trust_env=False).text
    except httpx.HTTPError as error:
        raise TargetError("The gateway's metrics can't be read.", actual=str(error)) from error
    total = count = 0.0
    for line in text.splitlines():
        if line.startswith("rag_gateway_upstream_latency_seconds") and 'upstream="embed"' in line:
            name, _, value = line.rpartition(" ")
            if name.startswith("rag_gateway_upstream_latency_seconds_sum"):
                total += float(value)
            elif name.startswith("rag_gateway_upstream_latency_seconds_count"):
                count += float(value)
    return total, count


def _embedding_is_slow(stack: Stack) -> Seen:
    seconds, calls = embedding_seconds(stack)
    return Seen(
        calls > 0 and seconds > EMBED_BUDGET_S,
        {"embed_mean_s": round(seconds, 4), "calls": calls, "budget_s": EMBED_BUDGET_S},
    )


def _embedding_is_fast(stack: Stack) -> Seen:
    seconds, calls = embedding_seconds(stack)
    return Seen(
        calls > 0 and seconds <= EMBED_BUDGET_S,
        {"embed_mean_s": round(seconds, 4), "calls": calls, "budget_s": EMBED_BUDGET_S},
    )


def _use_fallback(stack: Stack) -> None:
    replaceable(stack).replace("gateway", {"GATEWAY_EMBED_PROVIDER": "fallback"})


def _use_local(stack: Stack) -> None:
    replaceable(stack).replace("gateway", {"GATEWAY_EMBED_PROVIDER": "local"})


LATENCY = Playbook(
    slug="latency",
    title="High latency: p95 above 250 ms",
    section="9.1",
    anchor="latency",
    starts_when="The alert RAG_P95_Latency_High pages: 95 of 100 queries take longer than 250 ms.",
    alerts=("RAG_P95_Latency_High",),
    steps=(
        Step(
            slug="embed-fallback",
            sentence="If the gateway spends more than 100 ms a query in embedding, roll it over to "
            "the OpenAI-compatible fallback (GATEWAY_EMBED_PROVIDER=fallback).",
            look="`curl -s http://GATEWAY/metrics | grep rag_gateway_upstream_latency_seconds_`, "
            "twice, a few seconds apart: how much the sum grew over how much the count grew, for "
            'upstream="embed", is the mean time in embedding.',
            command="`GATEWAY_EMBED_PROVIDER=fallback docker compose up -d rag-gateway`, as the "
            "other colour; switch nginx once its /readyz says 200.",
            expect="The mean time in embedding falls below 100 ms within seconds, and p95 follows.",
            way_back="The same with GATEWAY_EMBED_PROVIDER=local, once the worker answers in time.",
            condition=_embedding_is_slow,
            action=_use_fallback,
            effect=_embedding_is_fast,
            undo=_use_local,
        ),
    ),
)
