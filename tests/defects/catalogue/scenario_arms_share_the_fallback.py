"""The fallback step is never taken back, so the control arm begins with the cure applied."""

MODULE = "chaos.playbooks.latency"
CATCHES = "playbook/latency::fallback_ends_slow_embedding"
REASON = "control: the fault breaks the objective"


def patch(module):
    object.__setattr__(module.LATENCY.step("embed-fallback"), "undo", lambda stack: None)
