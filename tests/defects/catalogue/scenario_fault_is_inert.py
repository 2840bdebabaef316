"""The batch job that shall keep the vector store busy asks for one cheap search at a time."""

MODULE = "chaos.faults.heavy_queries"
CATCHES = "playbook/latency::restart_step_relieves_busy_vector_store"
REASON = "never landed"
VERDICT = "error"


def patch(module):
    original = module.companion.start

    def idle(kind, run_id, settings):
        return original(kind, run_id, {**settings, "seconds": 0.002})

    module.companion.start = idle
