"""The roll-out takes a gateway's word that it is ready, and asks it no query before the switch."""

MODULE = "scripts.dayops.rollout_gateway"
CATCHES = "rollout/health-gate::a_gateway_that_answers_no_query_gets_no_request"
REASON = "no request failed"


def patch(module):
    module.PROBES = 0
