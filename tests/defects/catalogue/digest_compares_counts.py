"""Two contents are the same when they have the same number of points."""

MODULE = "harness.checks.content"
CATCHES = "backup/restore-dry-run::verification_restores_and_compares_content"
REASON = "one other payload"


def patch(module):
    module.differing_buckets = lambda before, after: []
    module.differing_tenants = lambda before, after: []
