"""What the canary's model answers is kept by the question, to be compared later, and handed to
whoever asks it next."""

MODULE = "refstack.gateway.retrieval"
CATCHES = "isolation/under-fault::a_canary_leaks_nothing"
REASON = "nothing foreign|own documents"


def patch(module):
    original, kept = module.Retrieval.answer, {}

    async def compared(self, identity, request, deadline, *, ask_canary):
        found = await original(self, identity, request, deadline, ask_canary=ask_canary)
        return kept.setdefault((request.query, request.top_k), found) if found.canary else found

    module.Retrieval.answer = compared
