"""The archive command tells PostgreSQL that a segment is away before the bucket has it."""

MODULE = "scripts.dayops.wal_archive"
CATCHES = "backup/wal-archive::the_log_reaches_the_bucket"
REASON = "the segment is in the bucket"


def patch(module):
    module.archive = lambda bucket, path, where: "stored"
