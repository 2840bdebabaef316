"""The audit passes over points whose payload says nothing."""

MODULE = "scripts.leakage.auditing"
CATCHES = "isolation/audit::every_planted_leak_is_found_and_nothing_else"
REASON = "every planted leak is found"


def patch(module):
    original = module._strangers

    def polite(page, owners):
        return [point for point in original(page, owners) if point.get("payload")]

    module._strangers = polite
