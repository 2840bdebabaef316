"""The label that sends lost data to the datacentre is spelt with an underscore in the route."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "oncall/escalation-order::chat_then_phone_unless_acknowledged"
REASON = "datacentre at once"


def patch(module):
    original = module.alertmanager_config
    module.alertmanager_config = lambda pager, scale: original(pager, scale).replace(
        'impact="data-loss"', 'impact="data_loss"'
    )
