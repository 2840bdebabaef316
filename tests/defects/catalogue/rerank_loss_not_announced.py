"""An answer that could not be reranked does not say so."""

import dataclasses

MODULE = "refstack.gateway.retrieval"
CATCHES = "monitor/gpu-figures::a_lost_device_shows_and_questions_are_still_answered"
REASON = "told what the answer lacks"


def patch(module):
    original = module.Retrieval.answer

    async def silent(self, identity, request, deadline, *, ask_canary):
        found = await original(self, identity, request, deadline, ask_canary=ask_canary)
        left = [reason for reason in found.degraded if reason != "rerank_unavailable"]
        return dataclasses.replace(found, degraded=left)

    module.Retrieval.answer = silent
