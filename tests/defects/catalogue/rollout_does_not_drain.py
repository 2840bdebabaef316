"""The roll-out ends the old gateway right after the switch, whatever is still sent to it."""

MODULE = "scripts.dayops.rollout_gateway"
CATCHES = "rollout/blue-green::a_new_gateway_goes_live_with_no_failed_request"
REASON = "no request failed|the old one drained before its end"


def patch(module):
    module.Rollout._drain = lambda self, colour: None
