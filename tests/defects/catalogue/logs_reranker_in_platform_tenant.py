"""The reranker's log is shipped with those of the platform."""

MODULE = "refstack.logship.routes"
CATCHES = "logs/routing::gateway_and_reranker_carry_app_rag"
REASON = "line of the rerank"


def patch(module):
    original = module.destination

    def changed(process):
        if process == "rerank":
            return module._to(module.PLATFORM, "rerank", "rerank", process)
        return original(process)

    module.destination = changed
