"""Shortening the windows for a drill also divides a threshold, so the drill tests another rule."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "monitor/alert-delivered::prometheus_runs_the_shipped_rules"
REASON = "as it|each is what was shipped"


def patch(module):
    original = module.scale_rules
    module.scale_rules = lambda text, scale: original(text, scale).replace("> 0.05", "> 0.005")
