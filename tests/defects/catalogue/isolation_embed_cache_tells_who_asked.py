"""Embedded questions are kept for all tenants, and a header says whether one was there already:
who asks learns what others have asked."""

import json

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/side-channels::a_question_of_others_leaves_no_trace"
REASON = "asked before"


def patch(module):
    known = set()
    original = module.Api._query

    async def telling(self, request, identity, deadline):
        body = await request.body()
        response = await original(self, request, identity, deadline)
        question = json.loads(body)["query"]
        response.headers["X-Embed-Cache"] = "hit" if question in known else "miss"
        known.add(question)
        return response

    module.Api._query = telling
