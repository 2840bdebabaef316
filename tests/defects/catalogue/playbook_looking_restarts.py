"""Looking at the vector store's processor restarts it, whatever is seen."""

MODULE = "chaos.playbooks.latency"
CATCHES = "playbook/latency::no_step_is_called_for_where_none_helps"
REASON = "restarted and replaced nothing"


def patch(module):
    step = module.LATENCY.step("vectordb-restart")
    original = step.condition

    def eager(stack):
        seen = original(stack)
        stack.restart("vectordb")
        return seen

    object.__setattr__(step, "condition", eager)
