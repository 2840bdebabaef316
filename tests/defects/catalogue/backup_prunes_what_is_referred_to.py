"""The prune removes an old run whole, objects that a newer backup refers to included."""

MODULE = "scripts.dayops.prune"
CATCHES = "maintain/snapshot-nightly::pruning_keeps_the_last_good_backup_and_what_it_needs"
REASON = "refers to is still there"


def patch(module):
    original = module._remove_rest
    module._remove_rest = lambda bucket, run, referred: original(bucket, run, set())
