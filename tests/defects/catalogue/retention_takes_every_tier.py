"""The retention prune takes whatever is old, of whichever tier."""

MODULE = "scripts.retention.plan"
CATCHES = "maintain/retention-prune::what_is_older_goes_from_both_stores_and_nothing_younger"
REASON = "everything else is as it was"


def patch(module):
    module.BATCH = module.BATCH.replace("d.tier = %(tier)s AND", "")
