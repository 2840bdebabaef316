"""Playbook for high latency (guide 9.1): when embedding is what is slow, embed elsewhere."""

from __future__ import annotations

from chaos.playbooks.base import Playbook, Seen, Step, replaceable
from chaos.playbooks.looking import upstream_seconds
from harness.drivers.base import Stack

EMBED_BUDGET_S = 0.1
"""Share of the 250 ms objective that embedding may take; beyond it the step is called for. Our
reading: the guide names the step and no figure."""


def _embedding_is_slow(stack: Stack) -> Seen:
    seconds, calls = upstream_seconds(stack, "embed")
    return Seen(
        calls > 0 and seconds > EMBED_BUDGET_S,
        {"embed_mean_s": round(seconds, 4), "calls": calls, "budget_s": EMBED_BUDGET_S},
    )


def _fallback_embeds(stack: Stack) -> Seen:
    seconds, calls = upstream_seconds(stack, "fallback")
    return Seen(
        calls > 0 and seconds <= EMBED_BUDGET_S,
        {"fallback_mean_s": round(seconds, 4), "calls": calls, "budget_s": EMBED_BUDGET_S},
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
            expect='Within seconds the same two lines for upstream="fallback" grow, at less than '
            "100 ms a call, and p95 follows.",
            way_back="The same with GATEWAY_EMBED_PROVIDER=local, once the worker answers in time.",
            condition=_embedding_is_slow,
            action=_use_fallback,
            effect=_fallback_embeds,
            undo=_use_local,
        ),
    ),
)
