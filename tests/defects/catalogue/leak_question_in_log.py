"""The gateway logs the question of every query."""

MODULE = "refstack.gateway.retrieval"
CATCHES = "isolation/side-channels::logs_and_metrics_tell_no_content"
REASON = "no content in the logs"


def patch(module):
    original = module.Retrieval.answer

    async def chatty(self, identity, request, deadline, *, ask_canary):
        module.get_logger().info("query", question=request.query)
        return await original(self, identity, request, deadline, ask_canary=ask_canary)

    module.Retrieval.answer = chatty
