"""The way back starts the old version on an emptied volume, and restores nothing into it."""

MODULE = "scripts.dayops.upgrade_qdrant"
CATCHES = "upgrade/way-back::an_upgrade_that_dies_midway_is_undone_with_nothing_lost"
REASON = "the same collections|undone: ends well"


def patch(module):
    module.Upgrade._restore = lambda self, document: 0
    module.Upgrade._compare = lambda self, journal, document, exactly: None
