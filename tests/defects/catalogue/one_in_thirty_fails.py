"""One query in thirty ends in a server error."""

import itertools

MODULE = "refstack.gateway.retrieval"
CATCHES = "slo/availability::failures_stay_within_the_error_budget"
REASON = "failed requests"


def patch(module):
    original = module.Retrieval.answer
    numbers = itertools.count(1)

    async def flaky(self, identity, request, deadline, *, ask_canary):
        if next(numbers) % 30 == 0:
            raise RuntimeError("one in thirty")
        return await original(self, identity, request, deadline, ask_canary=ask_canary)

    module.Retrieval.answer = flaky
