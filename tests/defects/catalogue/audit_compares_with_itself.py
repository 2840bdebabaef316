"""The audit takes the owner of each point from the point itself."""

MODULE = "scripts.leakage.auditing"
CATCHES = "isolation/audit::every_planted_leak_is_found_and_nothing_else"
REASON = "exit code tells a leak"


def patch(module):
    class Agreeable:
        def __init__(self, page):
            self._known = {point["id"]: module.claim_of(point) for point in page}

        def up_to(self, last):
            return self._known

    original = module._strangers
    module._strangers = lambda page, owners: [
        point for point in original(page, Agreeable(page)) if isinstance(point["id"], int)
    ]
