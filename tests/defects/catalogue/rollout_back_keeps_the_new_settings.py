"""The roll-back brings the former colour back with the settings that were to be got rid of."""

MODULE = "scripts.dayops.rollout_gateway"
CATCHES = "rollout/rollback::the_roll_back_brings_the_old_gateway_back_with_no_failed_request"
REASON = "former settings"


def patch(module):
    module.Rollout.former = lambda self: self.memory.release
