"""The gateway keeps the answers to questions, and neither a new text nor a deletion ends them."""

MODULE = "refstack.gateway.retrieval"
CATCHES = "isolation/query::no_history_of_requests_shows_what_the_model_hides"
REASON = "the answer (holds|lacks)"


def patch(module):
    original, kept = module.Retrieval.answer, {}

    async def answer(self, identity, request, deadline, *, ask_canary):
        key = (identity.tenant_id, request.persona, request.query, request.top_k, request.rerank)
        if key not in kept:
            kept[key] = await original(self, identity, request, deadline, ask_canary=ask_canary)
        return kept[key]

    module.Retrieval.answer = answer
