"""Nobody is told when an alert is over."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "oncall/escalation-order::nothing_makes_a_page_late_or_mute"
REASON = "told of the end too"


def patch(module):
    original = module.alertmanager_config
    module.alertmanager_config = lambda pager, scale: original(pager, scale).replace(
        "send_resolved: true", "send_resolved: false"
    )
