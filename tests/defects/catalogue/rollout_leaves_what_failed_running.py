"""A gateway that failed its health check is left running, where the next switch would find it."""

MODULE = "scripts.dayops.rollout_gateway"
CATCHES = "rollout/health-gate::a_gateway_that_answers_no_query_gets_no_request"
REASON = "the new one is gone"


def patch(module):
    def forget_only(self):
        self.memory.forget()
        self.keeper.save(self.memory)

    module.Rollout._discard = forget_only
