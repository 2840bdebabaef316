"""A dry run of the purge removes all the same."""

MODULE = "scripts.leakage.purging"
CATCHES = "isolation/purge::a_dry_run_names_them_and_changes_nothing"
REASON = "nothing is changed"


def patch(module):
    original = module.Purge._batch

    def wet(self, name, batch, file):
        self.outcome.dry_run = False
        original(self, name, batch, file)
        self.outcome.dry_run = True

    module.Purge._batch = wet
