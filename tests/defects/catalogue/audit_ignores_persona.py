"""The audit compares tenants and documents, and a wrong persona passes."""

MODULE = "scripts.leakage.auditing"
CATCHES = "isolation/audit::every_planted_leak_is_found_and_nothing_else"
REASON = "every planted leak is found"


def patch(module):
    original = module._strangers

    class Blind:
        def __init__(self, owners, page):
            self._owners, self._page = owners, page

        def up_to(self, last):
            known = self._owners.up_to(last)
            for point in self._page:
                owner, claim = known.get(point["id"]), module.claim_of(point)
                if owner is not None:
                    known[point["id"]] = (owner[0], claim[1], *owner[2:])
            return known

    module._strangers = lambda page, owners: original(page, Blind(owners, page))
