"""The upgrade compares the number of collections and nothing that is in them."""

MODULE = "scripts.dayops.upgrade_compare"
CATCHES = "upgrade/way-back::a_version_that_loses_something_is_found_out_and_undone"
REASON = "the loss is found out"


def patch(module):
    module._of_collection = lambda store, entry, before, log, exactly: iter(())
