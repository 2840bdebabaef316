"""The latency rule asks for ten times the latency of the objective, so nobody is called."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "playbook/latency::fallback_ends_slow_embedding"
REASON = "alert is delivered"


def patch(module):
    original = module.scale_rules
    module.scale_rules = lambda text, scale: original(text, scale).replace("0.25", "2.5")
