"""The playbook's step says that it switched to the fallback and leaves all as it was."""

MODULE = "chaos.playbooks.latency"
CATCHES = "playbook/latency::fallback_step_relieves_slow_embedding"
REASON = "embed-fallback has the effect"


def patch(module):
    step = module.LATENCY.step("embed-fallback")
    object.__setattr__(step, "action", lambda stack: None)
    object.__setattr__(step, "undo", lambda stack: None)
