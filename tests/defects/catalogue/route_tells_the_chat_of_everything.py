"""A route before all others tells the chat of everything, the dead-man's switch too: soon nobody
reads it any more."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "monitor/alert-delivered::the_dead_mans_switch_keeps_beating"
REASON = "nobody else is told.*chat"


def patch(module):
    original = module.alertmanager_config
    module.alertmanager_config = lambda pager, scale: original(pager, scale).replace(
        "  routes:\n", "  routes:\n    - receiver: chat\n      continue: true\n", 1
    )
