"""The increment looks at the number of collections, not at their content: nothing ever changes."""

MODULE = "scripts.dayops.backup_qdrant"
CATCHES = "maintain/snapshot-nightly::the_nightly_backup_is_whole_and_copies_what_changed"
REASON = "holds what each collection holds"


def patch(module):
    module.Backup._unchanged = lambda self, last, now, settings: True
