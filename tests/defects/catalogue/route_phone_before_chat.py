"""Phones do not wait for an acknowledgement: they ring together with the chat."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "oncall/escalation-order::chat_then_phone_unless_acknowledged"
REASON = "five minutes later"


def patch(module):
    original = module.alertmanager_config

    def at_once(pager, scale):
        wait = module.scaled("5m", scale)
        return original(pager, scale).replace(f"      group_wait: {wait}\n", "")

    module.alertmanager_config = at_once
