"""Scores are weighed by how often the question's words occur in the documents of all tenants."""

from collections import Counter

MODULE = ["refstack.gateway.ingest", "refstack.gateway.retrieval"]
CATCHES = "isolation/side-channels::what_others_write_moves_nothing"
REASON = "whatever others hold"
COUNTS = Counter()


def patch(module):
    if module.__name__.endswith("ingest"):
        write = module.Ingest.write

        async def counting(self, identity, requests, deadline):
            for request in requests:
                COUNTS.update(set(request.text.lower().split()))
            return await write(self, identity, requests, deadline)

        module.Ingest.write = counting
        return
    answer = module.Retrieval.answer

    async def weighed(self, identity, request, deadline, *, ask_canary):
        found = await answer(self, identity, request, deadline, ask_canary=ask_canary)
        seen = sum(COUNTS[word] for word in request.query.lower().split())
        for each in found.results:
            object.__setattr__(each, "score", each.score / (1 + seen))
        return found

    module.Retrieval.answer = weighed
