"""The audit asks only whether a chunk knows the id of a point, and not what the payload says."""

MODULE = "scripts.leakage.auditing"
CATCHES = "isolation/audit::every_planted_leak_is_found_and_nothing_else"
REASON = "every planted leak is found"


def patch(module):
    def careless(page, owners):
        last = page[-1]["id"]
        known = owners.up_to(last) if isinstance(last, str) else {}
        return [point for point in page if point["id"] not in known]

    module._strangers = careless
