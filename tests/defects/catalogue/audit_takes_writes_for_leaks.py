"""The audit does not ask which points are announced, and takes a write under way for a leak."""

MODULE = "scripts.leakage.ownership"
CATCHES = "isolation/audit::every_planted_leak_is_found_and_nothing_else"
REASON = "before anything is planted"


def patch(module):
    original = module.statements

    def hasty():
        found = original()
        found["points"] = found["points"].replace("WHEN l.line IS NOT NULL THEN 'pending'", "")
        return found

    module.statements = hasty
