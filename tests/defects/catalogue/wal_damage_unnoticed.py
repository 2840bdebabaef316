"""Segments of the log are counted, and never compared with the SHA-256 in their metadata."""

MODULE = "scripts.dayops.wal"
CATCHES = "backup/wal-archive::a_gap_in_the_log_is_noticed"
REASON = "damaged segment is noticed"


def patch(module):
    module.fetch = lambda bucket, where, names, into, log: sum(
        found[0] for name in names if (found := bucket.stat(where + name))
    )
