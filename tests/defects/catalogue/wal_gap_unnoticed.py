"""A segment that is missing in the archive is passed over: the log is read up to there."""

MODULE = "scripts.dayops.wal"
CATCHES = "backup/wal-archive::a_gap_in_the_log_is_noticed"
REASON = "missing segment is noticed"


def patch(module):
    module.refuse_gap = lambda archive, where: None
