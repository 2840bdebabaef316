"""--prune-only takes a backup all the same: on a full disk nothing is ever pruned."""

MODULE = "scripts.dayops.backup_metadata"
CATCHES = "maintain/snapshot-nightly::pruning_by_itself_needs_no_new_backup"
REASON = "the newest stays, and no other was taken"


def patch(module):
    original = module.work

    def always_takes(task):
        asked, task.arguments.prune_only = task.arguments.prune_only, False
        try:
            original(task)
        finally:
            task.arguments.prune_only = asked

    module.work = always_takes
