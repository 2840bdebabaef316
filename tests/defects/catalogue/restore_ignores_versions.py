"""A backup of a newer server is restored without a word about versions."""

MODULE = "scripts.dayops.scratch_collections"
CATCHES = "recovery/partial-backup::what_is_no_backup_for_this_place_is_refused"
REASON = "newer than the server"


def patch(module):
    module.refuse_versions = lambda made_by, server, log: None
