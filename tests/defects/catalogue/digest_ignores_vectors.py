"""The content digest leaves the vectors out: every answer may change unseen."""

MODULE = "harness.checks.digest"
CATCHES = "backup/restore-dry-run::verification_restores_and_compares_content"
REASON = "one other vector"


def patch(module):
    original = module.fingerprint
    module.fingerprint = lambda point: original(point)._replace(vectors={})
