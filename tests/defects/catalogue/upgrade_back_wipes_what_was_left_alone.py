"""--undo empties the old version's volume though the new one had a volume of its own."""

MODULE = "scripts.dayops.upgrade_qdrant"
CATCHES = "upgrade/way-back::an_upgrade_killed_at_any_step_is_undone_with_nothing_lost"
REASON = "undone: ends well"


def patch(module):
    original = module.Upgrade._put_old

    def wipes(self, journal, document):
        if journal.touched and journal.fresh:
            self._stop()
            self._run("WIPE_QDRANT_CMD")
        original(self, journal, document)

    module.Upgrade._put_old = wipes
