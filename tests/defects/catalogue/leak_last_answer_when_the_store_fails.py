"""When the vector store fails, a query is answered with the last answer there was, anybody's."""

MODULE = "refstack.gateway.retrieval"
CATCHES = "isolation/under-fault::a_kill_leaks_nothing[vectordb]"
REASON = "nothing foreign"


def patch(module):
    original = module.Retrieval.answer
    last = []

    async def resilient(self, identity, request, deadline, *, ask_canary):
        try:
            found = await original(self, identity, request, deadline, ask_canary=ask_canary)
        except module.UpstreamError:
            if not last:
                raise
            return last[0]
        last[:] = [found]
        return found

    module.Retrieval.answer = resilient
