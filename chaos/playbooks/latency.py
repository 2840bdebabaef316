"""Playbook for high latency (guide 9.1): ingest, vector store, embedding, in this order."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from chaos.playbooks.base import Playbook, Seen, Step, replaceable, restartable
from chaos.playbooks.looking import ask_prometheus, cpu_share, page_of, twice
from harness.core.errors import TargetError
from harness.drivers.base import Stack

GPU_BUSY = 90.0
"""Percent of GPU utilisation (guide 9.1)."""

WORKER_BUSY = 2.0
"""Requests inside the embedding worker at a time, on average: two threads embed, so beyond two a
query waits. Our reading of the guide's 90 % for a worker without a GPU."""

INGEST_SHARE = 0.5
"""Share of the embedded texts that documents make up before ingest counts as the cause: most."""

VECTORDB_BUSY = 0.8
"""Of one processor (guide 9.1: 80 % CPU, as ``docker stats`` shows it)."""

EMBED_BUDGET_S = 0.1
"""Share of the 250 ms objective that embedding may take; beyond it the step is called for. Our
reading: the guide names the step and no figure."""

MAX_WRITES = {"down": "1", "back": "64"}
"""``GATEWAY_MAX_WRITES``: scaled down, and as it is shipped."""


@dataclass(frozen=True)
class Embedding:
    """What went on in embedding during one window, from the gateway's and the worker's metrics.

    ``mean_s`` and ``calls`` are those of one provider as the gateway sees it; ``inside`` is the
    mean number of requests inside the worker (time spent there over time passed, Little's law);
    ``ingest_share`` is the share of texts that no query asked for; ``degraded`` counts the answers
    that the gateway had to give with the fallback's vectors.
    """

    mean_s: float
    calls: int
    inside: float
    ingest_share: float
    degraded: int

    @property
    def flooded(self) -> bool:
        """Whether ingest keeps the worker busier than it can be without queries waiting."""
        return self.inside > WORKER_BUSY and self.ingest_share > INGEST_SHARE


def embedding(stack: Stack, provider: str = "embed") -> Embedding:
    """Look at embedding for one window.

    Raises:
        TargetError: the gateway's metrics can't be read.
    """
    before, after = twice(lambda: _totals(stack, provider))
    grown = {name: max(0.0, value - before.get(name, value)) for name, value in after.items()}
    calls, texts = int(grown["calls"]), grown.get("texts", 0.0)
    return Embedding(
        grown["seconds"] / calls if calls else 0.0,
        calls,
        grown.get("inside", 0.0) / grown["clock"],
        max(0.0, 1 - grown["queries"] / texts) if texts else 0.0,
        int(grown["degraded"]),
    )


def _totals(stack: Stack, provider: str) -> dict[str, float]:
    clock, gateway = time.monotonic(), page_of(stack, "gateway")
    found = {
        "clock": clock,
        "seconds": gateway.total("rag_gateway_upstream_latency_seconds_sum", upstream=provider),
        "calls": gateway.total("rag_gateway_upstream_latency_seconds_count", upstream=provider),
        "queries": gateway.total("rag_gateway_query_latency_seconds_count"),
        "degraded": gateway.total("rag_gateway_degraded_total", reason="embed_fallback"),
    }
    with contextlib.suppress(TargetError):
        # A worker that does not answer says nothing of itself; the gateway says that it is slow.
        worker = page_of(stack, "embed")
        found["inside"] = worker.total("rag_embed_latency_seconds_sum")
        found["texts"] = worker.total("rag_embed_texts_total")
    return found


def gpu_percent(stack: Stack) -> float | None:
    """Return the utilisation (percent) of the busiest GPU, ``None`` where Prometheus knows none
    (or one whose figures are made up)."""
    query = "max(DCGM_FI_DEV_GPU_UTIL unless on (instance) rag_gpu_stand_in == 1)"
    try:
        values = ask_prometheus(stack, query)
    except TargetError:
        return None
    return max(values, default=None)


def _ingest_saturates(stack: Stack) -> Seen:
    seen, gpu = embedding(stack), gpu_percent(stack)
    # Either: there may be a GPU that is not the one, or a worker that does without.
    busy = seen.inside > WORKER_BUSY or (gpu is not None and gpu > GPU_BUSY)
    detail: dict[str, Any] = {
        "embed_requests_inside": round(seen.inside, 2),
        "ingest_share_of_texts": round(seen.ingest_share, 3),
    }
    if gpu is not None:
        detail["gpu_percent"] = gpu
    return Seen(busy and seen.ingest_share > INGEST_SHARE, detail)


def _ingest_is_down(stack: Stack) -> Seen:
    seen = embedding(stack)
    return Seen(seen.inside <= WORKER_BUSY, {"embed_requests_inside": round(seen.inside, 2)})


def _writes(stack: Stack, how: str) -> None:
    replaceable(stack).replace("gateway", {"GATEWAY_MAX_WRITES": MAX_WRITES[how]})


def _vectordb_is_busy(stack: Stack) -> Seen:
    with ThreadPoolExecutor(1) as beside:
        embeds = beside.submit(embedding, stack)
        share = cpu_share(stack, "vectordb")
        flooded = embeds.result().flooded
    return Seen(
        # A flood of documents keeps it busy too, and comes back after a restart.
        share > VECTORDB_BUSY and not flooded,
        {"vectordb_cpu": round(share, 3), "limit": VECTORDB_BUSY, "ingest_floods_it": flooded},
    )


def _vectordb_is_calm(stack: Stack) -> Seen:
    share = cpu_share(stack, "vectordb")
    return Seen(share <= VECTORDB_BUSY, {"vectordb_cpu": round(share, 3), "limit": VECTORDB_BUSY})


def _embedding_is_slow(stack: Stack) -> Seen:
    seen = embedding(stack)
    slow = seen.calls > 0 and seen.mean_s > EMBED_BUDGET_S
    detail = {
        "embed_mean_s": round(seen.mean_s, 4),
        "calls": seen.calls,
        "budget_s": EMBED_BUDGET_S,
        "answers_degraded": seen.degraded,
        "ingest_floods_it": seen.flooded,
    }
    # Under a flood of documents another provider would only be flooded too.
    return Seen((slow or seen.degraded > 0) and not seen.flooded, detail)


def _fallback_embeds(stack: Stack) -> Seen:
    seen = embedding(stack, "fallback")
    return Seen(
        seen.calls > 0 and seen.mean_s <= EMBED_BUDGET_S,
        {
            "fallback_mean_s": round(seen.mean_s, 4),
            "calls": seen.calls,
            "budget_s": EMBED_BUDGET_S,
        },
    )


def _provider(stack: Stack, name: str) -> None:
    replaceable(stack).replace("gateway", {"GATEWAY_EMBED_PROVIDER": name})


LATENCY = Playbook(
    slug="latency",
    title="High latency: p95 above 250 ms",
    section="9.1",
    anchor="latency",
    starts_when="The alert RAG_P95_Latency_High pages: more than 5 of 100 queries take longer than "
    "250 ms.",
    alerts=("RAG_P95_Latency_High",),
    steps=(
        Step(
            slug="ingest-down",
            sentence="If the GPU is more than 90 % busy (without a GPU: if more than two requests "
            "at a time are inside the embedding worker) and most of the texts it embeds are "
            "documents, scale ingest down: queries wait behind it.",
            look="Dashboard gpu-util, or `nvidia-smi --query-gpu=utilization.gpu --format=csv`. "
            "Without a GPU: `curl -s http://EMBED/metrics | grep -E "
            "'rag_embed_(latency_seconds_sum|texts_total)'` twice, ten seconds apart; the growth "
            "of the sum, divided by ten, is the number of requests inside, and the growth of the "
            "texts is to be held against that of `curl -s http://GATEWAY/metrics | grep "
            "rag_gateway_query_latency_seconds_count`.",
            command="`docker compose stop ingest` where a worker of its own loads documents. Where "
            "loaders write through the gateway: `GATEWAY_MAX_WRITES=1 docker compose up -d "
            "rag-gateway` as the other colour, then switch nginx once its /readyz says 200. Writes "
            "beyond the first are then told 503 with Retry-After, and nothing acknowledged is "
            "lost.",
            expect="Within seconds fewer than two requests are inside the worker, and p95 "
            "follows. Loaders see 503 and come again.",
            way_back="`docker compose start ingest`, or the same with GATEWAY_MAX_WRITES=64, once "
            "the rush is over; watch p95 while you do.",
            condition=_ingest_saturates,
            action=lambda stack: _writes(stack, "down"),
            effect=_ingest_is_down,
            undo=lambda stack: _writes(stack, "back"),
        ),
        Step(
            slug="vectordb-restart",
            sentence="If the vector store uses more than 80 % of a processor, and it is not ingest "
            "that keeps it busy (step 1), restart it: what keeps it busy dies with its "
            "connections.",
            look="`docker stats --no-stream qdrant`, column CPU %.",
            command="`docker restart qdrant`. Queries fail for the second or two that it takes; "
            "what was acknowledged is in its write-ahead log.",
            expect="Its CPU falls below 80 % as soon as it is back, and p95 follows. If it "
            "climbs at once again, whoever asks is still there: find the client in its access log "
            "before you restart it a second time.",
            way_back="None is needed.",
            condition=_vectordb_is_busy,
            action=lambda stack: restartable(stack, "vectordb").restart("vectordb"),
            effect=_vectordb_is_calm,
            ends_cause=True,
        ),
        Step(
            slug="embed-fallback",
            sentence="If the gateway spends more than 100 ms a call in embedding, or already "
            "answers with the fallback's vectors because the worker fails, and ingest is not the "
            "reason, roll it over to the OpenAI-compatible fallback.",
            look="`curl -s http://GATEWAY/metrics | grep -E "
            "'rag_gateway_upstream_latency_seconds_(sum|count)|rag_gateway_degraded_total'`, "
            "twice, a few seconds apart: how much the sum grew over how much the count grew, for "
            'upstream="embed", is the mean time in embedding; reason="embed_fallback" must not '
            "grow.",
            command="`GATEWAY_EMBED_PROVIDER=fallback docker compose up -d rag-gateway`, as the "
            "other colour; switch nginx once its /readyz says 200.",
            expect='Within seconds the same two lines for upstream="fallback" grow, at less than '
            "100 ms a call, and p95 follows. Each answer says `degraded: [embed_fallback]`, and "
            "the provider bills you.",
            way_back="The same with GATEWAY_EMBED_PROVIDER=local, once the worker answers in time.",
            condition=_embedding_is_slow,
            action=lambda stack: _provider(stack, "fallback"),
            effect=_fallback_embeds,
            undo=lambda stack: _provider(stack, "local"),
        ),
    ),
)
