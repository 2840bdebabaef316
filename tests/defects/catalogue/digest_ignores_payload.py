"""The content digest leaves the payload out: tenants and texts may change unseen."""

MODULE = "harness.checks.digest"
CATCHES = "backup/restore-dry-run::verification_restores_and_compares_content"
REASON = "one other payload"


def patch(module):
    original = module.fingerprint
    module.fingerprint = lambda point: original(point)._replace(payload=bytes(32))
