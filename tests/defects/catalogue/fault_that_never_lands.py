"""The latency fault is switched on with no latency at all."""

MODULE = "chaos.faults.latency"
CATCHES = "playbook/latency::fallback_step_relieves_slow_embedding"
REASON = "never landed"
VERDICT = "error"


def patch(module):
    module.Latency.attributes = property(lambda self: {"latency": 0, "jitter": 0})
