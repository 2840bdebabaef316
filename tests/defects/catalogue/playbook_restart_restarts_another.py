"""The step that restarts the vector store restarts the reranker instead."""

MODULE = "chaos.playbooks.latency"
CATCHES = "playbook/latency::restart_step_relieves_busy_vector_store"
REASON = "vectordb-restart has the effect"


def patch(module):
    step = module.LATENCY.step("vectordb-restart")
    object.__setattr__(step, "action", lambda stack: stack.restart("rerank"))
