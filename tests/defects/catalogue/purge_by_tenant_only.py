"""The purge deletes by tenant, so that everything of that tenant goes."""

MODULE = "scripts.leakage.purging"
CATCHES = "isolation/purge::exactly_the_leaked_points_are_removed"
REASON = "no other point is gone"


def patch(module):
    original = module.removal_filter

    def wide(ids, claim):
        must = original(ids, claim)["must"]
        by_tenant = [each for each in must if each.get("key") == "tenant_id"]
        return {"must": by_tenant or must}

    module.removal_filter = wide
