"""The gateway logs what it refused, with the address that was asked for."""

MODULE = "refstack.common.problems"
CATCHES = "logs/no-pii::what_requests_carry_never_reaches_the_log_store"
REASON = "did not write it in the first place"


def patch(module):
    from refstack.common.logs import get_logger

    original = module._respond

    def talkative(request, problem):
        get_logger().warning("refused", url=str(request.url), detail=problem.detail)
        return original(request, problem)

    module._respond = talkative
