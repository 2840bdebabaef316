"""The prune keeps the newest whole backup, though a verification has found it to be bad."""

MODULE = "scripts.dayops.manifest"
CATCHES = (
    "maintain/snapshot-nightly::"
    "a_backup_that_was_found_to_be_bad_is_neither_kept_for_a_good_one_nor_built_upon"
)
REASON = "the newest good backup stays, and no other"


def patch(module):
    original = module.is_good

    def by_size_alone(bucket, run):
        remembered, module.found_bad = module.found_bad, lambda *_: False
        try:
            return original(bucket, run)
        finally:
            module.found_bad = remembered

    module.is_good = by_size_alone
