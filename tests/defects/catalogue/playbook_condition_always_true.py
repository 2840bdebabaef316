"""The fallback step calls for itself whatever the metrics say."""

MODULE = "chaos.playbooks.latency"
CATCHES = "playbook/latency::no_step_is_called_for_where_none_helps"
REASON = "embed-fallback is not called for"


def patch(module):
    from chaos.playbooks.base import Seen

    step = module.LATENCY.step("embed-fallback")
    object.__setattr__(step, "condition", lambda stack: Seen(True, {"calls": 1}))
