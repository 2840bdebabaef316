"""Who asks is kept in one place for the whole process while the question is embedded, so requests
that are under way at a time get mixed up."""

MODULE = "refstack.gateway.retrieval"
CATCHES = "isolation/query::a_request_cannot_widen_itself[header]"
REASON = "nothing foreign"


def patch(module):
    latest = []
    answer, candidates = module.Retrieval.answer, module.Retrieval._candidates

    async def noting(self, identity, *rest, **more):
        latest[:] = [identity]
        return await answer(self, identity, *rest, **more)

    async def of_the_latest(self, _identity, *rest):
        return await candidates(self, latest[0], *rest)

    module.Retrieval.answer, module.Retrieval._candidates = noting, of_the_latest
