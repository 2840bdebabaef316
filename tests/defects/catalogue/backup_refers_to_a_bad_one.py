"""A backup refers to objects of one that a verification has found to be bad."""

MODULE = "scripts.dayops.manifest"
CATCHES = (
    "maintain/snapshot-nightly::"
    "a_backup_that_was_found_to_be_bad_is_neither_kept_for_a_good_one_nor_built_upon"
)
REASON = "the next backup refers to nothing of it"


def patch(module):
    module.found_bad = lambda bucket, run: False
