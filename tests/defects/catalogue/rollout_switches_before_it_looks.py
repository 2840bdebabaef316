"""The roll-out points nginx at the new gateway as soon as it is started, and looks afterwards."""

MODULE = "scripts.dayops.rollout_gateway"
CATCHES = "rollout/health-gate::a_gateway_that_does_not_start_gets_no_request"
REASON = "no request failed"


def patch(module):
    original = module.Rollout._gate

    def late(self):
        self._command("GATEWAY_SWITCH_CMD", self.new)
        try:
            original(self)
        except BaseException:
            self._command("GATEWAY_SWITCH_CMD", self.old)
            raise

    module.Rollout._gate = late
