"""The purge deletes by persona, so that everything of that persona goes."""

MODULE = "scripts.leakage.purging"
CATCHES = "isolation/purge::exactly_the_leaked_points_are_removed"
REASON = "no other point is gone"


def patch(module):
    original = module.removal_filter

    def wide(ids, claim):
        must = original(ids, claim)["must"]
        by_persona = [each for each in must if each.get("key") == "persona"]
        return {"must": by_persona or must}

    module.removal_filter = wide
