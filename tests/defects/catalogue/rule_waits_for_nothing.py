"""The latency rule lost its waiting time, so a blip of one window pages."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "monitor/latency-rule::pages_after_ten_minutes_above_the_objective"
REASON = "expression, waiting time"


def patch(module):
    original = module.shipped_rules

    def hasty():
        texts = original()
        texts["latency.yml"] = texts["latency.yml"].replace("        for: 10m\n", "")
        return texts

    module.shipped_rules = hasty
