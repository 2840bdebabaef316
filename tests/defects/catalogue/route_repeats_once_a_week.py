"""A page that nobody took on is told again after a week."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "oncall/escalation-order::nothing_makes_a_page_late_or_mute"
REASON = "come again in time .repeat_interval"


def patch(module):
    original = module.alertmanager_config
    module.alertmanager_config = lambda pager, scale: original(pager, scale).replace(
        f"repeat_interval: {module.scaled('4h', scale)}",
        f"repeat_interval: {module.scaled('1w', scale)}",
    )
