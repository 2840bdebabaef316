"""A circuit breaker that has opened stays open: a part that came back is never used again."""

MODULE = "refstack.gateway.breaker"
CATCHES = "playbook/errors::a_part_that_comes_back_is_used_again[rerank]"
REASON = "is used again within"


def patch(module):
    original = module.Breaker.allows
    module.Breaker.allows = lambda self: self._opened_at is None and original(self)
