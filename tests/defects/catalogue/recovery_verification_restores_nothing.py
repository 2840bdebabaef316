"""The verification stops at the checksums and reports what the manifest says."""

MODULE = "scripts.dayops.scratch_collections"
CATCHES = "backup/restore-dry-run::verification_restores_and_compares_content"
REASON = "one other payload"


def patch(module):
    module.bring = lambda store, place, entry, snapshot, log: None
