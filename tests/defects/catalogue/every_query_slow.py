"""Each query waits 300 ms for nothing."""

import asyncio

MODULE = "refstack.gateway.retrieval"
CATCHES = "slo/latency::p95_stays_within_the_objective"
REASON = "latency p95"


def patch(module):
    original = module.Retrieval.answer

    async def slow(self, identity, request, deadline, *, ask_canary):
        await asyncio.sleep(0.3)
        return await original(self, identity, request, deadline, ask_canary=ask_canary)

    module.Retrieval.answer = slow
