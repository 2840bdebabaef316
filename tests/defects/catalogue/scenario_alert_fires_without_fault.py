"""The latency rule asks for a fiftieth of the latency of the objective, so it always fires."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "playbook/latency::fallback_ends_slow_embedding"
REASON = "alert is silent before the fault"


def patch(module):
    original = module.scale_rules
    module.scale_rules = lambda text, scale: original(text, scale).replace("> 0.25", "> 0.005")
