"""The retention prune keeps everybody's documents for 90 days, whatever a tenant was promised."""

MODULE = "scripts.retention.policy"
CATCHES = "maintain/retention-prune::what_is_older_goes_from_both_stores_and_nothing_younger"
REASON = "no document that is due is left|everything else is as it was"


def patch(module):
    module.Policy.cutoffs = lambda self: {}
