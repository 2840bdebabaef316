"""A call that fails is tried again and again, with no pause, until its time is up."""

MODULE = "refstack.gateway.upstream"
CATCHES = "playbook/errors::a_failing_part_is_not_stormed"
REASON = "one query tries a failing part a few times"


def patch(module):
    module.ATTEMPTS = 1_000
    module.PAUSE_S = 0.0
