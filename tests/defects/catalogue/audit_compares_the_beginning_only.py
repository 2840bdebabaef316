"""Points beyond the first ten thousand of a collection are counted and no longer compared."""

MODULE = "scripts.leakage.auditing"
CATCHES = "isolation/audit::leaks_among_a_hundred_thousand_points_are_found"
REASON = "every planted leak is found|tells a leak from a clean state"


def patch(module):
    strangers = module._strangers
    run = module._Pass.run
    seen = {}

    def counted(page, owners):
        seen["points"] = seen.get("points", 0) + len(page)
        return strangers(page, owners) if seen["points"] <= 10_000 else []

    def from_the_start(self):
        seen.clear()
        return run(self)

    module._strangers, module._Pass.run = counted, from_the_start
