"""A 503 of the gateway does not say when to come back, so clients do so at once, all together."""

MODULE = "refstack.common.problems"
CATCHES = "playbook/errors::a_part_that_comes_back_is_used_again[vectordb]"
REASON = "without vectordb every answer says so"


def patch(module):
    original = module.Problem.__init__

    def bare(self, status, detail, *, kind=None, headers=None, **extra):
        kept = {k: v for k, v in (headers or {}).items() if k != "Retry-After"}
        original(self, status, detail, kind=kind, headers=kept, **extra)

    module.Problem.__init__ = bare
