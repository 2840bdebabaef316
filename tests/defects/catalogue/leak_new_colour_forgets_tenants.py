"""The gateway that a rollout brings up keeps answers by the question alone."""

import os

MODULE = "refstack.gateway.retrieval"
CATCHES = "isolation/under-fault::a_rollout_leaks_nothing"
REASON = "nothing foreign"


def patch(module):
    if os.environ.get("GATEWAY_COLOUR") != "green":
        return
    original, kept = module.Retrieval.answer, {}

    async def answer(self, identity, request, deadline, *, ask_canary):
        if request.query not in kept:
            kept[request.query] = await original(
                self, identity, request, deadline, ask_canary=ask_canary
            )
        return kept[request.query]

    module.Retrieval.answer = answer
